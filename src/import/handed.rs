use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::platform;
use crate::session::SessionKey;
use crate::spool::Home;

/// The first line of the file; another version begins anew.
const HEAD: &[u8; 16] = b"atles imported 1";
/// Bytes kept of each key.
const LENGTH: usize = 16;

/// The sessions that imports have handed to the spool: keys, one after the other, in `state/imported`. Its lock lets
/// one import run at a time.
#[derive(Debug)]
pub(super) struct Handed {
    /// `None` for one that is only looked at.
    file: Option<File>,
    known: HashSet<[u8; LENGTH]>,
    fresh: Vec<[u8; LENGTH]>,
}

fn keys_of(bytes: &[u8]) -> HashSet<[u8; LENGTH]> {
    bytes.chunks_exact(LENGTH).filter_map(|key| key.try_into().ok()).collect()
}

fn short(key: &SessionKey) -> [u8; LENGTH] {
    key.0.first_chunk().copied().unwrap_or_default()
}

impl Handed {
    /// The record of a home as it is now, to be asked only.
    pub(super) fn look(home: &Home) -> io::Result<Self> {
        let bytes = match std::fs::read(home.root.join("state").join("imported")) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let keys = bytes.strip_prefix(HEAD).unwrap_or_default();
        Ok(Handed { file: None, known: keys_of(keys), fresh: Vec::new() })
    }

    /// Opens the record of a home; `None` while another import has it.
    pub(super) fn open(home: &Home) -> io::Result<Option<Self>> {
        let folder = home.root.join("state");
        platform::make_private_dir(&folder)?;
        let path = folder.join("imported");
        if !path.exists() {
            platform::create_private(&path)?.sync_all()?;
            platform::sync_dir(&folder)?;
        }
        let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let keys = match bytes.strip_prefix(HEAD) {
            Some(keys) => keys,
            None => {
                file.set_len(0)?;
                file.rewind()?;
                file.write_all(HEAD)?;
                &[]
            }
        };
        let known = keys_of(keys);
        // A note that was cut short by a crash is written over.
        let whole = keys.len() - keys.len() % LENGTH;
        file.seek(SeekFrom::Start((HEAD.len() + whole) as u64))?;
        Ok(Some(Handed { file: Some(file), known, fresh: Vec::new() }))
    }

    pub(super) fn knows(&self, key: &SessionKey) -> bool {
        self.known.contains(&short(key))
    }

    /// Notes a session; on the disk after [`Handed::sync`].
    pub(super) fn note(&mut self, key: &SessionKey) {
        if self.known.insert(short(key)) {
            self.fresh.push(short(key));
        }
    }

    /// Writes what was noted. To be called when the sessions are durable in the spool: one that is not noted is handed
    /// over again and found to be a duplicate, one that is noted too early would be lost.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        let Some(file) = self.file.as_mut().filter(|_| !self.fresh.is_empty()) else { return Ok(()) };
        file.write_all(&self.fresh.concat())?;
        file.sync_data()?;
        self.fresh.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_come_back_and_a_torn_one_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        let (a, b) = (SessionKey([1; 32]), SessionKey([2; 32]));
        let mut handed = Handed::open(&home).unwrap().unwrap();
        handed.note(&a);
        handed.sync().unwrap();
        assert!(Handed::open(&home).unwrap().is_none(), "one import at a time");
        drop(handed);
        let path = dir.path().join("state/imported");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(&[2; 5]).unwrap();
        let mut handed = Handed::open(&home).unwrap().unwrap();
        assert!(handed.knows(&a) && !handed.knows(&b));
        handed.note(&b);
        handed.sync().unwrap();
        drop(handed);
        let handed = Handed::open(&home).unwrap().unwrap();
        assert!(handed.knows(&a) && handed.knows(&b));
    }
}
