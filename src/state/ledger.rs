use std::ffi::{OsStr, OsString};
use std::fmt;
use std::sync::Arc;

use super::records::{self, Key, decode, encode, hex};
use super::{Batch, Checkpoint, FileRecord, LearnedRecord, LedgerEntry, StateError, StateStore, Totals};
use crate::platform::name_from_bytes;
use crate::session::{Identity, SessionKey};

/// Largest value in the store; a bigger checkpoint is cut into parts.
const PART: usize = 4096;

/// The store with its records: reads from any thread, writes as a [`StateBatch`].
#[derive(Clone)]
pub struct State {
    store: Arc<dyn StateStore>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State")
    }
}

/// Changes of records that become durable together.
#[derive(Debug, Default)]
pub struct StateBatch(Batch);

impl State {
    /// Puts the record layer on a store.
    pub fn new(store: Arc<dyn StateStore>) -> Self {
        State { store }
    }

    /// Writes a batch; durable when this returns.
    ///
    /// # Errors
    /// See [`StateStore::apply`].
    pub fn apply(&self, batch: StateBatch) -> Result<(), StateError> {
        if batch.0.writes.is_empty() { Ok(()) } else { self.store.apply(batch.0) }
    }

    /// The same; calls `once_durable` as soon as the batch is durable, when readers may not see it yet.
    ///
    /// # Errors
    /// See [`StateStore::apply_and`].
    pub fn apply_and(&self, batch: StateBatch, mut once_durable: impl FnMut()) -> Result<(), StateError> {
        self.store.apply_and(batch.0, &mut once_durable)
    }

    fn read<T: serde::de::DeserializeOwned>(&self, key: &Key<'_>) -> Result<Option<T>, StateError> {
        self.store.get(&key.bytes())?.map(|bytes| decode(&bytes).map_err(Into::into)).transpose()
    }

    /// What is known of a file in `work/`.
    ///
    /// # Errors
    /// If the store or the record cannot be read.
    pub fn file(&self, name: &OsStr) -> Result<Option<FileRecord>, StateError> {
        self.read(&Key::File(name.as_encoded_bytes()))
    }

    /// Every file record with its name.
    ///
    /// # Errors
    /// If the store or a record cannot be read.
    pub fn files(&self) -> Result<Vec<(OsString, FileRecord)>, StateError> {
        let mut files = Vec::new();
        let mut broken = None;
        self.store.scan(b"f", &mut |key, value| match decode(value) {
            Ok(record) => {
                files.push((name_from_bytes(key[1..].to_vec()), record));
                true
            }
            Err(error) => {
                broken = Some(error);
                false
            }
        })?;
        broken.map_or(Ok(files), |error| Err(error.into()))
    }

    /// The ledger entry that learned exactly this content.
    ///
    /// # Errors
    /// If the store or the record cannot be read.
    pub fn learned_by(&self, key: &SessionKey) -> Result<Option<u64>, StateError> {
        self.read(&Key::Session(&hex(key)))
    }

    /// What was last learned under an identity.
    ///
    /// # Errors
    /// If the store or the record cannot be read.
    pub fn learned(&self, identity: &Identity) -> Result<Option<LearnedRecord>, StateError> {
        self.read(&Key::Identity(identity))
    }

    /// Whether the names of a log and a training file are taken by another session.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn stem_is_taken(&self, stem: &str) -> Result<bool, StateError> {
        Ok(self.store.get(&Key::Stem(stem).bytes())?.is_some())
    }

    /// A settled file.
    ///
    /// # Errors
    /// If the store or the record cannot be read.
    pub fn entry(&self, number: u64) -> Result<Option<LedgerEntry>, StateError> {
        self.read(&Key::Entry(number))
    }

    /// Every settled file, oldest first.
    ///
    /// # Errors
    /// If the store cannot be read; entries that cannot are passed over.
    pub fn entries(&self, each: &mut dyn FnMut(u64, LedgerEntry)) -> Result<(), StateError> {
        self.store.scan(b"l", &mut |key, value| {
            if let (Some(number), Ok(entry)) =
                (key[1..].try_into().ok().map(u64::from_be_bytes), decode(value))
            {
                each(number, entry);
            }
            true
        })
    }

    /// The counts over the life of the home.
    ///
    /// # Errors
    /// If the store or the record cannot be read.
    pub fn totals(&self) -> Result<Totals, StateError> {
        Ok(self.read(&Key::Totals)?.unwrap_or_default())
    }

    /// What an outside stage added to a session in an earlier try, if its settings are still the same.
    ///
    /// # Errors
    /// If the store cannot be read. A checkpoint that cannot be read counts as none.
    pub fn checkpoint(
        &self,
        session: &SessionKey,
        stage: &str,
        settings: &str,
    ) -> Result<Option<serde_json::Value>, StateError> {
        let mut bytes = Vec::new();
        for part in 0.. {
            match self.store.get(&Key::Checkpoint { session, stage, part }.bytes())? {
                Some(mut more) => bytes.append(&mut more),
                None => break,
            }
        }
        let checkpoint: Option<Checkpoint> = decode(&bytes).ok();
        Ok(checkpoint.filter(|found| found.settings == settings).map(|found| found.patch))
    }

    /// A value a stage keeps for itself.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn value(&self, stage: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.store.get(&Key::Value { stage, key }.bytes())
    }

    /// A record that the watched sources keep.
    ///
    /// # Errors
    /// If the store or the record cannot be read.
    pub fn source<T: serde::de::DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, StateError> {
        self.read(&Key::Source(key))
    }

    /// Every record that the watched sources keep under a prefix, with what follows it in the key.
    ///
    /// # Errors
    /// If the store cannot be read; records that cannot are passed over.
    pub fn sources<T: serde::de::DeserializeOwned>(
        &self,
        prefix: &[u8],
        each: &mut dyn FnMut(&[u8], T),
    ) -> Result<(), StateError> {
        let prefix = Key::Source(prefix).bytes();
        self.store.scan(&prefix, &mut |key, value| {
            if let (Some(name), Ok(record)) = (key.strip_prefix(&*prefix), decode(value)) {
                each(name, record);
            }
            true
        })
    }

    /// Whether the store is being made anew, and that was broken off.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn is_unfinished(&self) -> Result<bool, StateError> {
        Ok(self.store.get(&Key::Unfinished.bytes())?.is_some())
    }

    fn checkpoint_keys(&self, session: &SessionKey) -> Result<Vec<Vec<u8>>, StateError> {
        let mut keys = Vec::new();
        self.store.scan(&[b"c".as_slice(), &session.0].concat(), &mut |key, _| {
            keys.push(key.to_vec());
            true
        })?;
        Ok(keys)
    }
}

impl StateBatch {
    fn put<T: serde::Serialize>(&mut self, key: &Key<'_>, record: &T) {
        self.0.writes.push((key.bytes(), Some(encode(record))));
    }

    fn remove(&mut self, key: &Key<'_>) {
        self.0.writes.push((key.bytes(), None));
    }

    /// Says that the store is being made anew, or that this is done.
    pub fn set_unfinished(&mut self, unfinished: bool) {
        if unfinished { self.put(&Key::Unfinished, &()) } else { self.remove(&Key::Unfinished) }
    }

    /// Sets a file's record.
    pub fn put_file(&mut self, name: &OsStr, record: &FileRecord) {
        self.put(&Key::File(name.as_encoded_bytes()), record);
    }

    /// Forgets a file that left `work/`.
    pub fn remove_file(&mut self, name: &OsStr) {
        self.remove(&Key::File(name.as_encoded_bytes()));
    }

    /// Notes that this content was learned, by whom it can be found, and which names its outputs have.
    pub fn put_learned(&mut self, identity: &Identity, record: &LearnedRecord) {
        self.put(&Key::Session(&record.key), &record.entry);
        self.put(&Key::Stem(&record.stem), &());
        self.put(&Key::Identity(identity), record);
    }

    /// Appends to the ledger.
    pub fn put_entry(&mut self, number: u64, entry: &LedgerEntry) {
        self.put(&Key::Entry(number), entry);
    }

    /// Sets the counts.
    pub fn put_totals(&mut self, totals: &Totals) {
        self.put(&Key::Totals, totals);
    }

    /// Sets a value a stage keeps for itself.
    pub fn put_value(&mut self, stage: &str, key: &[u8], value: Vec<u8>) {
        self.0.writes.push((Key::Value { stage, key }.bytes(), Some(value)));
    }

    /// Sets a record that the watched sources keep.
    pub fn put_source<T: serde::Serialize>(&mut self, key: &[u8], record: &T) {
        self.put(&Key::Source(key), record);
    }

    /// Keeps what an outside stage added to a session.
    pub fn put_checkpoint(&mut self, session: &SessionKey, stage: &str, checkpoint: &Checkpoint) {
        let bytes = encode(checkpoint);
        let mut part = 0;
        for chunk in bytes.chunks(PART) {
            self.0.writes.push((Key::Checkpoint { session, stage, part }.bytes(), Some(chunk.to_vec())));
            part += 1;
        }
        // A longer checkpoint from before must not lend its tail.
        self.remove(&Key::Checkpoint { session, stage, part });
    }

    /// Drops the checkpoints of a session that is settled.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn remove_checkpoints(&mut self, state: &State, session: &SessionKey) -> Result<(), StateError> {
        self.0.writes.extend(state.checkpoint_keys(session)?.into_iter().map(|key| (key, None)));
        Ok(())
    }
}

impl records::FileRecord {
    /// Tries that count so far.
    pub fn tries(&self) -> u32 {
        u32::try_from(self.attempts.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::super::InMemoryStore;
    use super::*;

    fn state() -> State {
        State::new(Arc::new(InMemoryStore::default()))
    }

    fn applied(state: &State, fill: impl FnOnce(&mut StateBatch)) {
        let mut batch = StateBatch::default();
        fill(&mut batch);
        state.apply(batch).unwrap();
    }

    #[test]
    fn a_large_checkpoint_comes_back_whole_and_a_shorter_one_replaces_it() {
        let state = state();
        let key = SessionKey([7; 32]);
        for text in ["x".repeat(3 * PART), "short".into()] {
            let patch = serde_json::json!({ "learned": text });
            let checkpoint = Checkpoint { settings: "abc".into(), patch: patch.clone() };
            applied(&state, |batch| batch.put_checkpoint(&key, "exec", &checkpoint));
            assert_eq!(state.checkpoint(&key, "exec", "abc").unwrap(), Some(patch));
            assert_eq!(state.checkpoint(&key, "exec", "other settings").unwrap(), None);
        }
        let mut batch = StateBatch::default();
        batch.remove_checkpoints(&state, &key).unwrap();
        state.apply(batch).unwrap();
        assert_eq!(state.checkpoint(&key, "exec", "abc").unwrap(), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_not_utf8_keeps_its_bytes() {
        let state = state();
        let name = name_from_bytes(b"\xff\xfe.json".to_vec());
        applied(&state, |batch| batch.put_file(&name, &FileRecord::default()));
        assert_eq!(state.files().unwrap(), [(name, FileRecord::default())]);
    }
}
