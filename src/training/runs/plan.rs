//! What a run trains on and measures with, written down so that a run that was killed goes on with the same.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::RunFailure;
use crate::config::Training;
use crate::training::set::{SetHead, SetLine, TrainingSet, draw, split};
use crate::training::versions::{LineageSession, Versions, write_whole};

/// A run's sessions, and what it is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The run, `run_<yyyymmdd_hhmmss>`.
    pub run: String,
    /// `[training]` as it was when the run began.
    pub settings: Training,
    /// The version that was current then.
    pub previous: Option<String>,
    /// A session that the current version knows was forgotten: the version is made again without it.
    pub retrain: bool,
    /// The sessions, in the order of learning.
    pub sessions: Vec<PlannedSession>,
    /// Answers that are not learned because nearly the same ones are held out.
    pub near_duplicates: usize,
    #[serde(skip)]
    train: Vec<SetLine>,
    #[serde(skip)]
    held_out: Vec<SetLine>,
}

/// A session of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedSession {
    /// As it stands in the lineage.
    #[serde(flatten)]
    pub session: LineageSession,
    /// Stem of the names of its log and training file.
    pub stem: String,
    /// Whether the version before did not know it.
    pub new: bool,
}

/// What waits for a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// Sessions that no run has used.
    pub new_sessions: usize,
    /// Answers in them that are worth learning.
    pub new_answers: usize,
    /// When the first and the last of them were learned, milliseconds since 1970.
    pub new_at: Option<(i64, i64)>,
    /// Sessions in the set.
    pub sessions: usize,
    /// When the last run ended, milliseconds since 1970.
    pub last_run: Option<i64>,
    /// A version has to be made again because something was forgotten.
    pub retrain: bool,
}

/// The file by which forgetting asks for a version to be made again.
pub(super) const RETRAIN: &str = "retrain.json";

/// The sessions of a set that a new run may use: at most `max_sessions`, however many there are.
///
/// # Errors
/// If the set cannot be read.
pub fn candidates(set: &TrainingSet, settings: &Training, versions: &Versions) -> io::Result<Vec<SetLine>> {
    let current = versions.current().filter(|version| !version.tainted);
    let known: HashSet<(u64, u64)> = current
        .iter()
        .flat_map(|version| &version.lineage.sessions)
        .map(|session| SetHead::name_of(&session.identity, &session.key))
        .collect();
    let is_new = |head: &SetHead| !known.contains(&head.name());
    // Three are the least that a run is planned with, and whether there are so many is the plan's to say.
    set.read_chosen(&draw(set.heads()?, settings.max_sessions.max(3), is_new, settings.seed))
}

impl Plan {
    /// The sessions of the run that was broken off, as far as they are still in the set as they were.
    ///
    /// # Errors
    /// If the set cannot be read; a plan that cannot be read has no sessions.
    pub fn sessions_of(path: &Path, set: &TrainingSet) -> io::Result<Vec<SetLine>> {
        let plan = std::fs::read(path).ok().and_then(|text| serde_json::from_slice::<Plan>(&text).ok());
        let Some(plan) = plan else { return Ok(Vec::new()) };
        let names: HashSet<(u64, u64)> =
            plan.sessions.iter().map(|it| SetHead::name_of(&it.session.identity, &it.session.key)).collect();
        let mut heads = set.heads()?;
        heads.retain(|head| names.contains(&head.name()));
        set.read_chosen(&heads)
    }

    /// Plans a run over [`candidates`] of a set.
    ///
    /// # Errors
    /// [`RunFailure::TooLittle`], with the reason.
    pub fn make(
        run: String,
        settings: &Training,
        lines: Vec<SetLine>,
        versions: &Versions,
    ) -> Result<Self, RunFailure> {
        let retrain = versions.dir().join(RETRAIN).exists();
        let current = versions.current().filter(|version| !version.tainted);
        let known: HashSet<(String, String)> = current
            .iter()
            .flat_map(|version| &version.lineage.sessions)
            .map(|session| (session.identity.clone(), session.key.clone()))
            .collect();
        let is_new = |line: &SetLine| !known.contains(&(line.identity.clone(), line.key.clone()));
        let too_little = |reason: String| Err(RunFailure::TooLittle(reason));
        let sessions = lines.len();
        if sessions < 3 {
            return too_little(format!(
                "too little to learn from: {sessions} sessions with answers worth learning, 3 are needed"
            ));
        }
        if !retrain && !lines.iter().any(is_new) {
            return too_little(
                "nothing new: the current version knows all sessions of the training set".into(),
            );
        }
        let lines = draw(lines, settings.max_sessions, is_new, settings.seed);
        let order: HashMap<String, usize> =
            lines.iter().enumerate().map(|(at, line)| (line.identity.clone(), at)).collect();
        let split = split(lines, settings.held_out, settings.held_out_by);
        let answers: usize = split.train.iter().map(|line| line.answers).sum();
        if answers < settings.min_answers {
            return too_little(format!(
                "too little to learn from: {answers} answers, {} are needed ({} more are held out)",
                settings.min_answers,
                split.held_out.iter().map(|line| line.answers).sum::<usize>()
            ));
        }
        if split.held_out.is_empty() {
            return too_little("too little to learn from: no session can be held out to measure with".into());
        }
        let planned = |line: &SetLine, held_out: bool| PlannedSession {
            session: LineageSession {
                session_id: line.session_id.clone(),
                identity: line.identity.clone(),
                key: line.key.clone(),
                held_out,
            },
            stem: line.stem.clone(),
            new: is_new(line),
        };
        let mut sessions: Vec<PlannedSession> = (split.train.iter().map(|line| planned(line, false)))
            .chain(split.held_out.iter().map(|line| planned(line, true)))
            .collect();
        sessions.sort_by_key(|planned| order.get(&planned.session.identity).copied());
        Ok(Plan {
            run,
            settings: settings.clone(),
            previous: current.map(|version| version.name),
            retrain,
            sessions,
            near_duplicates: split.near_duplicates,
            train: split.train,
            held_out: split.held_out,
        })
    }

    /// Takes up the plan of a run that was broken off, if it still holds: the same settings and current version, and
    /// every session of it still in the set as it was. `lines` are those that [`Plan::sessions_of`] found.
    pub fn take_up(path: &Path, settings: &Training, lines: &[SetLine], versions: &Versions) -> Option<Self> {
        let mut plan: Plan = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        // When to train, and where to publish, may change while a run is under way; how may not.
        let free = Training {
            trigger: settings.trigger.clone(),
            publish: settings.publish.clone(),
            ..plan.settings.clone()
        };
        let same = free == *settings;
        let current = versions.current().filter(|version| !version.tainted).map(|version| version.name);
        let retrain = versions.dir().join(RETRAIN).exists();
        if !same || plan.previous != current || plan.retrain != retrain {
            return None;
        }
        let there: HashMap<(&str, &str), &SetLine> =
            lines.iter().map(|line| ((line.identity.as_str(), line.key.as_str()), line)).collect();
        let mut chosen = Vec::with_capacity(plan.sessions.len());
        for PlannedSession { session, .. } in &plan.sessions {
            chosen.push((*there.get(&(session.identity.as_str(), session.key.as_str()))?).clone());
        }
        let split = split(chosen, plan.settings.held_out, plan.settings.held_out_by);
        let held_out: HashSet<&str> = split.held_out.iter().map(|line| line.identity.as_str()).collect();
        if plan
            .sessions
            .iter()
            .any(|one| one.session.held_out != held_out.contains(one.session.identity.as_str()))
        {
            return None;
        }
        (plan.train, plan.held_out) = (split.train, split.held_out);
        Some(plan)
    }

    /// Writes the plan down.
    pub(super) fn save(&self, path: &Path) -> std::io::Result<()> {
        write_whole(path, &serde_json::to_vec(self)?)
    }

    /// What is learned.
    pub fn train(&self) -> &[SetLine] {
        &self.train
    }

    /// What is measured with.
    pub fn held_out(&self) -> &[SetLine] {
        &self.held_out
    }

    /// Whether the version before did not know a session.
    pub fn is_new(&self, line: &SetLine) -> bool {
        self.sessions.iter().any(|one| one.new && one.session.identity == line.identity)
    }

    /// Answers that are learned, and answers that are measured with.
    pub fn answers(&self) -> (usize, usize) {
        let sum = |lines: &[SetLine]| lines.iter().map(|line| line.answers).sum();
        (sum(&self.train), sum(&self.held_out))
    }
}
