//! Databases of other programs, read so that nothing beside them changes.
//!
//! A read-only connection to a database with a write-ahead log makes a `-shm` file beside it and takes locks. So a
//! database without a log is opened as one that nobody writes (`immutable`), which touches nothing; one with a log is
//! copied, log and all, into a folder of ours and opened there. In both cases it is looked at again afterwards: one
//! that changed meanwhile is read another time.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use thiserror::Error;

use crate::platform::{self, Signature};

/// How often a copy is tried while the program writes.
const TRIES: usize = 3;
/// Bytes at the start of a write-ahead log that change when it begins anew.
const WAL_HEAD: usize = 32;

/// Why a database was not read.
#[derive(Debug, Error)]
pub(super) enum DatabaseError {
    /// The program is writing it: try again later.
    #[error("the program is writing to it")]
    Busy,
    /// SQLite says no.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The disk says no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(end);
    name.into()
}

/// The signature of a file; `None` where it is missing, empty or no regular file.
fn signature(path: &Path) -> Option<Signature> {
    let metadata = platform::lstat(path).ok()?;
    (metadata.is_file() && metadata.len() > 0).then(|| Signature::of(&metadata))
}

/// The state of a database and its log together.
pub(super) fn looks(path: &Path) -> Option<(Signature, Option<Signature>)> {
    Some((signature(path)?, signature(&beside(path, "-wal"))))
}

/// Hands a connection to `work`. `aside` is a folder of ours for a copy.
pub(super) fn read<T>(
    path: &Path,
    aside: &Path,
    work: impl FnOnce(&Connection) -> Result<T, DatabaseError>,
) -> Result<T, DatabaseError> {
    // A transaction under way, or one that broke off and is not ours to undo.
    if signature(&beside(path, "-journal")).is_some() {
        return Err(DatabaseError::Busy);
    }
    let before = looks(path).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    if before.1.is_some() {
        let copy = copy(path, aside)?;
        let result = Connection::open(&copy.0).map_err(Into::into).and_then(|connection| work(&connection));
        drop(copy);
        return result;
    }
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri(path), flags)?;
    let result = work(&connection);
    drop(connection);
    if looks(path) != Some(before) { Err(DatabaseError::Busy) } else { result }
}

/// A path as SQLite's `file:` address, with everything escaped that has a meaning there.
fn uri(path: &Path) -> String {
    // A drive letter comes behind three slashes.
    let mut uri = String::from(if cfg!(windows) { "file:///" } else { "file:" });
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'\\' | b':' if cfg!(windows) => uri.push(if byte == b':' { ':' } else { '/' }),
            b'/' | b'-' | b'_' | b'.' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                uri.push(byte as char);
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri + "?mode=ro&immutable=1"
}

/// A copy that is deleted when it is dropped.
struct Copy(PathBuf);

impl Drop for Copy {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(beside(&self.0, end));
        }
    }
}

/// Copies a database and its log. The log may grow meanwhile: a transaction that was cut is ignored by SQLite. What must
/// not happen in between is that the log is written back into the database, or begins anew.
fn copy(path: &Path, aside: &Path) -> Result<Copy, DatabaseError> {
    platform::make_private_dir(aside)?;
    let copy = Copy(aside.join("copy.db"));
    let wal = beside(path, "-wal");
    for _ in 0..TRIES {
        let before = (signature(path), head(&wal)?);
        for (from, to) in [(path, copy.0.clone()), (wal.as_path(), beside(&copy.0, "-wal"))] {
            let (mut from, _) = platform::open_regular(from)?;
            io::copy(&mut from, &mut platform::create_private(&to)?)?;
        }
        if (signature(path), head(&wal)?) == before {
            return Ok(copy);
        }
    }
    Err(DatabaseError::Busy)
}

fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(WAL_HEAD as u64).read_to_end(&mut head)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(dir: &Path) -> Vec<(PathBuf, Signature, blake3::Hash)> {
        let mut files = Vec::new();
        super::super::tree::files(dir, &mut |path, signature| {
            files.push((path.to_path_buf(), signature, blake3::hash(&std::fs::read(path).unwrap())));
        })
        .unwrap();
        files.sort_by(|a, b| a.0.cmp(&b.0));
        files
    }

    #[test]
    fn a_database_with_its_log_is_read_and_nothing_beside_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let aside = tempfile::tempdir().unwrap();
        let path = dir.path().join("a ?#%.db");
        let writer = Connection::open(&path).unwrap();
        writer.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1);").unwrap();
        let count = |path: &Path| {
            read(path, aside.path(), |db| {
                Ok(db.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0))?)
            })
        };
        let before = fingerprint(dir.path());
        assert_eq!(count(&path).unwrap(), 1);
        assert_eq!(fingerprint(dir.path()), before);

        writer.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).unwrap();
        writer.execute_batch("INSERT INTO t VALUES (2); INSERT INTO t VALUES (3);").unwrap();
        let before = fingerprint(dir.path());
        assert_eq!(before.len(), 3, "database, log and shared memory");
        assert_eq!(count(&path).unwrap(), 3, "rows that are only in the log");
        assert_eq!(fingerprint(dir.path()), before);
        assert_eq!(std::fs::read_dir(aside.path()).unwrap().count(), 0, "the copy is gone");

        drop(writer);
        let before = fingerprint(dir.path());
        assert_eq!(before.len(), 1, "closed: the log is written back");
        assert_eq!(count(&path).unwrap(), 3);
        assert_eq!(fingerprint(dir.path()), before);
        assert!(count(&dir.path().join("gone.db")).is_err());
    }
}
