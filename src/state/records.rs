use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

use crate::platform::Signature;
use crate::session::{Identity, SessionKey};
use crate::spool::Sidecar;

/// The version this build writes. A record of a version it does not know is an error, never a guess.
const VERSION: u8 = 1;

/// Why a record cannot be read.
#[derive(Debug, Error)]
pub enum RecordError {
    /// Written by a newer build.
    #[error("record version {0}, this build knows {VERSION}")]
    Newer(u8),
    /// Not a record at all.
    #[error("damaged record: {0}")]
    Damaged(String),
}

pub(super) fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    // Serialising plain structs into a vector cannot fail; an empty record would be reported as damaged when read.
    let _ = serde_json::to_writer(&mut bytes, record);
    bytes
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RecordError> {
    match bytes.split_first() {
        Some((&VERSION, body)) => {
            serde_json::from_slice(body).map_err(|error| RecordError::Damaged(error.to_string()))
        }
        Some((&version, _)) => Err(RecordError::Newer(version)),
        None => Err(RecordError::Damaged("empty".into())),
    }
}

/// A file in `work/`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Every try so far that counts.
    pub attempts: Vec<Attempt>,
    /// When to try next, milliseconds since 1970.
    pub next_retry: Option<i64>,
    /// Set once the outcome is durable and only the move is left.
    pub settled: Option<SettledMark>,
    /// The sidecar of a dead letter that is settled and not yet moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<Box<Sidecar>>,
}

/// One try that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Milliseconds since 1970.
    pub at: i64,
    /// The stage that failed.
    pub stage: String,
    /// How.
    pub error: String,
}

/// Says of exactly one file (by its signature) that it is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettledMark {
    /// The file as it was when it was judged.
    pub signature: Signature,
    /// Where it belongs.
    pub outcome: Outcome,
    /// Its ledger entry.
    pub entry: u64,
}

/// How a file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Learned.
    Learned,
    /// Took the place of an earlier, shorter version of the same chat.
    Revision,
    /// The same content was learned before.
    Duplicate,
    /// A stage decided that there is nothing to learn.
    Filtered,
    /// A dead letter.
    Failed,
}

impl Outcome {
    /// Whether the file belongs into `failed/`.
    pub fn is_failure(self) -> bool {
        self == Outcome::Failed
    }
}

/// A learned session, by its identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedRecord {
    /// Hash of the content that was learned, hexadecimal.
    pub key: String,
    /// The file it came in.
    pub file: String,
    /// Messages it had.
    pub messages: usize,
    /// Training examples it gave.
    #[serde(default)]
    pub examples: usize,
    /// Hash over the first message: another chat under a reused id begins otherwise. 0 if it is not known any more.
    pub first: u64,
    /// Hash over all its messages: a continuation begins with them.
    pub all: u64,
    /// Stem of the names of its log and training file; a revision keeps it.
    pub stem: String,
    /// The ledger entry that learned it.
    pub entry: u64,
}

/// A settled file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The file's name in `work/`.
    pub file: String,
    /// How it ended.
    pub outcome: Outcome,
    /// When, milliseconds since 1970.
    pub at: i64,
    /// A few words, as in `duplicate of chat.json`.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub note: String,
    /// Keys of the sessions it held, hexadecimal.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub sessions: Vec<String>,
    /// Messages in them.
    pub messages: u64,
}

/// What an outside stage added to a session before a later stage failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Hash of the stage's settings, hexadecimal; other settings make the checkpoint void.
    pub settings: String,
    /// What it added.
    pub patch: serde_json::Value,
}

/// Counts over the life of a home. They equal what the ledger adds up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Ledger entries so far; the next one's number.
    pub entries: u64,
    /// Files settled in `done/` because something was learned.
    pub files_learned: u64,
    /// Files settled in `done/` as duplicates.
    pub duplicates: u64,
    /// Files settled in `done/` with nothing to learn.
    pub filtered: u64,
    /// Files in `failed/`, less those that were retried.
    pub failed: u64,
    /// Sessions learned; a revision does not count again.
    pub sessions: u64,
    /// Revisions that took an earlier session's place.
    pub revisions: u64,
    /// Messages of the sessions that are in memory.
    pub messages: u64,
    /// Items that were new to the memory.
    pub memory_items: u64,
    /// Training examples written, less those of replaced revisions.
    pub examples: u64,
    /// Values replaced by the redact stage.
    pub redactions: u64,
    /// Fine-tuned versions that were published.
    pub fine_tunes: u64,
    /// Milliseconds since 1970 of the first start on this home.
    pub since: i64,
}

impl Totals {
    /// Counts a file that is settled.
    pub(crate) fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Learned => self.files_learned += 1,
            Outcome::Revision => {
                self.files_learned += 1;
                self.revisions += 1;
            }
            Outcome::Duplicate => self.duplicates += 1,
            Outcome::Filtered => self.filtered += 1,
            Outcome::Failed => self.failed += 1,
        }
    }

    /// Files that were ever moved to `done/`.
    pub fn in_done(&self) -> u64 {
        self.files_learned.saturating_add(self.duplicates).saturating_add(self.filtered)
    }
}

/// Keys of records as text.
pub(super) fn hex(key: &SessionKey) -> String {
    key.to_string()
}

/// The parts of a store key.
pub(super) enum Key<'a> {
    File(&'a [u8]),
    Session(&'a str),
    Identity(&'a Identity),
    Entry(u64),
    Totals,
    Stem(&'a str),
    Checkpoint { session: &'a SessionKey, stage: &'a str, part: u16 },
    Value { stage: &'a str, key: &'a [u8] },
    Source(&'a [u8]),
    Unfinished,
}

impl Key<'_> {
    /// The bytes in the store: a letter for the kind, then what sorts within it.
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Key::File(name) => [b"f", *name].concat(),
            Key::Session(key) => [b"s", key.as_bytes()].concat(),
            Key::Identity(identity) => [b"i".as_slice(), &identity.0].concat(),
            Key::Entry(number) => [b"l".as_slice(), &number.to_be_bytes()].concat(),
            Key::Totals => b"t".to_vec(),
            Key::Stem(stem) => [b"n", stem.as_bytes()].concat(),
            Key::Checkpoint { session, stage, part } => {
                [b"c".as_slice(), &session.0, stage.as_bytes(), &[0], &part.to_be_bytes()].concat()
            }
            Key::Value { stage, key } => [b"v".as_slice(), stage.as_bytes(), &[0], key].concat(),
            Key::Source(key) => [b"o", *key].concat(),
            Key::Unfinished => b"u".to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_a_newer_build_is_refused_and_a_torn_one_is_called_damaged() {
        let mut bytes = encode(&FileRecord::default());
        assert_eq!(decode::<FileRecord>(&bytes).unwrap(), FileRecord::default());
        assert!(matches!(decode::<FileRecord>(&bytes[..4]), Err(RecordError::Damaged(_))));
        bytes[0] = 9;
        assert!(matches!(decode::<FileRecord>(&bytes), Err(RecordError::Newer(9))));
        assert!(matches!(decode::<FileRecord>(&[]), Err(RecordError::Damaged(_))));
    }

    #[test]
    fn a_record_without_a_newer_field_is_still_read() {
        let old: LedgerEntry =
            decode(b"\x01{\"file\":\"a\",\"outcome\":\"failed\",\"at\":1,\"messages\":2}").unwrap();
        assert_eq!((old.outcome, old.note.as_str()), (Outcome::Failed, ""));
    }

    #[test]
    fn counts_that_no_home_can_have_are_added_without_a_panic() {
        let totals = Totals { files_learned: u64::MAX, duplicates: 1, ..Totals::default() };
        assert_eq!(totals.in_done(), u64::MAX);
    }
}
