//! What a home knows of its learned sessions without its ledger: memory.db, the logs, and what waits in the outbox.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader};

use serde::Deserialize;

use super::known_stems::{self, KnownStems};
use crate::memory::reader::Remembered;
use crate::outbox::{self, Output, Record};
use crate::session::{Envelope, Identity, SessionKey};
use crate::spool::Home;

/// Where something learned stands among the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    /// By its line of the master log, or behind all of them in the outbox.
    Told(usize),
    /// By the time at which memory.db learned it.
    Learned(i64),
    /// It claims nothing: after all that does.
    Last,
}

/// A session of which a log tells that it was learned.
#[derive(Debug, Default)]
struct Told {
    files: Vec<Box<str>>,
    /// Whether its line stands in the log, and not only in the outbox: then it was settled.
    delivered: bool,
}

/// What waits in the outbox for one session.
#[derive(Debug, Default)]
struct Waiting {
    stem: Option<String>,
    examples: Option<usize>,
}

/// What speaks for a session's having been learned.
#[derive(Debug)]
pub(super) struct Evidence {
    remembered: BTreeMap<Identity, Remembered>,
    told: HashMap<SessionKey, Told>,
    waiting: HashMap<SessionKey, Waiting>,
    /// When what came in a file was learned.
    turns: HashMap<Box<str>, Turn>,
    stems: KnownStems,
    /// Names in `done/` and `work/`.
    present: HashSet<String>,
}

/// The part of a session log that is read here.
#[derive(Deserialize)]
struct Line {
    key: String,
    #[serde(default)]
    file: Box<str>,
}

impl Evidence {
    /// Gathers it. `remembered`: what memory.db holds. A session that is not there is not learned, whatever else
    /// tells of it: it was forgotten, or lost with an earlier memory.db.
    pub(super) fn gather(home: &Home, remembered: Vec<Remembered>) -> io::Result<Self> {
        let mut present = HashSet::new();
        for dir in [&home.done, &home.work] {
            for entry in std::fs::read_dir(dir)? {
                present.insert(crate::spool::shown(&entry?.file_name()));
            }
        }
        let mut evidence = Evidence {
            remembered: BTreeMap::new(),
            told: HashMap::new(),
            waiting: HashMap::new(),
            turns: HashMap::new(),
            stems: KnownStems::read(home)?,
            present,
        };
        let mut place = 0;
        read_lines(&home.logs().join("master_log.jsonl"), |line| {
            place += 1;
            evidence.tell(line, place, true);
        })?;
        outbox::records(&home.outbox(), |record| {
            place += 1;
            evidence.wait(record, place);
        })?;
        for one in remembered {
            let learned = Turn::Learned(one.learned_ms);
            evidence.turns.entry(one.file.as_str().into()).or_insert(learned);
            evidence.remembered.insert(one.identity, one);
        }
        Ok(evidence)
    }

    fn tell(&mut self, line: Line, place: usize, delivered: bool) {
        let Ok(key) = blake3::Hash::from_hex(&line.key) else { return };
        let told = self.told.entry(SessionKey(*key.as_bytes())).or_default();
        told.delivered |= delivered;
        // A name may have been used before: what lies under it now came last.
        self.turns.insert(line.file.clone(), Turn::Told(place));
        if !told.files.contains(&line.file) {
            told.files.push(line.file);
        }
    }

    fn wait(&mut self, record: Record<'_>, place: usize) {
        let waiting = self.waiting.entry(record.key).or_default();
        match &record.output {
            Output::SessionLog { name, content } => {
                waiting.stem = known_stems::stem_of_log(name).map(str::to_owned);
                self.wait_for_line(content, place);
            }
            Output::TrainingData { name, content } => {
                waiting.examples = Some(memchr::memchr_iter(b'\n', content).count());
                waiting.stem = known_stems::stem_of_training(name).map(str::to_owned).or(waiting.stem.take());
            }
            Output::MasterLine(line) => self.wait_for_line(line, place),
            Output::SetLine(_) => {}
        }
    }

    fn wait_for_line(&mut self, log: &[u8], place: usize) {
        if let Ok(line) = serde_json::from_slice(log) {
            self.tell(line, place, false);
        }
    }

    /// When what lies in a file was learned.
    pub(super) fn turn(&self, file: &str) -> Turn {
        self.turns.get(file).copied().unwrap_or(Turn::Last)
    }

    /// What memory.db holds under a session's identity.
    pub(super) fn remembered(&self, identity: &Identity) -> Option<&Remembered> {
        self.remembered.get(identity)
    }

    /// The key under which a session was learned from a file that rests in `done/`, if it was. Where the file from which
    /// it was is gone, any that holds it may stand for it; a file that was redacted holds it under another key.
    pub(super) fn learned_from(&self, file: &str, envelope: &Envelope) -> Option<SessionKey> {
        let known = self.remembered.get(&envelope.identity)?;
        let from = self.came_from(known, &envelope.key);
        if from.contains(&file) {
            return Some(envelope.key);
        }
        let is_redacted = from.is_empty() && self.came_from(known, &known.key).contains(&file);
        let is_orphan = known.key == envelope.key && !from.iter().any(|from| self.present.contains(*from));
        (is_redacted || is_orphan).then_some(known.key)
    }

    /// Whether a session was learned from a file that is still in `work/`: its line stands in the log, or it is stored
    /// and its small files wait. `whole`: storing it was the last thing to be done to the file.
    pub(super) fn settled_from(&self, file: &str, envelope: &Envelope, whole: bool) -> bool {
        let Some(known) = self.remembered.get(&envelope.identity) else { return false };
        let is_delivered = || self.told.get(&envelope.key).is_some_and(|told| told.delivered);
        let waits = || whole && known.key == envelope.key && self.waiting.contains_key(&envelope.key);
        self.came_from(known, &envelope.key).contains(&file) && (is_delivered() || waits())
    }

    /// The files from which a version of a session was learned: the logs know best, since what was stored by a run that
    /// was cut off may have been learned from another file then.
    fn came_from<'a>(&'a self, known: &'a Remembered, key: &SessionKey) -> Vec<&'a str> {
        match self.told.get(key) {
            Some(told) => told.files.iter().map(AsRef::as_ref).collect(),
            None if known.key == *key => vec![&known.file],
            None => Vec::new(),
        }
    }

    /// Sessions that memory.db holds and the logs tell of, oldest first: those that are not entered came in
    /// files that are gone.
    pub(super) fn without_files(&self, is_entered: impl Fn(&Identity) -> bool) -> Vec<&Remembered> {
        let is_told = |one: &&Remembered| self.told.get(&one.key).is_some_and(|told| told.delivered);
        let mut left: Vec<_> =
            self.remembered.values().filter(is_told).filter(|one| !is_entered(&one.identity)).collect();
        left.sort_by_key(|one| (one.learned_ms, one.file.as_str()));
        left
    }

    /// The stem of the names of a session's files.
    pub(super) fn stem(&self, identity: &Identity, key: &SessionKey, session_id: &str) -> String {
        let waits = self.waiting.get(key).and_then(|waiting| waiting.stem.clone());
        let named = || self.stems.of_session(session_id, identity, &key.to_string());
        waits.or_else(named).unwrap_or_else(|| invented(identity))
    }

    /// The same for a session without its file.
    pub(super) fn stem_of(&self, one: &Remembered) -> String {
        let key = one.key.to_string();
        self.stems.of_key(&key).unwrap_or_else(|| invented(&one.identity))
    }

    /// How many examples a session gave.
    pub(super) fn examples(&self, home: &Home, key: &SessionKey, stem: &str) -> usize {
        let waits = self.waiting.get(key).and_then(|waiting| waiting.examples);
        waits.unwrap_or_else(|| known_stems::examples(home, stem))
    }
}

/// A stem that no session's files have.
fn invented(identity: &Identity) -> String {
    format!("rebuilt-{}", &identity.to_string()[..16])
}

fn read_lines(path: &std::path::Path, mut each: impl FnMut(Line)) -> io::Result<()> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut lines = BufReader::new(file);
    let mut bytes = Vec::new();
    while lines.read_until(b'\n', &mut bytes)? > 0 {
        if let Ok(line) = serde_json::from_slice(&bytes) {
            each(line);
        }
        bytes.clear();
    }
    Ok(())
}
