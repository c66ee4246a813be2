//! The store on disk.
//!
//! sled 0.34 promises that `flush` makes writes durable, and on Linux it does not: it writes and starts the
//! write-back, without fsync. So the log file is synced here. Values stay small (a value of 128 KiB or more would
//! become a blob file that sled never syncs), and the cache is bounded (its default is a gibibyte).

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::{Batch, StateError, StateStore};
use crate::platform;

const CACHE_BYTES: u64 = 16 << 20;

/// [`StateStore`] on sled.
///
/// After one write that failed (a full disk, say) sled refuses all others, also when there is room again, and shows
/// to readers what never reached the disk. So it is let go of then, and opened anew when it is next asked.
#[derive(Debug)]
pub struct SledStore {
    dir: PathBuf,
    open: RwLock<Option<Opened>>,
}

#[derive(Debug)]
struct Opened {
    db: sled::Db,
    log: File,
}

impl SledStore {
    /// Opens or makes the store in a folder of its own.
    ///
    /// # Errors
    /// [`StateError::Corrupt`] for a store that must be set aside, [`StateError::Busy`] while another process has it.
    pub fn open(dir: &Path) -> Result<Self, StateError> {
        platform::make_private_dir(dir)?;
        let opened = Opened::open(dir)?;
        // sled writes its settings once and never syncs them, and cannot open a store whose settings are torn.
        platform::sync_point("state.settings", || File::open(dir.join("conf"))?.sync_all())?;
        platform::sync_point("state.folder", || platform::sync_dir(dir))?;
        if let Some(parent) = dir.parent() {
            platform::sync_point("state.name", || platform::sync_dir(parent))?;
        }
        Ok(SledStore { dir: dir.to_path_buf(), open: RwLock::new(Some(opened)) })
    }

    fn with<T>(&self, work: impl FnOnce(&Opened) -> Result<T, StateError>) -> Result<T, StateError> {
        if let Some(opened) = &*self.open.read().unwrap_or_else(PoisonError::into_inner) {
            return work(opened);
        }
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let opened = match open.take() {
            Some(opened) => opened,
            None => Opened::open(&self.dir)?,
        };
        work(open.insert(opened))
    }

    fn let_go(&self) {
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Moves a damaged store out of the way, so that a new one can take its place; where it lies now.
    ///
    /// # Errors
    /// If it cannot be moved.
    pub fn set_aside(dir: &Path, stamp: &str) -> io::Result<PathBuf> {
        let named = |number: u32| {
            let mut name = dir.as_os_str().to_os_string();
            let again = if number > 1 { format!("-{number}") } else { String::new() };
            name.push(format!(".damaged-{stamp}{again}"));
            PathBuf::from(name)
        };
        // Twice within one second is rare, and must not keep the daemon from starting.
        let is_free = |aside: &PathBuf| platform::lstat(aside).is_err();
        let aside = (1..).map(named).find(is_free).unwrap_or_else(|| named(1));
        std::fs::rename(dir, &aside)?;
        Ok(aside)
    }
}

/// So long somebody else's lock is waited for: a program that is just being started has a copy of ours for a moment,
/// until it runs.
const PATIENCE: Duration = Duration::from_millis(250);

impl Opened {
    fn open(dir: &Path) -> Result<Self, StateError> {
        let until = Instant::now() + PATIENCE;
        loop {
            match Self::try_open(dir) {
                Err(StateError::Busy) if Instant::now() < until => std::thread::sleep(PATIENCE / 50),
                opened => return opened,
            }
        }
    }

    fn try_open(dir: &Path) -> Result<Self, StateError> {
        remove_unfinished_snapshots(dir)?;
        // sled panics on some kinds of damage; that is damage too.
        let opened = std::panic::catch_unwind(|| {
            sled::Config::new().path(dir).cache_capacity(CACHE_BYTES).flush_every_ms(Some(500)).open()
        });
        let db = match opened {
            Ok(Ok(db)) => db,
            Ok(Err(error)) => return Err(translate(error)),
            Err(_) => return Err(StateError::Corrupt("it could not be opened".into())),
        };
        Ok(Opened { log: File::open(dir.join("db"))?, db })
    }

    fn apply(&self, batch: Batch) -> Result<(), StateError> {
        let mut writes = sled::Batch::default();
        for (key, value) in batch.writes {
            match value {
                Some(value) => writes.insert(key, value),
                None => writes.remove(key),
            }
        }
        self.db.apply_batch(writes).map_err(translate)?;
        platform::failpoint("state.applied");
        self.db.flush().map_err(translate)?;
        platform::failpoint("state.flushed");
        platform::sync_point("state", || self.log.sync_data())?;
        Ok(())
    }
}

/// Each opening writes down where sled's pages are, as `snap.X.generating` that is then renamed to `snap.X`. A kill in
/// between leaves it half written, and the next opening would take it for the newest and call the whole store
/// corrupt. It says nothing that the log does not say.
fn remove_unfinished_snapshots(dir: &Path) -> io::Result<()> {
    let Ok(log) = File::open(dir.join("db")) else { return Ok(()) };
    if log.try_lock().is_err() {
        // Somebody has the store open; sled will say so.
        return Ok(());
    }
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(b"snap.") && name.ends_with(b".generating") {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

impl StateStore for SledStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.with(|opened| Ok(opened.db.get(key).map_err(translate)?.map(|value| value.to_vec())))
    }

    fn scan(&self, prefix: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StateError> {
        self.with(|opened| {
            for pair in opened.db.scan_prefix(prefix) {
                let (key, value) = pair.map_err(translate)?;
                if !each(&key, &value) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn apply(&self, batch: Batch) -> Result<(), StateError> {
        self.with(|opened| opened.apply(batch)).inspect_err(|_| self.let_go())
    }
}

fn translate(error: sled::Error) -> StateError {
    match error {
        sled::Error::Io(error)
            if error.kind() == io::ErrorKind::WouldBlock
                || error.to_string().contains("could not acquire lock") =>
        {
            StateError::Busy
        }
        sled::Error::Io(error) => StateError::Io(error),
        other => StateError::Corrupt(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::InMemoryStore;
    use super::*;

    fn batches() -> impl Strategy<Value = Vec<Batch>> {
        let key = proptest::collection::vec(0u8..4, 0..4);
        let value = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..64));
        let batch = proptest::collection::vec((key, value), 0..8).prop_map(|writes| Batch { writes });
        proptest::collection::vec(batch, 0..12)
    }

    fn all(store: &dyn StateStore, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut pairs = Vec::new();
        store
            .scan(prefix, &mut |key, value| {
                pairs.push((key.to_vec(), value.to_vec()));
                true
            })
            .unwrap();
        pairs
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_store_holds_what_a_map_would_hold_also_after_it_was_reopened(batches in batches()) {
            let dir = tempfile::tempdir().unwrap();
            let model = InMemoryStore::default();
            for batch in batches {
                // The same key twice in one batch: the last write counts in both.
                let store = SledStore::open(dir.path()).unwrap();
                store.apply(batch.clone()).unwrap();
                model.apply(batch).unwrap();
                drop(store);
            }
            let store = SledStore::open(dir.path()).unwrap();
            for prefix in [&[][..], &[1], &[2, 3]] {
                prop_assert_eq!(all(&store, prefix), all(&model, prefix));
            }
        }
    }

    #[test]
    fn a_store_that_was_let_go_of_is_opened_again_with_what_it_held() {
        let dir = tempfile::tempdir().unwrap();
        let store = SledStore::open(dir.path()).unwrap();
        let put = |key: &[u8]| Batch { writes: vec![(key.to_vec(), Some(b"value".to_vec()))] };
        store.apply(put(b"a")).unwrap();
        store.let_go();
        assert_eq!(store.get(b"a").unwrap().as_deref(), Some(b"value".as_slice()));
        store.let_go();
        store.apply(put(b"b")).unwrap();
        assert_eq!(all(&store, b"").len(), 2);
        // While it cannot be opened it is an error, and it comes back by itself.
        store.let_go();
        let other = SledStore::open(dir.path()).unwrap();
        assert!(matches!(store.get(b"a"), Err(StateError::Busy)));
        drop(other);
        assert_eq!(store.get(b"b").unwrap().as_deref(), Some(b"value".as_slice()));
    }

    #[test]
    fn a_second_opening_is_told_that_the_store_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let _first = SledStore::open(dir.path()).unwrap();
        assert!(matches!(SledStore::open(dir.path()), Err(StateError::Busy)));
    }

    #[test]
    fn what_a_kill_left_half_written_while_the_store_was_opened_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let put = |key: &[u8]| Batch { writes: vec![(key.to_vec(), Some(b"value".to_vec()))] };
        let store = SledStore::open(dir.path()).unwrap();
        store.apply(put(b"a")).unwrap();
        drop(store);
        drop(SledStore::open(dir.path()).unwrap());
        let is_snapshot = |path: &PathBuf| path.to_string_lossy().contains("snap.");
        let entries = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let snapshot = entries.into_iter().find(is_snapshot).unwrap();
        let whole = std::fs::read(snapshot).unwrap();
        for length in [0, 1, 12, 13, whole.len() / 2, whole.len() - 1] {
            let torn = dir.path().join("snap.7FFFFFFFFFFFFFFF.generating");
            std::fs::write(&torn, &whole[..length]).unwrap();
            let store = SledStore::open(dir.path()).unwrap();
            assert_eq!(store.get(b"a").unwrap().as_deref(), Some(b"value".as_slice()), "{length} bytes");
            assert!(!torn.exists());
            assert!(matches!(SledStore::open(dir.path()), Err(StateError::Busy)));
        }
    }

    #[test]
    fn a_damaged_store_is_an_error_and_can_be_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sled");
        drop(SledStore::open(&path).unwrap());
        std::fs::write(path.join("conf"), b"segment_size: 7\nnonsense").unwrap();
        assert!(SledStore::open(&path).is_err());
        let aside = SledStore::set_aside(&path, "20260101").unwrap();
        assert!(aside.exists() && !path.exists());
        assert!(SledStore::open(&path).is_ok());
        // Once more within the second.
        let again = SledStore::set_aside(&path, "20260101").unwrap();
        assert!(aside.exists() && again.exists() && aside != again);
    }
}
