//! The first half of the group commit: makes what was learned durable.
//!
//! Whatever waits is taken, up to [`BATCH`] files and without a timer: an idle daemon settles a file at once, a busy
//! one shares a sync among many. Order: rows into an open transaction, the small files' content into the journal, then
//! journal and transaction are made durable side by side. Until the ledger says so (the settler's part, once both are),
//! none of it counts: a crash in between runs the files again, and every write is keyed so that it then changes nothing.

use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::Duration;

use tracing::{error, warn};

use super::settler::Order;
use super::unit::{Judged, LearnedSession, Recorded, Recording, Reply, Unit};
use crate::memory::{MemoryError, Writer, carry};
use crate::outbox::{Journal, Output, Record, Syncer};
use crate::platform::{self, Clock};
use crate::session::{Effect, Envelope, LogFiles, SessionKey};
use crate::spool::Home;
use crate::stages::session_log::{SessionLog, StageRun};
use crate::state::State;
use crate::training::set::SetLine;

/// Files in one commit at most.
const BATCH: usize = 64;
/// How long nothing must arrive before the full-text index is brought on.
const QUIET: Duration = Duration::from_millis(40);
/// Sessions indexed between two looks at the queue, so that a new file is not kept waiting: some ten milliseconds. With
/// fewer, the pages of the index that sessions share would be written so much the more often.
const INDEX_STEP: usize = 16;
/// Names given to outputs that may not have reached the ledger yet.
const RECENT_STEMS: usize = 4096;

/// The thread's own things.
pub(super) struct Recorder {
    pub(super) home: Home,
    pub(super) memory: Writer,
    pub(super) journal: Journal,
    pub(super) syncer: Syncer,
    pub(super) state: State,
    pub(super) clock: Clock,
    pub(super) stems: Stems,
}

/// Why a batch was not recorded.
enum Trouble {
    /// Storage is in trouble, whatever the batch.
    Storage(String),
    /// memory.db is damaged.
    Damaged(MemoryError),
    /// One of the batch's own records cannot be stored.
    Unit(MemoryError),
}

impl Recorder {
    pub(super) fn run(mut self, inbox: &Receiver<Unit>, settler: &Sender<Order>) {
        let mut behind = true;
        loop {
            let first = match inbox.recv_timeout(if behind { QUIET } else { Duration::from_secs(3600) }) {
                Ok(unit) => unit,
                Err(RecvTimeoutError::Timeout) => {
                    behind = self.tidy(inbox, settler);
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            behind = true;
            self.record_with(first, inbox, settler);
        }
    }

    fn record_with(&mut self, first: Unit, inbox: &Receiver<Unit>, settler: &Sender<Order>) {
        let mut units = vec![first];
        while units.len() < BATCH
            && let Ok(unit) = inbox.try_recv()
        {
            units.push(unit);
        }
        let units: Vec<Unit> = units.into_iter().filter_map(|unit| self.still_the_same(unit)).collect();
        if units.is_empty() {
            return;
        }
        for recording in self.record(units) {
            if settler.send(Order::Settle(recording)).is_err() {
                return;
            }
        }
    }

    /// A file that was written to while the stages worked is judged again before anything of it is stored.
    fn still_the_same(&self, unit: Unit) -> Option<Unit> {
        if unit.file.changed_since(&self.home, unit.signature) {
            let _ = unit.reply.send(Reply::Changed);
            return None;
        }
        Some(unit)
    }

    /// Uses a quiet moment for the full-text index, and gives memory back. `false` once there is nothing left to do.
    fn tidy(&mut self, inbox: &Receiver<Unit>, settler: &Sender<Order>) -> bool {
        self.journal.rest();
        loop {
            let stepped = self.memory.index_some(INDEX_STEP).and_then(|left| match left {
                // Meanings come last: nobody waits for them.
                0 => self.memory.embed_some(INDEX_STEP),
                left => Ok(left),
            });
            match stepped {
                Ok(0) => break,
                Ok(_) => {}
                Err(problem) => {
                    warn!(error = %problem, "the index of memory.db could not be brought on");
                    return false;
                }
            }
            match inbox.try_recv() {
                Ok(unit) => self.record_with(unit, inbox, settler),
                // Stopping does not wait for the index: the next start, or the next question, brings it on.
                Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => {}
            }
        }
        if let Err(problem) = self.memory.idle() {
            warn!(error = %problem, "memory.db could not be checkpointed");
        }
        false
    }

    /// Records a batch, or, where one file spoils it, its files one by one.
    fn record(&mut self, mut units: Vec<Unit>) -> Vec<Recording> {
        match self.try_record(&mut units) {
            Ok(batch) => vec![Recording { units, batch }],
            Err(Trouble::Storage(message)) => stalled(units, &message),
            Err(Trouble::Damaged(problem)) => match self.begin_anew(&problem) {
                Ok(()) => stalled(units, "memory.db was damaged; a new one is begun"),
                Err(message) => stalled(units, &message),
            },
            Err(Trouble::Unit(problem)) if units.len() == 1 => {
                for unit in units {
                    let (message, hint) = (problem.to_string(), problem.hint());
                    let _ = unit.reply.send(Reply::Refused { message, hint });
                }
                Vec::new()
            }
            Err(Trouble::Unit(_)) => units.into_iter().flat_map(|unit| self.record(vec![unit])).collect(),
        }
    }

    /// Sets a damaged memory.db aside and goes on with a new one. What the old one knew, `atles rebuild` makes anew
    /// from `done/`; the ledger still knows what was learned.
    fn begin_anew(&mut self, problem: &MemoryError) -> Result<(), String> {
        let path = self.home.memory_db();
        let stamp = self.clock.now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let aside = carry::set_aside(&path, &stamp).map_err(|error| format!("memory.db: {error}"))?;
        self.memory = Writer::open(&path).map_err(|error| error.to_string())?;
        error!(
            %problem, aside = %aside.display(),
            "memory.db was damaged; it is set aside and a new one is begun. `atles rebuild` makes it anew from done/"
        );
        Ok(())
    }

    fn try_record(&mut self, units: &mut [Unit]) -> Result<Option<crate::outbox::Place>, Trouble> {
        let now = self.clock.now();
        let mut transaction = self.memory.begin().map_err(Trouble::from)?;
        for session in units.iter_mut().flat_map(Unit::learned) {
            let settled = session.replaces.as_ref().map(|earlier| earlier.key.as_str());
            let counted = |key: &[u8]| settled.is_some_and(|settled| is_hex_of(settled, key));
            let stored = transaction.store_over(&session.envelope, now, false, &counted)?;
            session.recorded.stored = stored;
            session.recorded.stem = match &session.replaces {
                Some(earlier) => earlier.stem.clone(),
                None => self.stems.give(&session.envelope, now, &self.state),
            };
        }
        platform::failpoint("recorder.rows_written");
        // Only now, when no session can spoil the batch any more: this moves texts out of the envelopes.
        let mut outputs = Vec::new();
        units.iter_mut().flat_map(Unit::learned).for_each(|session| outputs_of(session, now, &mut outputs));
        let place = match outputs.is_empty() {
            true => None,
            false => Some(self.journal.write(&outputs).map_err(|error| storage("the journal", &error))?),
        };
        let (synced, committed) = match place {
            Some(_) => self.syncer.sync_while(&self.journal, || transaction.commit()),
            None => (Ok(()), transaction.commit()),
        };
        let trouble = match (synced, committed) {
            (Ok(()), Ok(())) => {
                platform::failpoint("recorder.committed");
                return Ok(place);
            }
            // If its rows were committed, they are stored once more, with it.
            (Err(error), _) => storage("the journal", &error),
            (Ok(()), Err(problem)) => problem.into(),
        };
        if let Some(Err(error)) = place.map(|place| self.journal.cut_back(place)) {
            error!(%error, "a batch that was not committed stays in the journal; it is passed over there");
        }
        Err(trouble)
    }
}

fn is_hex_of(hex: &str, bytes: &[u8]) -> bool {
    blake3::Hash::from_hex(hex).is_ok_and(|hash| hash.as_bytes() == bytes)
}

/// The files are tried again a little later.
fn stalled(units: Vec<Unit>, message: &str) -> Vec<Recording> {
    for unit in units {
        let _ = unit.reply.send(Reply::Stalled(message.to_owned()));
    }
    Vec::new()
}

fn storage(what: &str, error: &std::io::Error) -> Trouble {
    let full = if platform::is_disk_full(error) { "the disk is full" } else { "a write failed" };
    Trouble::Storage(format!("{what}: {full}: {error}"))
}

impl From<MemoryError> for Trouble {
    fn from(problem: MemoryError) -> Self {
        match problem {
            MemoryError::TooMany { .. } | MemoryError::Json(_) => Trouble::Unit(problem),
            MemoryError::Damaged(_) => Trouble::Damaged(problem),
            _ => Trouble::Storage(problem.to_string()),
        }
    }
}

impl Unit {
    /// The sessions of which something is in the journal.
    pub(super) fn keys(&self) -> Vec<SessionKey> {
        match &self.judged {
            Judged::Learned { sessions, .. } => sessions.iter().map(|session| session.envelope.key).collect(),
            Judged::Nothing { .. } | Judged::Failed { .. } => Vec::new(),
        }
    }

    fn learned(&mut self) -> &mut [LearnedSession] {
        match &mut self.judged {
            Judged::Learned { sessions, .. } => sessions,
            Judged::Nothing { .. } | Judged::Failed { .. } => &mut [],
        }
    }
}

fn outputs_of(session: &mut LearnedSession, now: jiff::Timestamp, out: &mut Vec<Record<'static>>) {
    let LearnedSession { envelope, replaces, stages, recorded, .. } = session;
    let key = envelope.key;
    let mut trained = false;
    for effect in &mut envelope.effects {
        if let Effect::TrainingData { lines, .. } = effect {
            trained = true;
            let name = format!("training_{}.jsonl", recorded.stem).into();
            let content = std::mem::take(lines).into_bytes();
            if !content.is_empty() || replaces.is_some() {
                out.push(Record { key, output: Output::TrainingData { name, content: content.into() } });
            }
        }
    }
    if !trained && replaces.as_ref().is_some_and(|earlier| earlier.examples > 0) {
        let name = format!("training_{}.jsonl", recorded.stem).into();
        out.push(Record { key, output: Output::TrainingData { name, content: Cow::default() } });
    }
    let wanted = envelope.effects.iter().find_map(|effect| match effect {
        Effect::SessionLog(files) => Some(*files),
        _ => None,
    });
    if let Some(wanted) = wanted {
        let log = session_log(envelope, recorded, std::mem::take(stages), wanted);
        out.extend(log.into_iter().map(|output| Record { key, output }));
    }
    // Last: this takes the chat out of the envelope, which the log still counts.
    out.extend(set_line(envelope, replaces.is_some(), recorded, now).map(|output| Record { key, output }));
}

/// The log of its own and the line of the master log, as far as they are wanted.
fn session_log(
    envelope: &Envelope,
    recorded: &Recorded,
    stages: Vec<StageRun>,
    wanted: LogFiles,
) -> Vec<Output<'static>> {
    let pipeline = format!("atles {}", env!("CARGO_PKG_VERSION"));
    let log = SessionLog::new(envelope, &recorded.stored, &pipeline, stages);
    let mut outputs = Vec::new();
    if wanted.per_session
        && let Ok(content) = serde_json::to_vec_pretty(&log)
    {
        let name = format!("session_log_{}.json", recorded.stem).into();
        outputs.push(Output::SessionLog { name, content: content.into() });
    }
    if wanted.master
        && let Ok(line) = serde_json::to_vec(&log)
    {
        outputs.push(Output::MasterLine(line.into()));
    }
    outputs
}

/// The session's line in the training set. A revision without answers worth learning takes the session out.
fn set_line(
    envelope: &mut Envelope,
    is_revision: bool,
    recorded: &Recorded,
    now: jiff::Timestamp,
) -> Option<Output<'static>> {
    let chat = envelope.effects.iter_mut().find_map(|effect| match effect {
        Effect::TrainingSet { chat } => Some(chat),
        _ => None,
    })?;
    let answers = chat.iter().filter(|turn| turn.learn).count();
    if answers == 0 && !is_revision {
        return None;
    }
    let line = SetLine {
        identity: envelope.identity.to_string(),
        key: envelope.key.to_string(),
        session_id: envelope.session.session_id.clone(),
        stem: recorded.stem.clone(),
        at: now.as_millisecond(),
        answers,
        chat: std::mem::take(chat),
    };
    serde_json::to_vec(&line).ok().map(|line| Output::SetLine(line.into()))
}

/// Gives names to the small files of a session.
#[derive(Debug, Default)]
pub(super) struct Stems {
    recent: HashSet<String>,
    order: VecDeque<String>,
}

impl Stems {
    /// `<session>_<yyyymmdd_hhmmss>`, with a piece of the identity where the session's id cannot stand in a file name
    /// as it is, or where the name is taken.
    fn give(&mut self, envelope: &crate::session::Envelope, now: jiff::Timestamp, state: &State) -> String {
        let (id, verbatim) = plain(&envelope.session.session_id);
        let time = now.strftime("%Y%m%d_%H%M%S");
        let identity = &envelope.identity.to_string()[..8];
        let simple = format!("{id}_{time}");
        let taken =
            !verbatim || self.recent.contains(&simple) || state.stem_is_taken(&simple).unwrap_or(true);
        let stem = if taken { format!("{id}-{identity}_{time}") } else { simple };
        self.remember(&stem);
        stem
    }

    fn remember(&mut self, stem: &str) {
        if self.recent.insert(stem.to_owned()) {
            self.order.push_back(stem.to_owned());
        }
        if self.order.len() > RECENT_STEMS
            && let Some(oldest) = self.order.pop_front()
        {
            self.recent.remove(&oldest);
        }
    }
}

/// An id as a plain piece of a file name, and whether it is still the same. It comes from outside, so nothing in it
/// may name a folder or hide the file, and it is cut to 80 bytes.
pub(super) fn plain(id: &str) -> (String, bool) {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut name: String = id.chars().take(80).map(|c| if safe(c) { c } else { '_' }).collect();
    if name.starts_with(['.', '-']) {
        name.replace_range(..1, "_");
    }
    if name.is_empty() {
        name.push_str("session");
    }
    let verbatim = name == id;
    (name, verbatim)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::session::{Envelope, FileFacts, Session};
    use crate::state::InMemoryStore;

    #[test]
    fn an_id_never_leads_out_of_its_folder_and_two_sessions_never_share_a_name() {
        let state = State::new(Arc::new(InMemoryStore::default()));
        let mut stems = Stems::default();
        let now = Clock::manual(1_700_000_000_000).0.now();
        let mut give = |id: &str, user: &str| {
            let session = Session { session_id: id.into(), user_id: Some(user.into()), ..Session::default() };
            stems.give(&Envelope::new(session, FileFacts::default()), now, &state)
        };
        assert_eq!(give("chat-7", "a"), "chat-7_20231114_221320");
        let second = give("chat-7", "b");
        assert!(second.starts_with("chat-7-") && second != "chat-7_20231114_221320", "{second}");
        let mut seen = HashSet::new();
        for id in [
            "../../etc/passwd",
            "..\\x",
            ".hidden",
            "-rf",
            "a\0b",
            "a\nb",
            "",
            "ä",
            "~",
            "con:",
            &"x".repeat(10_000),
        ] {
            let stem = give(id, "a");
            assert!(stem.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)), "{stem}");
            assert!(!stem.starts_with(['.', '-']) && stem.len() < 120, "{stem}");
            assert!(seen.insert(stem));
        }
    }
}
