use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;

use thiserror::Error;

use super::RecordError;

/// Why the store did not do what was asked.
#[derive(Debug, Error)]
pub enum StateError {
    /// The disk would not.
    #[error("the state store cannot be read or written: {0}")]
    Io(#[from] io::Error),
    /// The store is damaged as a whole.
    #[error("the state store is damaged: {0}")]
    Corrupt(String),
    /// Another process has it open.
    #[error("the state store is in use by another process")]
    Busy,
    /// One record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Changes that become durable together or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Key and new value; `None` removes.
    pub writes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// An ordered map of bytes on stable storage.
pub trait StateStore: Send + Sync {
    /// The value under a key.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;

    /// All pairs whose key starts with a prefix, in order, one after the other into `each`; `false` stops.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn scan(&self, prefix: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StateError>;

    /// Writes a batch. When this returns, it survives a power loss, and readers see it.
    ///
    /// # Errors
    /// If the store cannot be written; then either all or nothing of the batch is there.
    fn apply(&self, batch: Batch) -> Result<(), StateError> {
        self.apply_and(batch, &mut || {})
    }

    /// The same; calls `once_durable` as soon as the batch survives a power loss, when readers may not see it yet.
    ///
    /// # Errors
    /// As there. If `once_durable` was called, all of the batch is there, though readers may not see it before the
    /// store is opened again.
    fn apply_and(&self, batch: Batch, once_durable: &mut dyn FnMut()) -> Result<(), StateError>;
}

/// A store that forgets at the end: for dry runs, and the model that tests hold the real one against.
#[derive(Debug, Default)]
pub struct InMemoryStore(Mutex<BTreeMap<Vec<u8>, Vec<u8>>>);

impl InMemoryStore {
    fn map(&self) -> std::sync::MutexGuard<'_, BTreeMap<Vec<u8>, Vec<u8>>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl StateStore for InMemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.map().get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StateError> {
        let map = self.map();
        for (key, value) in map.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix)) {
            if !each(key, value) {
                break;
            }
        }
        Ok(())
    }

    fn apply_and(&self, batch: Batch, once_durable: &mut dyn FnMut()) -> Result<(), StateError> {
        once_durable();
        let mut map = self.map();
        for (key, value) in batch.writes {
            match value {
                Some(value) => drop(map.insert(key, value)),
                None => drop(map.remove(&key)),
            }
        }
        Ok(())
    }
}
