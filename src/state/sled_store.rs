//! The store on disk.
//!
//! A batch is durable in the redo log ([`super::redo`]) before sled has it. Now and then all that sled has is made
//! durable too, and the redo log begins again.
//!
//! sled 0.34 promises that `flush` makes writes durable, and on Linux it does not: it writes and starts the
//! write-back, without fsync. So sled's own log is synced here. Values stay small (a value of 128 KiB or more would
//! become a blob file that sled never syncs), and the cache is bounded (its default is a gibibyte).

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::redo::{Kept, RedoLog};
use super::{Batch, StateError, StateStore};
use crate::platform;

const CACHE_BYTES: u64 = 16 << 20;
/// The tree, and the key in it, under which stands which generation of the redo log may hold what sled has not.
const MARKS: &str = "redo";
const GENERATION: &str = "generation";

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
    marks: sled::Tree,
    log: File,
    redo: Mutex<RedoLog>,
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
        std::panic::catch_unwind(|| Self::open_all(dir))
            .unwrap_or_else(|_| Err(StateError::Corrupt("it could not be opened".into())))
    }

    fn open_all(dir: &Path) -> Result<Self, StateError> {
        let settings = sled::Config::new().path(dir).cache_capacity(CACHE_BYTES).flush_every_ms(Some(500));
        let db = settings.open().map_err(translate)?;
        let marks = db.open_tree(MARKS).map_err(translate)?;
        let (redo, kept) = RedoLog::open(dir)?;
        let opened = Opened { log: File::open(dir.join("db"))?, db, marks, redo: Mutex::new(redo) };
        opened.make_up(kept)?;
        Ok(opened)
    }

    /// Gives sled what only the redo log may have, and begins that anew.
    fn make_up(&self, kept: Option<Kept>) -> Result<(), StateError> {
        let known = self.marks.get(GENERATION).map_err(translate)?;
        let known =
            known.and_then(|bytes| Some(u64::from_be_bytes(bytes.as_ref().try_into().ok()?))).unwrap_or(0);
        if let Some(kept) = kept {
            if kept.generation > known {
                return Err(StateError::Corrupt("it is older than the log of what was written to it".into()));
            }
            if kept.generation == known {
                kept.batches.into_iter().try_for_each(|batch| self.hand_over(batch))?;
            }
        }
        let mut redo = self.redo_log();
        redo.begin(known);
        self.checkpoint(&mut redo)
    }

    fn redo_log(&self) -> MutexGuard<'_, RedoLog> {
        self.redo.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, batch: Batch, once_durable: &mut dyn FnMut()) -> Result<(), StateError> {
        if batch.writes.is_empty() {
            once_durable();
            return Ok(());
        }
        let mut redo = self.redo_log();
        let mut is_logged = redo.append(&batch)?;
        if !is_logged && !redo.is_empty() {
            self.checkpoint(&mut redo)?;
            is_logged = redo.append(&batch)?;
        }
        if is_logged {
            once_durable();
            return self.hand_over(batch);
        }
        // It is larger than the log: sled makes it durable.
        self.hand_over(batch)?;
        self.checkpoint(&mut redo)?;
        once_durable();
        Ok(())
    }

    fn hand_over(&self, batch: Batch) -> Result<(), StateError> {
        let mut writes = sled::Batch::default();
        for (key, value) in batch.writes {
            match value {
                Some(value) => writes.insert(key, value),
                None => writes.remove(key),
            }
        }
        self.db.apply_batch(writes).map_err(translate)?;
        platform::failpoint("state.applied");
        Ok(())
    }

    /// Makes all that sled has durable, and with it that the redo log need not be looked at: it begins anew.
    fn checkpoint(&self, redo: &mut RedoLog) -> Result<(), StateError> {
        let next = redo.generation() + 1;
        self.marks.insert(GENERATION, &next.to_be_bytes()).map_err(translate)?;
        self.db.flush().map_err(translate)?;
        platform::failpoint("state.flushed");
        platform::sync_point("state", || self.log.sync_data())?;
        redo.begin(next);
        Ok(())
    }
}

/// Closed in order, the store does not need its redo log; after a failure it does, and nothing is said about it.
impl Drop for SledStore {
    fn drop(&mut self) {
        if let Some(opened) = self.open.get_mut().unwrap_or_else(PoisonError::into_inner) {
            let mut redo = opened.redo_log();
            if !redo.is_empty() {
                let _ = opened.checkpoint(&mut redo);
            }
        }
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

    fn apply_and(&self, batch: Batch, once_durable: &mut dyn FnMut()) -> Result<(), StateError> {
        self.with(|opened| opened.apply(batch, once_durable)).inspect_err(|_| self.let_go())
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

    fn copy(from: &Path, to: &Path, wanted: impl Fn(&str) -> bool) {
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() && wanted(entry.file_name().to_str().unwrap()) {
                std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    }

    /// A store that was just opened, and what its folder then was like.
    fn opened(dir: &Path) -> (SledStore, tempfile::TempDir) {
        let store = SledStore::open(dir).unwrap();
        let image = tempfile::tempdir().unwrap();
        copy(dir, image.path(), |_| true);
        (store, image)
    }

    /// What a loss of power leaves of a folder if sled's writes since it was opened are lost, all of them.
    fn without_sleds_writes(dir: &Path, opened: &Path) -> tempfile::TempDir {
        let image = tempfile::tempdir().unwrap();
        copy(opened, image.path(), |_| true);
        copy(dir, image.path(), |name| name == "redo.log");
        image
    }

    fn generation(store: &SledStore) -> u64 {
        store.with(|opened| Ok(opened.redo_log().generation())).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn every_batch_is_there_after_a_loss_of_power_that_takes_all_that_sled_wrote(batches in batches()) {
            let dir = tempfile::tempdir().unwrap();
            let model = InMemoryStore::default();
            let (store, opened) = opened(dir.path());
            for batch in batches {
                store.apply(batch.clone()).unwrap();
                model.apply(batch).unwrap();
                let image = without_sleds_writes(dir.path(), opened.path());
                // The second time there is nothing to be redone any more.
                for _ in 0..2 {
                    let found = SledStore::open(image.path()).unwrap();
                    prop_assert_eq!(all(&found, &[]), all(&model, &[]));
                }
            }
        }
    }

    #[test]
    fn a_store_outlives_its_redo_log_many_times_and_takes_batches_larger_than_it() {
        let dir = tempfile::tempdir().unwrap();
        let model = InMemoryStore::default();
        let (mut store, mut image) = opened(dir.path());
        let (mut redone, mut begun_anew) = (0, 0);
        for number in 0..60u8 {
            // A hundred values of half a KiB to four: from a fifth of the log to more than all of it.
            let value = |at: u8| Some(vec![number; 512 + usize::from(number % 8) * 512 + usize::from(at)]);
            let writes = (0..100).map(|at| (vec![number % 5, at], value(at)));
            let batch = Batch { writes: writes.collect() };
            let before = generation(&store);
            store.apply(batch.clone()).unwrap();
            model.apply(batch).unwrap();
            if generation(&store) == before {
                redone += 1;
                let lost = without_sleds_writes(dir.path(), image.path());
                assert!(all(&SledStore::open(lost.path()).unwrap(), &[]) == all(&model, &[]), "{number}");
            } else {
                begun_anew += 1;
                drop(store);
                (store, image) = opened(dir.path());
                assert!(all(&store, &[]) == all(&model, &[]), "{number}");
            }
        }
        assert!(redone > 20 && begun_anew > 20, "{redone} {begun_anew}");
    }

    #[test]
    fn a_store_from_before_its_redo_log_began_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let (store, early) = opened(dir.path());
        drop(store);
        let store = SledStore::open(dir.path()).unwrap();
        store.apply(Batch { writes: vec![(b"a".to_vec(), Some(b"value".to_vec()))] }).unwrap();
        let image = without_sleds_writes(dir.path(), early.path());
        assert!(matches!(SledStore::open(image.path()), Err(StateError::Corrupt(_))));
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
