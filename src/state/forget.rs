//! Forgetting in the state store: hashes stay, names and words go.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::path::Path;

use super::records::{Key, decode, encode};
use super::rewrite::{Edit, rewrite};
use super::{Batch, FileRecord, LearnedRecord, LedgerEntry, StateError, Totals};
use crate::platform::name_from_bytes;
use crate::session::Identity;

/// What the ledger calls a forgotten file's outcome.
const NOTE: &str = "forgotten";

/// What is to be forgotten in the state store.
pub struct Oblivion<'a> {
    /// Sessions that go as a whole, by identity.
    pub whole: HashSet<Identity>,
    /// Their keys.
    pub whole_keys: HashSet<String>,
    /// The names of their logs and training files.
    pub stems: BTreeSet<String>,
    /// Sessions that lost turns, by identity.
    pub changed: HashMap<Identity, Changed>,
    /// Names of files that are gone.
    pub files: BTreeSet<String>,
    /// Sessions that still wait, in hexadecimal: only their checkpoints are of use.
    pub waiting: BTreeSet<String>,
    /// Whether a record holds words that are to stand nowhere.
    pub mentions: &'a dyn Fn(&[u8]) -> bool,
    /// Whether a file is still in `work/`.
    pub at_work: &'a dyn Fn(&OsStr) -> bool,
}

/// A session that lost turns.
#[derive(Debug, Clone, Default)]
pub struct Changed {
    /// Keys it had before.
    pub keys: BTreeSet<String>,
    /// Its key now, its length and the hashes over its first message and over all; `None` where its file is gone.
    pub now: Option<(String, usize, u64, u64)>,
    /// Examples it lost.
    pub examples: usize,
}

/// How much was changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Erased {
    /// Sessions that are not in the ledger any more.
    pub sessions: u64,
    /// Ledger entries that lost their names and notes.
    pub entries: u64,
    /// Checkpoints, records of files and values that went.
    pub records: u64,
}

/// Writes the store in `dir` anew without what is to be forgotten.
///
/// # Errors
/// If it cannot be read or written; then it is as it was.
pub fn forget(dir: &Path, what: &Oblivion<'_>) -> Result<Erased, StateError> {
    let moved_from =
        what.changed.values().filter(|it| it.now.is_some()).flat_map(|it| it.keys.iter().cloned());
    let mut pass = Pass {
        what,
        old_keys: moved_from.chain(what.whole_keys.iter().cloned()).collect(),
        erased: Erased::default(),
        lost: Totals::default(),
        moved: BTreeMap::new(),
    };
    rewrite(dir, &mut pass)?;
    Ok(pass.erased)
}

struct Pass<'a> {
    what: &'a Oblivion<'a>,
    /// Keys that no session has any more.
    old_keys: HashSet<String>,
    erased: Erased,
    lost: Totals,
    /// Keys of sessions as they read now, and their ledger entries.
    moved: BTreeMap<String, u64>,
}

impl Edit for Pass<'_> {
    // Keys sort such that what the totals lose is known before they are met.
    fn edit(&mut self, key: &[u8], value: Vec<u8>) -> Result<Option<Vec<u8>>, StateError> {
        let Some((kind, rest)) = key.split_first() else { return Ok(Some(value)) };
        let text = || String::from_utf8_lossy(rest).into_owned();
        let kept = match kind {
            b'c' => self.checkpoint(rest, value),
            b'f' => self.file(rest, value),
            b'i' => self.learned(rest, value)?,
            b'l' => Some(self.entry(value)?),
            b'n' => (!self.what.stems.contains(&text()) && !(self.what.mentions)(rest)).then_some(value),
            b's' => (!self.old_keys.contains(&text())).then_some(value),
            b't' => Some(self.totals(&value)?),
            _ => (!(self.what.mentions)(&value) && !(self.what.mentions)(rest)).then_some(value),
        };
        if kept.is_none() && matches!(kind, b'c' | b'f' | b'v') {
            self.erased.records += 1;
        }
        Ok(kept)
    }

    fn more(&mut self) -> Batch {
        let write = |(key, entry): (&String, &u64)| (Key::Session(key).bytes(), Some(encode(entry)));
        Batch { writes: self.moved.iter().map(write).collect() }
    }
}

impl Pass<'_> {
    fn checkpoint(&self, rest: &[u8], value: Vec<u8>) -> Option<Vec<u8>> {
        let session: String = rest.iter().take(32).map(|byte| format!("{byte:02x}")).collect();
        (self.what.waiting.contains(&session) && !(self.what.mentions)(&value)).then_some(value)
    }

    fn file(&self, rest: &[u8], value: Vec<u8>) -> Option<Vec<u8>> {
        let name = name_from_bytes(rest.to_vec());
        let sound = decode::<FileRecord>(&value).is_ok() && (self.what.at_work)(&name);
        (sound && !self.what.files.contains(&crate::spool::shown(&name)) && !(self.what.mentions)(&value))
            .then_some(value)
    }

    fn learned(&mut self, rest: &[u8], value: Vec<u8>) -> Result<Option<Vec<u8>>, StateError> {
        let Ok(identity) = rest.try_into().map(Identity) else { return Ok(Some(value)) };
        let mut record: LearnedRecord = decode(&value)?;
        if self.what.whole.contains(&identity) {
            self.lost.sessions += 1;
            self.lost.messages += record.messages as u64;
            self.lost.examples += record.examples as u64;
            self.erased.sessions += 1;
            return Ok(None);
        }
        let Some(changed) = self.what.changed.get(&identity) else { return Ok(Some(value)) };
        let lost = changed.examples.min(record.examples);
        self.lost.examples += lost as u64;
        record.examples -= lost;
        match &changed.now {
            Some((key, messages, first, all)) => {
                (record.messages, record.first, record.all) = (*messages, *first, *all);
                record.key.clone_from(key);
                self.moved.insert(key.clone(), record.entry);
            }
            // Whatever comes under this identity then is its next revision.
            None => record.messages = 0,
        }
        Ok(Some(encode(&record)))
    }

    fn entry(&mut self, value: Vec<u8>) -> Result<Vec<u8>, StateError> {
        let mut entry: LedgerEntry = decode(&value)?;
        let goes = |key: &String| self.what.whole_keys.contains(key);
        let gone = self.what.files.contains(&entry.file)
            || (!entry.sessions.is_empty() && entry.sessions.iter().all(goes));
        let named = self.what.files.iter().any(|file| !file.is_empty() && entry.note.contains(file.as_str()));
        if !gone && !named && !(self.what.mentions)(&value) {
            return Ok(value);
        }
        self.erased.entries += 1;
        NOTE.clone_into(&mut entry.note);
        if gone || (self.what.mentions)(entry.file.as_bytes()) {
            entry.file.clear();
        }
        Ok(encode(&entry))
    }

    fn totals(&self, value: &[u8]) -> Result<Vec<u8>, StateError> {
        let mut totals: Totals = decode(value)?;
        totals.sessions = totals.sessions.saturating_sub(self.lost.sessions);
        totals.messages = totals.messages.saturating_sub(self.lost.messages);
        totals.examples = totals.examples.saturating_sub(self.lost.examples);
        Ok(encode(&totals))
    }
}
