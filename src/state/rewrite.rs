//! Writing the store anew. What was deleted from sled, or overwritten, stands in its log until the segment is used
//! again: to be rid of it, what shall stay is copied into a new store that takes the old one's place.

use std::io;
use std::path::{Path, PathBuf};

use super::{Batch, SledStore, StateError, StateStore};
use crate::platform;

/// Records written to the new store at a time.
const GROUP: usize = 512;

/// What becomes of the records on their way into the new store.
pub(super) trait Edit {
    /// One record, in the order of the keys: its new value, or `None` to leave it out.
    fn edit(&mut self, key: &[u8], value: Vec<u8>) -> Result<Option<Vec<u8>>, StateError>;

    /// What is added at the end.
    fn more(&mut self) -> Batch {
        Batch::default()
    }
}

fn beside(dir: &Path, end: &str) -> PathBuf {
    let mut name = dir.as_os_str().to_os_string();
    name.push(end);
    name.into()
}

/// Copies the store in `dir` through `edit` into a new one, adds `more`, and puts it in the old one's place.
///
/// # Errors
/// If the old store cannot be read or the new one cannot be written; the old one then is where it was.
pub(super) fn rewrite(dir: &Path, edit: &mut impl Edit) -> Result<(), StateError> {
    let (fresh, old) = (beside(dir, ".fresh"), beside(dir, ".old"));
    remove(&fresh)?;
    {
        let from = SledStore::open(dir)?;
        let to = SledStore::open(&fresh)?;
        let mut batch = Batch::default();
        let mut trouble = Ok(());
        from.scan(b"", &mut |key, value| {
            trouble = edit.edit(key, value.to_vec()).and_then(|value| {
                if let Some(value) = value {
                    batch.writes.push((key.to_vec(), Some(value)));
                }
                if batch.writes.len() >= GROUP { to.apply(std::mem::take(&mut batch)) } else { Ok(()) }
            });
            trouble.is_ok()
        })?;
        trouble?;
        batch.writes.extend(edit.more().writes);
        to.apply(batch)?;
    }
    sync_all(&fresh)?;
    std::fs::rename(dir, &old)?;
    std::fs::rename(&fresh, dir)?;
    remove(&old)?;
    sync_parent(dir)?;
    Ok(())
}

/// Finishes a change of places that a crash interrupted. To be called before the store is opened.
///
/// # Errors
/// What the system said.
pub fn finish_rewrite(dir: &Path) -> io::Result<()> {
    let (fresh, old) = (beside(dir, ".fresh"), beside(dir, ".old"));
    if !dir.exists() && old.exists() {
        // The old one only moves once the new one is whole.
        std::fs::rename(if fresh.exists() { &fresh } else { &old }, dir)?;
    }
    remove(&fresh)?;
    remove(&old)?;
    if dir.exists() { sync_parent(dir) } else { Ok(()) }
}

fn remove(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_all(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_all(&path)?;
        } else {
            std::fs::File::open(path)?.sync_all()?;
        }
    }
    platform::sync_dir(dir)
}

fn sync_parent(dir: &Path) -> io::Result<()> {
    dir.parent().map_or(Ok(()), platform::sync_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(store: &SledStore, key: &[u8], value: &[u8]) {
        store.apply(Batch { writes: vec![(key.to_vec(), Some(value.to_vec()))] }).unwrap();
    }

    fn bytes_below(dir: &Path) -> Vec<u8> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            all.extend(if path.is_dir() { bytes_below(&path) } else { std::fs::read(path).unwrap() });
        }
        all
    }

    #[test]
    fn what_was_overwritten_or_left_out_stands_in_no_file_of_the_new_store() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("sled");
        let store = SledStore::open(&dir).unwrap();
        put(&store, b"a", b"a secret of before");
        put(&store, b"a", b"kept");
        put(&store, b"b", b"another secret");
        drop(store);
        assert!(
            memchr::memmem::find(&bytes_below(folder.path()), b"secret").is_some(),
            "or it shows nothing"
        );
        struct WithoutB;
        impl Edit for WithoutB {
            fn edit(&mut self, key: &[u8], value: Vec<u8>) -> Result<Option<Vec<u8>>, StateError> {
                Ok((key != b"b").then_some(value))
            }
            fn more(&mut self) -> Batch {
                Batch { writes: vec![(b"c".to_vec(), Some(b"more".to_vec()))] }
            }
        }
        rewrite(&dir, &mut WithoutB).unwrap();
        assert!(memchr::memmem::find(&bytes_below(folder.path()), b"secret").is_none());
        let store = SledStore::open(&dir).unwrap();
        assert_eq!(store.get(b"a").unwrap().as_deref(), Some(b"kept".as_slice()));
        assert_eq!((store.get(b"b").unwrap(), store.get(b"c").unwrap()), (None, Some(b"more".to_vec())));
    }

    #[test]
    fn a_change_of_places_that_was_interrupted_is_finished() {
        for (moved, left) in [(["sled", "sled.old"], "sled.fresh"), (["sled", "sled.old"], "none")] {
            let folder = tempfile::tempdir().unwrap();
            let dir = folder.path().join("sled");
            put(&SledStore::open(&dir).unwrap(), b"a", b"old");
            if left == "sled.fresh" {
                put(&SledStore::open(&folder.path().join(left)).unwrap(), b"a", b"new");
            }
            std::fs::rename(folder.path().join(moved[0]), folder.path().join(moved[1])).unwrap();
            finish_rewrite(&dir).unwrap();
            let expected: &[u8] = if left == "none" { b"old" } else { b"new" };
            assert_eq!(SledStore::open(&dir).unwrap().get(b"a").unwrap().as_deref(), Some(expected));
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }
}
