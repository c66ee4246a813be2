//! The state store made anew, after a damage or where it is missing: from the folders, memory.db, the logs and what
//! waits in the outbox.
//!
//! Every file is entered with what it was, as far as that can still be told: the files from which something was
//! learned in the order in which it was, so that revisions are known as revisions; then all others, judged against
//! them. What had become durable and was not moved yet is entered too, and recovery moves it; what had not is worked on
//! as if it had just come. So nothing is learned or written twice, and nothing is left out. Attempts, checkpoints
//! and the values that stages keep are lost; they only save work.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::evidence::{Evidence, Turn};
use super::reading::{envelopes, longest_of_each};
use super::recovery::names_in;
use super::standing::{Opening, Standing, give_own_id, judge};
use crate::config::StageEntry;
use crate::memory::reader::Remembered;
use crate::platform::{self, Signature};
use crate::session::{Envelope, Identity, SessionKey};
use crate::spool::{Home, SIDECAR_SUFFIX, shown};
use crate::stages::decode::Decode;
use crate::state::{
    FileRecord, LearnedRecord, LedgerEntry, Outcome, SettledMark, State, StateBatch, StateError, Totals,
};

/// Files entered with one write.
const GROUP: usize = 256;
/// What the ledger says of every file that is entered so.
const NOTE: &str = "entered again from the folders";

/// What a state store is made anew from.
pub struct StateAnew<'a> {
    /// The folders.
    pub home: &'a Home,
    /// How files are read.
    pub decode: &'a Decode,
    /// The chain.
    pub stages: &'a [StageEntry],
}

/// A file to enter.
struct File {
    turn: Turn,
    at_work: bool,
    name: OsString,
}

/// A store in the making.
struct Making<'a> {
    anew: &'a StateAnew<'a>,
    state: &'a State,
    evidence: Evidence,
    batch: StateBatch,
    in_batch: usize,
    /// Whether sessions are in the batch that the store does not know yet.
    is_behind: bool,
    totals: Totals,
    entered: HashMap<Identity, LearnedRecord>,
    /// Every version of a session that is entered.
    keys: HashSet<SessionKey>,
}

/// What is found in one file.
#[derive(Default)]
struct Found {
    learned: Vec<(Identity, LearnedRecord)>,
    keys: Vec<SessionKey>,
    /// A session in it is known to nobody: a stage had settled it, or it is new.
    unknown: bool,
    at: i64,
}

impl StateAnew<'_> {
    /// Fills an empty store. `remembered`: what memory.db holds; without it nothing counts as learned. Tells of how many
    /// files are entered, and returns it.
    ///
    /// # Errors
    /// If a folder cannot be read or the store cannot be written; then the store says of itself that it is
    /// unfinished. Files that cannot be read are entered without sessions.
    pub fn fill(
        &self,
        state: &State,
        remembered: Vec<Remembered>,
        mut tell: impl FnMut(u64),
    ) -> Result<u64, StateError> {
        let since = remembered.iter().map(|one| one.learned_ms).min();
        let evidence = Evidence::gather(self.home, remembered)?;
        let mut begin = StateBatch::default();
        begin.set_unfinished(true);
        state.apply(begin)?;
        platform::failpoint("state_anew.begun");
        let files = self.files(&evidence)?;
        let mut making = Making {
            anew: self,
            state,
            evidence,
            batch: StateBatch::default(),
            in_batch: 0,
            is_behind: false,
            totals: Totals { since: since.unwrap_or(0), ..Totals::default() },
            entered: HashMap::new(),
            keys: HashSet::new(),
        };
        for file in files {
            making.enter_file(&file)?;
            tell(making.totals.entries);
        }
        making.enter_sessions_without_files()?;
        making.enter_failed()?;
        making.finish()
    }

    /// The files of `done/` and `work/`, in the order in which they are entered.
    fn files(&self, evidence: &Evidence) -> Result<Vec<File>, StateError> {
        let mut files = Vec::new();
        for (dir, at_work) in [(&self.home.done, false), (&self.home.work, true)] {
            for name in names_in(dir)? {
                files.push(File { turn: evidence.turn(&shown(&name)), at_work, name });
            }
        }
        // What is at work and claims nothing is not settled.
        files.retain(|file| !file.at_work || file.turn != Turn::Last);
        files.sort_by(|a, b| (a.turn, a.at_work, &a.name).cmp(&(b.turn, b.at_work, &b.name)));
        Ok(files)
    }

    fn read(&self, path: &Path) -> Vec<Envelope> {
        let Ok(metadata) = platform::lstat(path) else { return Vec::new() };
        if !metadata.is_file() {
            return Vec::new();
        }
        let Ok(bytes) = std::fs::read(path) else { return Vec::new() };
        let name = path.file_name().map(shown).unwrap_or_default();
        match super::contain::contain(|| self.decode.decode(&bytes, &name)) {
            Ok(Ok(decoded)) => longest_of_each(envelopes(decoded, &name, bytes.len() as u64)),
            _ => Vec::new(),
        }
    }
}

impl Making<'_> {
    fn enter_file(&mut self, file: &File) -> Result<(), StateError> {
        let home = self.anew.home;
        let path = if file.at_work { home.work.join(&file.name) } else { home.done.join(&file.name) };
        let name = shown(&file.name);
        let found = self.look_into(&name, self.anew.read(&path), file.at_work)?;
        let outcome = match &found.learned[..] {
            [] if file.at_work => return Ok(()),
            [] if found.unknown || found.keys.is_empty() => Outcome::Filtered,
            [] => Outcome::Duplicate,
            learned if learned.iter().all(|(identity, _)| self.entered.contains_key(identity)) => {
                Outcome::Revision
            }
            _ => Outcome::Learned,
        };
        if file.at_work {
            let Some(signature) = settled(&path, &found) else { return Ok(()) };
            let mark = SettledMark { signature, outcome, entry: self.totals.entries };
            self.batch.put_file(&file.name, &FileRecord { settled: Some(mark), ..FileRecord::default() });
        }
        let keys = found.keys.iter().map(ToString::to_string).collect();
        self.enter(name, outcome, found.at, found.learned, keys)
    }

    /// What the sessions of a file are.
    fn look_into(
        &mut self,
        name: &str,
        envelopes: Vec<Envelope>,
        at_work: bool,
    ) -> Result<Found, StateError> {
        let mut found = Found::default();
        for mut envelope in envelopes {
            let opening = Opening::of(&envelope);
            let mut key = self.learned_as(name, &envelope, at_work);
            if key.is_none() {
                // It may have been learned under an id of its own, because another chat had this one.
                let id = envelope.session.session_id.clone();
                give_own_id(&mut envelope, opening);
                key = self.learned_as(name, &envelope, at_work);
                if key.is_none() {
                    envelope.session.session_id = id;
                    envelope.key = SessionKey::of(&envelope.session);
                    envelope.identity = Identity::of(&envelope.session);
                }
            }
            let Some(key) = key else {
                if self.is_behind {
                    self.flush()?;
                }
                let standing = judge(self.state, &mut envelope, opening)?;
                found.unknown |= matches!(standing, Standing::New | Standing::Revision(_));
                found.keys.push(envelope.key);
                continue;
            };
            if let Some(known) = self.evidence.remembered(&envelope.identity).filter(|known| known.key == key)
            {
                found.at = found.at.max(known.learned_ms);
            }
            let record = self.record(name, &envelope, key, opening);
            found.keys.push(key);
            self.keys.insert(key);
            found.learned.push((envelope.identity, record));
        }
        Ok(found)
    }

    /// The key under which a session was learned from a file, if it was.
    fn learned_as(&self, name: &str, envelope: &Envelope, at_work: bool) -> Option<SessionKey> {
        let key = if at_work {
            let whole = !self.anew.stages.iter().any(|entry| entry.stage.rewrites_originals());
            self.evidence.settled_from(name, envelope, whole).then_some(envelope.key)
        } else {
            self.evidence.learned_from(name, envelope)
        };
        key.filter(|key| !self.keys.contains(key))
    }

    fn record(&self, name: &str, envelope: &Envelope, key: SessionKey, opening: Opening) -> LearnedRecord {
        let stem = self.evidence.stem(&envelope.identity, &key, &envelope.session.session_id);
        // Of a file that was redacted it is not known any more how the chat began.
        let is_as_learned = key == envelope.key;
        LearnedRecord {
            key: key.to_string(),
            file: name.to_owned(),
            messages: opening.messages,
            examples: self.evidence.examples(self.anew.home, &key, &stem),
            first: if is_as_learned { opening.first } else { 0 },
            all: if is_as_learned { opening.all } else { 0 },
            stem,
            entry: self.totals.entries,
        }
    }

    /// Enters a file with the sessions that were learned from it.
    fn enter(
        &mut self,
        file: String,
        outcome: Outcome,
        at: i64,
        learned: Vec<(Identity, LearnedRecord)>,
        sessions: Vec<String>,
    ) -> Result<(), StateError> {
        let learned_keys: Vec<String> = learned.iter().map(|(_, record)| record.key.clone()).collect();
        let entry = LedgerEntry {
            file,
            outcome,
            at,
            note: NOTE.into(),
            messages: learned.iter().map(|(_, record)| record.messages as u64).sum(),
            sessions: if learned.is_empty() { sessions } else { learned_keys },
        };
        for (identity, record) in learned {
            self.batch.put_learned(&identity, &record);
            self.entered.insert(identity, record);
            self.is_behind = true;
        }
        self.batch.put_entry(self.totals.entries, &entry);
        self.totals.entries += 1;
        self.totals.count(outcome);
        self.in_batch += 1;
        if self.in_batch >= GROUP { self.flush() } else { Ok(()) }
    }

    /// Sessions whose files were taken away: if they come again they are known.
    fn enter_sessions_without_files(&mut self) -> Result<(), StateError> {
        let left: Vec<Remembered> =
            self.evidence.without_files(|one| self.entered.contains_key(one)).into_iter().cloned().collect();
        for of_file in left.chunk_by(|a, b| a.file == b.file) {
            let record = |one: &Remembered| {
                let stem = self.evidence.stem_of(one);
                let record = LearnedRecord {
                    key: one.key.to_string(),
                    file: one.file.clone(),
                    messages: usize::try_from(one.messages).unwrap_or(0),
                    examples: self.evidence.examples(self.anew.home, &one.key, &stem),
                    first: 0,
                    all: 0,
                    stem,
                    entry: self.totals.entries,
                };
                (one.identity, record)
            };
            let learned = of_file.iter().map(record).collect();
            let [first, ..] = of_file else { continue };
            self.enter(first.file.clone(), Outcome::Learned, first.learned_ms, learned, Vec::new())?;
        }
        Ok(())
    }

    fn enter_failed(&mut self) -> Result<(), StateError> {
        let mut names = names_in(&self.anew.home.failed)?;
        names.retain(|name| !name.as_encoded_bytes().ends_with(SIDECAR_SUFFIX.as_bytes()));
        names.sort();
        for name in names {
            self.enter(shown(&name), Outcome::Failed, 0, Vec::new(), Vec::new())?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StateError> {
        (self.in_batch, self.is_behind) = (0, false);
        self.state.apply(std::mem::take(&mut self.batch))?;
        platform::failpoint("state_anew.written");
        Ok(())
    }

    /// Adds up what was entered; from then on the store is whole.
    fn finish(mut self) -> Result<u64, StateError> {
        self.flush()?;
        let totals = &mut self.totals;
        for (identity, record) in &self.entered {
            totals.sessions += 1;
            totals.messages += record.messages as u64;
            totals.examples += record.examples as u64;
            let Some(known) = self.evidence.remembered(identity) else { continue };
            totals.redactions += known.redactions;
            // What a later revision added counts when that is entered.
            let later = if known.key.to_string() == record.key { 0 } else { known.new_items };
            totals.memory_items += known.items.saturating_sub(later);
        }
        self.batch.put_totals(totals);
        self.batch.set_unfinished(false);
        let entries = totals.entries;
        self.state.apply(self.batch)?;
        Ok(entries)
    }
}

/// The signature of a file in `work/` of which only the move was left; `None` if that cannot be said of all that is in
/// it: a file of the same name may have been learned before, and this one holds more.
fn settled(path: &Path, found: &Found) -> Option<Signature> {
    let metadata = platform::lstat(path).ok()?;
    let changed = platform::last_change(&metadata).duration_since(UNIX_EPOCH).ok()?.as_millis();
    let is_earlier = i64::try_from(changed).is_ok_and(|changed| changed <= found.at);
    (!found.unknown || is_earlier).then(|| Signature::of(&metadata))
}
