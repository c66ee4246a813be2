//! The first half of the group commit: makes what was learned durable.
//!
//! Whatever waits is taken, up to [`BATCH`] files and without a timer: an idle daemon settles a file at once, a busy
//! one shares a sync among many. Order: rows into an open transaction, the small files' content into the journal, then
//! journal and transaction are made durable side by side. Until the ledger says so (the settler's part, once both are),
//! none of it counts: a crash in between runs the files again, and every write is keyed so that it then changes nothing.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::Duration;

use tracing::{error, warn};

use super::outputs::outputs_of;
use super::settler::Order;
use super::stems::Stems;
use super::unit::{Judged, LearnedSession, Recording, Reply, Unit};
use crate::memory::{MemoryError, Writer, carry};
use crate::outbox::{Journal, Syncer};
use crate::platform::{self, Clock};
use crate::session::SessionKey;
use crate::spool::Home;
use crate::state::State;

/// Files in one commit at most.
const BATCH: usize = 64;
/// How long nothing must arrive before the full-text index is brought on.
const QUIET: Duration = Duration::from_millis(40);
/// Sessions indexed between two looks at the queue, so that a new file is not kept waiting: some ten milliseconds. With
/// fewer, the pages of the index that sessions share would be written so much the more often.
const INDEX_STEP: usize = 16;

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
