//! What a rebuild knows at some point of the way, and how sessions get into the new database.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;

use super::{RebuildError, Rebuilt};
use crate::memory::{Batch, Writer};
use crate::pipeline::known_stems::KnownStems;
use crate::session::{Effect, Envelope, Identity, SessionKey};
use crate::state::{LearnedRecord, State};
use crate::training::SeenExamples;

/// A session that is to be stored.
pub(super) struct Judged {
    pub(super) envelope: Envelope,
    pub(super) record: LearnedRecord,
}

/// How it ended for a session.
pub(super) enum End {
    Passed,
    Finished,
    Failed(String),
}

/// What is known at some point of the way.
pub(super) struct Ledger {
    pub(super) state: State,
    pub(super) stems: KnownStems,
    pub(super) seen: SeenExamples,
    pub(super) learned: BTreeMap<Identity, LearnedRecord>,
    /// Sessions that today's chain has judged, whatever it made of them.
    pub(super) met: HashSet<Identity>,
    /// Sessions that an earlier try stored.
    pub(super) stored: HashSet<Identity>,
    /// When what the old memory.db holds was learned.
    pub(super) times: HashMap<(Identity, SessionKey), Timestamp>,
}

impl Ledger {
    /// A session that an earlier try stored.
    pub(super) fn note(&mut self, judged: Judged) {
        self.met.insert(judged.envelope.identity);
        self.learned.insert(judged.envelope.identity, judged.record);
    }

    /// Stores a session as the daemon would have.
    fn store(
        &mut self,
        batch: &mut Batch<'_>,
        mut judged: Judged,
        at: Timestamp,
    ) -> Result<(), RebuildError> {
        let (identity, key) = (judged.envelope.identity, judged.envelope.key);
        for effect in &mut judged.envelope.effects {
            if let Effect::TrainingData { signatures, .. } = effect {
                let ours = self.seen.reserve(&identity, &key, signatures);
                let mut ours = ours.into_iter();
                signatures.retain(|_| ours.next().unwrap_or(false));
                self.seen.commit(&identity, &key, signatures);
            }
        }
        let at = self.times.get(&(identity, key)).copied().unwrap_or(at);
        batch.store(&judged.envelope, at, false)?;
        self.note(judged);
        Ok(())
    }
}

/// Stores what waits, with a note of how many files it is through.
pub(super) fn commit(
    memory: &mut Writer,
    waiting: &mut Vec<(Vec<(Judged, End)>, Timestamp)>,
    ledger: &mut Ledger,
    rebuilt: &mut Rebuilt,
    reached: u64,
) -> Result<(), RebuildError> {
    let mut batch = memory.begin()?;
    for (sessions, at) in waiting.drain(..) {
        for (judged, end) in sessions {
            match end {
                End::Passed => ledger.store(&mut batch, judged, at)?,
                End::Finished => drop(ledger.met.insert(judged.envelope.identity)),
                End::Failed(why) => rebuilt.failed.push((judged.record.file, why)),
            }
        }
    }
    batch.set_progress(reached)?;
    Ok(batch.commit()?)
}
