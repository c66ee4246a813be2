//! The second half of the group commit: the ledger, then the moves. The only writer of the state store.
//!
//! Order: what was learned is durable already (the recorder's part); the ledger is written and synced; only then does
//! the file move. A file that a crash left in `work/` with its ledger entry written is moved at the next start.

use std::ffi::OsString;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::unit::{Judged, LearnedSession, Recording, Reply, Unit};
use crate::outbox::{Courier, Place};
use crate::platform::{self, Clock, Signature};
use crate::session::{Effect, SessionKey};
use crate::spool::{Home, Sidecar};
use crate::state::{
    Checkpoint, FileRecord, LearnedRecord, LedgerEntry, Outcome, SettledMark, State, StateBatch, Totals,
};

/// Orders written in one go at most.
const GROUP: usize = 256;
/// How often a move that failed is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// What the settler is asked to write.
#[derive(Debug)]
pub(super) enum Order {
    /// Files that are through.
    Settle(Recording),
    /// A file that is to be tried again: its tries so far.
    Park { name: OsString, record: FileRecord, reply: oneshot::Sender<bool> },
    /// What an outside stage added to a session.
    Checkpoint { session: SessionKey, stage: String, checkpoint: Checkpoint, reply: oneshot::Sender<bool> },
    /// A dead letter was put back by hand.
    Unfail { reply: oneshot::Sender<bool> },
}

/// The counts, for whoever wants to look.
pub(super) type SharedTotals = Arc<Mutex<Totals>>;

/// The thread's own things.
pub(super) struct Settler {
    pub(super) home: Home,
    pub(super) state: State,
    pub(super) clock: Clock,
    pub(super) courier: Arc<Courier>,
    pub(super) totals: SharedTotals,
    /// Files that moved; their records go with the next batch.
    pub(super) moved: Vec<OsString>,
    /// Files that are settled but could not be moved.
    pub(super) unmoved: Vec<Settled>,
    /// The last write of the store failed.
    pub(super) totals_unsure: bool,
}

/// A file in the ledger, and where it belongs.
pub(super) struct Settled {
    pub(super) file: crate::spool::Claimed,
    pub(super) outcome: Outcome,
    pub(super) sidecar: Option<Box<Sidecar>>,
    pub(super) reply: Option<oneshot::Sender<Reply>>,
}

/// What came of moving files: who waits to hear of it, and whether `done/` and `failed/` were written to.
#[derive(Default)]
struct Moves {
    replies: Vec<(oneshot::Sender<Reply>, Outcome)>,
    touched: [bool; 2],
}

/// What is being put together for one write of the store.
#[derive(Default)]
struct Group {
    batch: StateBatch,
    settled: Vec<Settled>,
    /// Batches of the journal, each with the sessions in it that were not settled after all.
    places: Vec<(Place, Vec<SessionKey>)>,
    replies: Vec<oneshot::Sender<bool>>,
}

impl Settler {
    pub(super) fn run(mut self, inbox: &Receiver<Order>) {
        loop {
            let wait = if self.unmoved.is_empty() { Duration::from_secs(3600) } else { RETRY };
            match inbox.recv_timeout(wait) {
                Ok(order) => {
                    let mut orders = vec![order];
                    orders.extend(inbox.try_iter().take(GROUP - 1));
                    self.carry_out(orders);
                }
                Err(RecvTimeoutError::Timeout) => {
                    let waiting = std::mem::take(&mut self.unmoved);
                    let moves = self.move_files(waiting);
                    self.sync(moves.touched);
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let mut last = StateBatch::default();
        self.moved.drain(..).for_each(|name| last.remove_file(&name));
        if let Err(error) = self.state.apply(last) {
            warn!(%error, "the state store kept records of files that are gone; harmless");
        }
    }

    fn carry_out(&mut self, orders: Vec<Order>) {
        let mut group = Group::default();
        if self.totals_unsure
            && let Ok(totals) = self.state.totals()
        {
            // A write that failed may yet have reached the disk.
            *self.shared_totals() = totals;
            self.totals_unsure = false;
        }
        let mut totals = *self.shared_totals();
        // First, so that a file of the same name that came since keeps its own record.
        let moved = std::mem::take(&mut self.moved);
        moved.iter().for_each(|name| group.batch.remove_file(name));
        for order in orders {
            match order {
                Order::Settle(recording) => {
                    let mut left_out = Vec::new();
                    for unit in recording.units {
                        let keys = unit.keys();
                        if !self.enter(unit, &mut group, &mut totals) {
                            left_out.extend(keys);
                        }
                    }
                    group.places.extend(recording.batch.map(|place| (place, left_out)));
                }
                Order::Park { name, record, reply } => {
                    group.batch.put_file(&name, &record);
                    group.replies.push(reply);
                }
                Order::Checkpoint { session, stage, checkpoint, reply } => {
                    group.batch.put_checkpoint(&session, &stage, &checkpoint);
                    group.replies.push(reply);
                }
                Order::Unfail { reply } => {
                    totals.failed = totals.failed.saturating_sub(1);
                    group.replies.push(reply);
                }
            }
        }
        group.batch.put_totals(&totals);
        self.write(group, totals, moved);
    }

    /// Writes the ledger. As soon as that is durable the files move; whoever waits is answered when it can be read, too.
    fn write(&mut self, group: Group, totals: Totals, forgotten: Vec<OsString>) {
        let Group { batch, settled, places, replies } = group;
        let mut settled = Some(settled);
        let mut moves = Moves::default();
        platform::failpoint("settler.before_ledger");
        let written = self.state.clone().apply_and(batch, || {
            platform::failpoint("settler.ledger_synced");
            *self.shared_totals() = totals;
            moves = self.move_files(settled.take().unwrap_or_default());
        });
        if let Err(problem) = &written {
            error!(error = %problem, "the state store cannot be written");
            self.totals_unsure = true;
        }
        if let (Err(problem), Some(settled)) = (&written, settled) {
            // Nothing of it is durable, as far as is known.
            self.courier.keep_journal();
            self.moved = forgotten;
            for one in settled {
                one.answer(Reply::Stalled(problem.to_string()));
            }
            return answer_all(replies, false);
        }
        moves.answer();
        places.into_iter().for_each(|(place, left_out)| self.courier.release(place, left_out));
        platform::failpoint("settler.released");
        answer_all(replies, true);
        self.sync(moves.touched);
    }

    fn shared_totals(&self) -> std::sync::MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a file into the ledger; `false` if it has to be judged again.
    fn enter(&self, unit: Unit, group: &mut Group, totals: &mut Totals) -> bool {
        let Unit { file, signature, judged, reply } = unit;
        if file.changed_since(&self.home, signature) {
            let _ = reply.send(Reply::Changed);
            return false;
        }
        let number = totals.entries;
        let mut entry = LedgerEntry {
            file: file.shown(),
            outcome: Outcome::Learned,
            at: self.clock.millis(),
            note: String::new(),
            sessions: Vec::new(),
            messages: 0,
        };
        let mut record = FileRecord::default();
        let mut signature = signature;
        let mut kept_sidecar = None;
        match judged {
            Judged::Learned { sessions, note, original } => {
                if let Some(original) = original {
                    match original.apply(&self.home, &file, signature) {
                        Ok(rewritten) => signature = rewritten,
                        Err(error) => {
                            let _ =
                                reply.send(Reply::Stalled(format!("cannot redact the original: {error}")));
                            return false;
                        }
                    }
                }
                entry.note = note;
                entry.outcome = self.enter_sessions(&sessions, number, &mut entry, group, totals);
            }
            Judged::Nothing { outcome, note, sessions } => {
                // A program that refused a session is asked again when the session is dropped again.
                sessions.iter().for_each(|session| self.forget_checkpoints(session, group));
                entry.outcome = outcome;
                entry.note = note;
                entry.sessions = sessions.iter().map(ToString::to_string).collect();
            }
            Judged::Failed { sidecar, sessions } => {
                entry.outcome = Outcome::Failed;
                entry.note = format!("{}: {}", sidecar.stage, sidecar.kind);
                entry.sessions = sessions.iter().map(ToString::to_string).collect();
                record.sidecar = Some(sidecar.clone());
                kept_sidecar = Some(sidecar);
            }
        }
        totals.count(entry.outcome);
        totals.entries += 1;
        record.settled = Some(SettledMark { signature, outcome: entry.outcome, entry: number });
        group.batch.put_file(&file.name, &record);
        group.batch.put_entry(number, &entry);
        let settled = Settled { file, outcome: entry.outcome, sidecar: kept_sidecar, reply: Some(reply) };
        group.settled.push(settled);
        true
    }

    fn enter_sessions(
        &self,
        sessions: &[LearnedSession],
        number: u64,
        entry: &mut LedgerEntry,
        group: &mut Group,
        totals: &mut Totals,
    ) -> Outcome {
        for session in sessions {
            let LearnedSession { envelope, opening, replaces, recorded, .. } = session;
            let examples = envelope.effects.iter().map(|effect| match effect {
                Effect::TrainingData { examples, .. } => *examples,
                _ => 0,
            });
            let record = LearnedRecord {
                key: envelope.key.to_string(),
                file: entry.file.clone(),
                messages: opening.messages,
                examples: examples.sum(),
                first: opening.first,
                all: opening.all,
                stem: recorded.stem.clone(),
                entry: number,
            };
            let (old_messages, old_examples) =
                replaces.as_ref().map_or((0, 0), |earlier| (earlier.messages, earlier.examples));
            totals.messages = (totals.messages + record.messages as u64).saturating_sub(old_messages as u64);
            totals.examples = (totals.examples + record.examples as u64).saturating_sub(old_examples as u64);
            totals.sessions += u64::from(replaces.is_none());
            totals.memory_items += recorded.stored.new_items;
            totals.redactions += envelope.learned.redactions.values().map(|&n| u64::from(n)).sum::<u64>();
            entry.messages += record.messages as u64;
            entry.sessions.push(record.key.clone());
            group.batch.put_learned(&envelope.identity, &record);
            self.forget_checkpoints(&envelope.key, group);
        }
        if sessions.iter().all(|session| session.replaces.is_some()) {
            Outcome::Revision
        } else {
            Outcome::Learned
        }
    }

    fn forget_checkpoints(&self, session: &SessionKey, group: &mut Group) {
        if let Err(error) = group.batch.remove_checkpoints(&self.state, session) {
            warn!(%error, "checkpoints of a settled session stay behind");
        }
    }

    /// Moves what is in the ledger to where it belongs.
    fn move_files(&mut self, settled: Vec<Settled>) -> Moves {
        let mut moves = Moves::default();
        for mut one in settled {
            moves.replies.extend(one.reply.take().map(|reply| (reply, one.outcome)));
            match one.move_file(&self.home) {
                Ok(()) => {
                    platform::failpoint("settler.moved");
                    moves.touched[usize::from(one.outcome.is_failure())] = true;
                    self.moved.push(one.file.name);
                }
                Err(error) if one.is_gone(&self.home, &error) => {
                    warn!(file = one.file.shown(), "a settled file was taken away before it could be moved");
                    self.moved.push(one.file.name);
                }
                Err(error) => {
                    // Nobody need wait: the ledger has it.
                    error!(file = one.file.shown(), %error, "a settled file cannot be moved; trying again");
                    self.unmoved.push(one);
                }
            }
        }
        moves
    }

    fn sync(&self, touched: [bool; 2]) {
        for (dir, touched) in [&self.home.done, &self.home.failed].into_iter().zip(touched) {
            if touched && let Err(error) = platform::sync_point("moves", || platform::sync_dir(dir)) {
                warn!(%error, "a folder cannot be synced; a power loss may put files back into work/");
            }
        }
    }
}

impl Moves {
    fn answer(&mut self) {
        for (reply, outcome) in self.replies.drain(..) {
            // Whoever asked may have been let go of meanwhile.
            let _ = reply.send(Reply::Settled(outcome));
        }
    }
}

fn answer_all(replies: Vec<oneshot::Sender<bool>>, written: bool) {
    for reply in replies {
        // Whoever asked may have been let go of meanwhile.
        let _ = reply.send(written);
    }
}

impl Settled {
    fn move_file(&self, home: &Home) -> std::io::Result<()> {
        let to = match (&self.sidecar, self.outcome.is_failure()) {
            (Some(sidecar), true) => self.file.move_to_failed(home, sidecar)?,
            _ => self.file.move_to_done(home)?,
        };
        info!(file = self.file.shown(), outcome = ?self.outcome, to = crate::spool::shown(to.as_os_str()), "settled");
        Ok(())
    }

    /// Whether a move failed because somebody took the file away, and not because its new folder is missing.
    fn is_gone(&self, home: &Home, error: &std::io::Error) -> bool {
        let not_found = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
        not_found(error) && platform::lstat(&self.file.path(home)).is_err_and(|error| not_found(&error))
    }

    fn answer(self, reply: Reply) {
        if let Some(sender) = self.reply {
            let _ = sender.send(reply);
        }
    }
}

/// Finishes the move of a file that the ledger has, found in `work/` at start. `false` if the record speaks of
/// another file.
pub(super) fn finish_move(
    home: &Home,
    file: &crate::spool::Claimed,
    record: &FileRecord,
) -> std::io::Result<bool> {
    let Some(mark) = record.settled else { return Ok(false) };
    if Signature::of(&platform::lstat(&file.path(home))?) != mark.signature {
        return Ok(false);
    }
    let settled =
        Settled { file: file.clone(), outcome: mark.outcome, sidecar: record.sidecar.clone(), reply: None };
    settled.move_file(home)?;
    Ok(true)
}
