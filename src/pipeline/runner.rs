//! One file's way: read, decode, the stages, and over to the group commit.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit, oneshot, watch};
use tracing::{debug, warn};

use super::backoff::pause;
use super::chain::{Chain, ChainEnd, Failure, Step};
use super::reading::longest_of_each;
use super::reservations::Reservations;
use super::settler::{Order, finish_move};
use super::standing::{Opening, Standing, judge};
use super::unit::{Judged, LearnedSession, Recorded, Recording, Reply, Unit};
use super::verdict::dead_letter;
use crate::forget::Forgotten;
use crate::platform::{Clock, Signature};
use crate::session::{Effect, Envelope, Identity, SessionKey};
use crate::spool::{Claimed, Home};
use crate::state::{Attempt, FileRecord, Outcome, State, StateError};
use crate::training::SeenExamples;

/// KiB of files under way at once; decoded they take a few times as much.
pub(super) const ROOM_KIB: u32 = 192 << 10;

/// What became of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is in the ledger.
    Settled(Outcome),
    /// It waits in `work/`.
    Parked { pause: Duration },
    /// Our storage is in trouble; the file waits in `work/` until that is over.
    Stalled(String),
    /// The daemon is stopping; the file waits in `work/` for the next start.
    Released,
    /// Somebody took it away.
    Gone,
}

/// How far a stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Not stopping.
    No,
    /// Nothing new is taken; what is under way may finish.
    Draining,
    /// What is under way is let go of.
    Now,
}

/// What every file's way needs.
pub(super) struct Runner {
    pub(super) home: Home,
    pub(super) state: State,
    pub(super) clock: Clock,
    pub(super) reservations: Reservations,
    pub(super) examples: Arc<SeenExamples>,
    pub(super) forgotten: Arc<Forgotten>,
    pub(super) recorder: Sender<Unit>,
    pub(super) settler: Sender<Order>,
    pub(super) stop: watch::Receiver<Stop>,
    /// KiB of files that may be under way at once.
    pub(super) room: Semaphore,
}

/// Why a file's way ended before the commit.
pub(super) enum End {
    Judged(Judged),
    Fate(Fate),
    Again,
    /// The disk would not give the file.
    Unread(Box<Failure>),
}

impl From<StateError> for End {
    fn from(problem: StateError) -> Self {
        End::Fate(Fate::Stalled(problem.to_string()))
    }
}

/// What is known of the file while it is under way.
pub(super) struct Trip<'a> {
    pub(super) chain: &'a Chain,
    pub(super) file: &'a Claimed,
    pub(super) record: FileRecord,
    pub(super) signature: Signature,
    /// Conversations of an export that were left out, and why.
    pub(super) skipped: Vec<String>,
}

impl Runner {
    /// Carries a file as far as it gets.
    pub(super) async fn carry(&self, chain: &Chain, file: &Claimed) -> Fate {
        loop {
            match self.carry_once(chain, file).await {
                Ok(fate) => return fate,
                Err(Again) => debug!(file = file.shown(), "the file was written to; reading it again"),
            }
        }
    }

    async fn carry_once(&self, chain: &Chain, file: &Claimed) -> Result<Fate, Again> {
        let record = match self.state.file(&file.name) {
            Ok(record) => record.unwrap_or_default(),
            Err(problem) => return Ok(Fate::Stalled(problem.to_string())),
        };
        if let Some(mark) = record.settled
            && matches!(finish_move(&self.home, file, &record), Ok(true))
        {
            // The ledger had been written although the write was reported as failed; only the move was left.
            return Ok(Fate::Settled(mark.outcome));
        }
        // A settled mark that is still there speaks of an earlier file of this name.
        let record = if record.settled.is_some() { FileRecord::default() } else { record };
        let mut trip = Trip { chain, file, record, signature: self.signature_now(file), skipped: Vec::new() };
        let size = trip.signature.size;
        let _room = self.make_room(size).await;
        let mut reserved = None;
        let mut judged = self.judge_file(&mut trip, &mut reserved).await;
        if let Err(End::Unread(failure)) = judged {
            judged = Err(self.failed(&trip, *failure, None).await);
        }
        let judged = match judged {
            Ok(judged) | Err(End::Judged(judged)) => judged,
            Err(End::Fate(fate)) => return Ok(fate),
            Err(End::Again | End::Unread(_)) => return Err(Again),
        };
        self.commit(trip, judged).await
    }

    /// Waits until the files under way leave room for one of this size, so that many large ones together do not ask for
    /// more memory than there is.
    async fn make_room(&self, size: u64) -> Option<SemaphorePermit<'_>> {
        let kib = u32::try_from(size / 1024 + 1).unwrap_or(u32::MAX).min(ROOM_KIB);
        self.room.acquire_many(kib).await.ok()
    }

    async fn judge_file<'r>(
        &'r self,
        trip: &mut Trip<'_>,
        reserved: &mut Option<super::reservations::Reserved<'r>>,
    ) -> Result<Judged, End> {
        let envelopes = self.open(trip)?;
        let identities: Vec<Identity> = envelopes.iter().map(|envelope| envelope.identity).collect();
        *reserved = Some(self.reservations.take(identities).await);
        let mut tally = Tally { notes: std::mem::take(&mut trip.skipped), ..Tally::default() };
        for envelope in longest_of_each(envelopes) {
            let session = envelope.file.index;
            if let Err(end) = self.learn(trip, envelope, &mut tally).await {
                self.give_up_examples(&tally.learned);
                return Err(match end {
                    End::Judged(Judged::Failed { mut sidecar, sessions }) => {
                        sidecar.session = (session > 0).then_some(session);
                        End::Judged(Judged::Failed { sidecar, sessions })
                    }
                    other => other,
                });
            }
        }
        Ok(tally.judged())
    }

    async fn learn(&self, trip: &Trip<'_>, mut envelope: Envelope, tally: &mut Tally) -> Result<(), End> {
        let opening = Opening::of(&envelope);
        let standing = judge(&self.state, &mut envelope, opening)?;
        tally.keys.push(envelope.key);
        let replaces = match standing {
            Standing::New => None,
            Standing::Revision(earlier) => Some(earlier),
            Standing::Duplicate(file) => {
                tally.notes.push(format!("duplicate of {file}"));
                return Ok(());
            }
            Standing::Older(file) => {
                tally.notes.push(format!("older version of {file}"));
                return Ok(());
            }
        };
        let mut stop = self.stop.clone();
        let run = trip.chain.run(&mut envelope, &trip.record, self);
        let end = tokio::select! {
            biased;
            end = run => end,
            _ = stop.wait_for(|stop| *stop == Stop::Now) => return Err(End::Fate(Fate::Released)),
        };
        match end {
            ChainEnd::Passed { stages } => {
                envelope.forget_readings();
                let recorded = Recorded::default();
                tally.learned.push(LearnedSession { envelope, opening, replaces, stages, recorded });
                Ok(())
            }
            ChainEnd::Finished { note } => {
                self.examples.release(&envelope.identity, &envelope.key);
                tally.filtered = true;
                tally.notes.push(note);
                Ok(())
            }
            ChainEnd::Failed(failure) => {
                self.examples.release(&envelope.identity, &envelope.key);
                Err(self.failed(trip, failure, Some(envelope.key)).await)
            }
            ChainEnd::Stalled(message) => {
                self.examples.release(&envelope.identity, &envelope.key);
                Err(End::Fate(Fate::Stalled(message)))
            }
            ChainEnd::Cancelled => {
                self.examples.release(&envelope.identity, &envelope.key);
                Err(End::Fate(Fate::Released))
            }
        }
    }

    /// Parks a file that failed in a way that may pass, until its tries are used up.
    async fn failed(&self, trip: &Trip<'_>, failure: Failure, key: Option<SessionKey>) -> End {
        let tries = failure.tries_before(&trip.record) + 1;
        let Some(retry) = failure.retry.as_ref().filter(|retry| tries < retry.policy.attempts) else {
            let mut judged = dead_letter(failure, trip.file, &trip.record, self.now(), trip.signature.size);
            if let Judged::Failed { sessions, .. } = &mut judged {
                sessions.extend(key);
            }
            return End::Judged(judged);
        };
        let (first, longest) = (retry.policy.backoff.0, retry.policy.max_backoff.0);
        let wait = pause(tries, first, longest, retry.after, fastrand::u64(..));
        let now = self.clock.millis();
        let mut record = trip.record.clone();
        record.attempts.push(Attempt {
            at: now,
            stage: failure.stage.clone(),
            error: failure.message.clone(),
        });
        record.next_retry = Some(now.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)));
        warn!(file = trip.file.shown(), stage = failure.stage, tries, wait = ?wait, error = failure.message, "trying again later");
        let (reply, parked) = oneshot::channel();
        let order = Order::Park { name: trip.file.name.clone(), record, reply };
        if self.settler.send(order).is_ok() && parked.await.unwrap_or(false) {
            End::Fate(Fate::Parked { pause: wait })
        } else {
            End::Fate(Fate::Stalled("the state store cannot be written".into()))
        }
    }

    async fn commit(&self, trip: Trip<'_>, judged: Judged) -> Result<Fate, Again> {
        let examples: Vec<_> = match &judged {
            Judged::Learned { sessions, .. } => sessions.iter().map(reserved_examples).collect(),
            Judged::Nothing { .. } | Judged::Failed { .. } => Vec::new(),
        };
        let (reply, answer) = oneshot::channel();
        let learned = matches!(judged, Judged::Learned { .. });
        let unit = Unit { file: trip.file.clone(), signature: trip.signature, judged, reply };
        let sent = if learned {
            self.recorder.send(unit).is_ok()
        } else {
            self.settler.send(Order::Settle(Recording { units: vec![unit], batch: None })).is_ok()
        };
        let answer = if sent { answer.await.ok() } else { None };
        let settled = matches!(answer, Some(Reply::Settled(_)));
        for (identity, key, signatures) in &examples {
            if settled {
                self.examples.commit(identity, key, signatures);
            } else {
                self.examples.release(identity, key);
            }
        }
        match answer {
            Some(Reply::Settled(outcome)) => Ok(Fate::Settled(outcome)),
            Some(Reply::Changed) => Err(Again),
            Some(Reply::Stalled(message)) => Ok(Fate::Stalled(message)),
            Some(Reply::Refused { message, hint }) => Ok(self.refused(&trip, message, hint).await),
            None => Ok(Fate::Released),
        }
    }

    /// A file whose effects cannot be stored is a dead letter.
    async fn refused(&self, trip: &Trip<'_>, message: String, hint: Option<&'static str>) -> Fate {
        let mut failure = Failure::new("memory", "cannot_store", message);
        failure.hint = hint.map(str::to_owned);
        let judged = dead_letter(failure, trip.file, &trip.record, self.now(), trip.signature.size);
        let (reply, answer) = oneshot::channel();
        let unit = Unit { file: trip.file.clone(), signature: trip.signature, judged, reply };
        let _ = self.settler.send(Order::Settle(Recording { units: vec![unit], batch: None }));
        match answer.await {
            Ok(Reply::Settled(outcome)) => Fate::Settled(outcome),
            Ok(Reply::Stalled(message)) => Fate::Stalled(message),
            _ => Fate::Released,
        }
    }

    fn give_up_examples(&self, learned: &[LearnedSession]) {
        for session in learned {
            self.examples.release(&session.envelope.identity, &session.envelope.key);
        }
    }

    pub(super) fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }
}

impl Step for Runner {
    fn restore(
        &self,
        key: &SessionKey,
        stage: &str,
        settings: &str,
    ) -> Result<Option<serde_json::Value>, String> {
        self.state.checkpoint(key, stage, settings).map_err(|problem| problem.to_string())
    }

    async fn keep(
        &self,
        key: &SessionKey,
        stage: &str,
        settings: &str,
        patch: serde_json::Value,
    ) -> Result<(), String> {
        let (reply, kept) = oneshot::channel();
        let checkpoint = crate::state::Checkpoint { settings: settings.to_owned(), patch };
        let order = Order::Checkpoint { session: *key, stage: stage.to_owned(), checkpoint, reply };
        let kept = self.settler.send(order).is_ok() && kept.await.unwrap_or(false);
        kept.then_some(()).ok_or_else(|| "the state store cannot be written".to_owned())
    }
}

/// The file changed under our hands.
struct Again;

fn reserved_examples(session: &LearnedSession) -> (Identity, SessionKey, Vec<u64>) {
    let envelope = &session.envelope;
    let signatures = envelope.effects.iter().find_map(|effect| match effect {
        Effect::TrainingData { signatures, .. } => Some(signatures.clone()),
        _ => None,
    });
    (envelope.identity, envelope.key, signatures.unwrap_or_default())
}

/// What came of a file's sessions.
#[derive(Default)]
struct Tally {
    learned: Vec<LearnedSession>,
    keys: Vec<SessionKey>,
    notes: Vec<String>,
    filtered: bool,
}

impl Tally {
    fn judged(mut self) -> Judged {
        self.notes.dedup();
        let note = if self.notes.len() > 3 {
            format!("{} and {} more", self.notes[..3].join("; "), self.notes.len() - 3)
        } else {
            self.notes.join("; ")
        };
        if self.learned.is_empty() {
            let outcome =
                if self.filtered || self.keys.is_empty() { Outcome::Filtered } else { Outcome::Duplicate };
            let note = if note.is_empty() { "no session in the file".into() } else { note };
            return Judged::Nothing { outcome, note, sessions: self.keys };
        }
        let original = super::original::RewriteOriginal::wished(
            self.learned.iter().flat_map(|session| &session.envelope.effects),
        );
        Judged::Learned { sessions: self.learned, note, original }
    }
}

/// Times a stage.
pub(super) fn milliseconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1e6).round() / 1e3
}
