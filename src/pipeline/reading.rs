//! The beginning of a file's way: read, decoded, and what was forgotten left out.

use std::cmp::Reverse;
use std::collections::HashSet;

use tracing::info;

use super::chain::Failure;
use super::contain::contain;
use super::original;
use super::runner::{End, Fate, Runner, Trip};
use super::unit::Judged;
use super::verdict::{dead_letter, unreadable};
use crate::forget::Recognised;
use crate::platform::{self, Signature};
use crate::session::formats::Decoded;
use crate::session::{Envelope, FileFacts, SessionKey};
use crate::spool::{Claimed, ReadError};
use crate::state::Outcome;

/// A file above this size is read and decoded where it does not hold up the others.
const LARGE: u64 = 256 << 10;

impl Runner {
    /// Reads and decodes the file.
    pub(super) fn open(&self, trip: &mut Trip<'_>) -> Result<Vec<Envelope>, End> {
        let work = |trip: &mut Trip<'_>| self.read_and_decode(trip);
        if trip.signature.size > LARGE { tokio::task::block_in_place(|| work(trip)) } else { work(trip) }
    }

    fn read_and_decode(&self, trip: &mut Trip<'_>) -> Result<Vec<Envelope>, End> {
        let (bytes, signature) = match trip.file.read(&self.home, trip.chain.max_size) {
            Ok(read) => read,
            Err(ReadError::Gone) => return Err(End::Fate(Fate::Gone)),
            Err(ReadError::Changing) => return Err(End::Fate(Fate::Parked { pause: trip.chain.settle })),
            Err(ReadError::Io(error)) if platform::is_exhausted(&error) => {
                return Err(End::Fate(Fate::Stalled(format!("cannot read a file in work/: {error}"))));
            }
            Err(problem) => {
                trip.signature = self.signature_now(trip.file);
                return Err(End::Unread(Box::new(unreadable(&problem, &trip.chain.retry))));
            }
        };
        trip.signature = signature;
        let name = trip.file.shown();
        let decoded = contain(|| trip.chain.decode.decode(&bytes, &name));
        let failure = match decoded {
            Ok(Ok(mut decoded)) => {
                self.leave_out_forgotten(trip, &bytes, &decoded)?;
                trip.skipped = std::mem::take(&mut decoded.skipped);
                if !trip.skipped.is_empty() {
                    info!(file = name, left_out = trip.skipped.join("; "), "not all of the file was read");
                }
                return Ok(envelopes(decoded, &name, signature.size));
            }
            Ok(Err(error)) => Failure::from(error),
            Err(panic) => Failure::panic("decode", panic),
        };
        Err(End::Judged(dead_letter(failure, trip.file, &trip.record, self.now(), signature.size)))
    }

    /// What was forgotten does not come back: it leaves the file before anything else is done with it.
    fn leave_out_forgotten(&self, trip: &mut Trip<'_>, bytes: &[u8], decoded: &Decoded) -> Result<(), End> {
        let known = self.forgotten.recognise(bytes, &trip.file.shown(), &trip.chain.decode, decoded);
        if known != Recognised::Nothing && trip.file.changed_since(&self.home, trip.signature) {
            return Err(End::Again);
        }
        let put = |content: &[u8], signature| {
            original::replace(&self.home, trip.file, signature, content)
                .map_err(|error| End::Fate(Fate::Stalled(format!("cannot write a file in work/: {error}"))))
        };
        match known {
            Recognised::Nothing => Ok(()),
            Recognised::Some(left) => {
                put(&left, trip.signature)?;
                Err(End::Again)
            }
            Recognised::All(stub) => {
                trip.signature = put(&stub, trip.signature)?;
                Err(End::Judged(Judged::Nothing {
                    outcome: Outcome::Filtered,
                    note: "forgotten before".into(),
                    sessions: decoded.sessions.iter().map(SessionKey::of).collect(),
                }))
            }
        }
    }

    /// A file that cannot be read is judged as it lies there.
    pub(super) fn signature_now(&self, file: &Claimed) -> Signature {
        platform::lstat(&file.path(&self.home))
            .map_or(Signature { inode: 0, size: 0, modified: 0 }, |metadata| Signature::of(&metadata))
    }
}

/// The sessions of a file called `name`, `size` bytes long.
pub(super) fn envelopes(decoded: Decoded, name: &str, size: u64) -> Vec<Envelope> {
    let (format, sessions) = (decoded.format, decoded.sessions.len());
    let facts = |index| FileFacts { name: name.to_owned(), size, format, index, sessions };
    decoded
        .sessions
        .into_iter()
        .enumerate()
        .map(|(index, session)| Envelope::new(session, facts(index)))
        .collect()
}

/// Where a file holds several versions of one session, only the longest is learned.
pub(super) fn longest_of_each(mut envelopes: Vec<Envelope>) -> Vec<Envelope> {
    if envelopes.len() > 1 {
        envelopes.sort_by_key(|envelope| Reverse(envelope.session.messages.len()));
        let mut seen = HashSet::new();
        envelopes.retain(|envelope| seen.insert(envelope.identity));
        envelopes.sort_by_key(|envelope| envelope.file.index);
    }
    envelopes
}
