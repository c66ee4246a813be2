//! Session files that the program itself hands to the spool.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::Home;
use crate::platform;
use crate::session::{Session, SessionKey};

/// Writes sessions into the spool, many at a time: all under hidden names, then one sync, then the renames.
///
/// A file is named by the hash of its session, so that one which is handed over twice, because a crash came before
/// anybody noted it, is there once.
#[derive(Debug)]
pub struct Delivery {
    spool: PathBuf,
    prefix: &'static str,
    staged: Vec<(PathBuf, PathBuf)>,
}

/// Why a session was not written.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The session's file would be larger than the spool takes.
    #[error("the session file would be larger than [spool] max_size")]
    TooLarge,
    /// The disk would not.
    #[error("cannot write to the spool: {0}")]
    Io(#[from] io::Error),
}

impl Delivery {
    /// A delivery of files whose names begin with `prefix`. There is at most one with a prefix at a time: what another
    /// one that broke off had staged is cleared away.
    ///
    /// # Errors
    /// If the spool cannot be read.
    pub fn new(home: &Home, prefix: &'static str) -> io::Result<Self> {
        let hidden = format!(".{prefix}-");
        for entry in std::fs::read_dir(&home.spool)? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(hidden.as_bytes()) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(Delivery { spool: home.spool.clone(), prefix, staged: Vec::new() })
    }

    /// The name a session gets in the spool.
    pub fn name(&self, key: &SessionKey) -> OsString {
        let hash = key.to_string();
        format!("{}-{}.json", self.prefix, hash.get(..32).unwrap_or(&hash)).into()
    }

    /// Writes a session under a hidden name, to be published with others.
    ///
    /// # Errors
    /// If it is larger than `max_size` bytes, or cannot be written; then nothing is left of it.
    pub fn stage(&mut self, session: &Session, key: &SessionKey, max_size: u64) -> Result<(), DeliveryError> {
        let name = self.name(key);
        let mut hidden = OsString::from(".");
        hidden.push(&name);
        let aside = self.spool.join(hidden);
        if self.staged.iter().rev().any(|(staged, _)| *staged == aside) {
            return Ok(());
        }
        if let Err(error) = write(session, &aside, max_size) {
            let _ = std::fs::remove_file(&aside);
            return Err(error);
        }
        self.staged.push((aside, self.spool.join(name)));
        Ok(())
    }

    /// Gives up what is staged.
    pub fn discard(&mut self) {
        for (aside, _) in self.staged.drain(..) {
            // One that stays is cleared away by the next delivery.
            let _ = std::fs::remove_file(aside);
        }
    }

    /// How many are staged.
    pub fn staged(&self) -> usize {
        self.staged.len()
    }

    /// Makes the staged files durable, then lets the spool see them; durable as a whole when this returns.
    ///
    /// # Errors
    /// If the disk would not. What was not published stays staged.
    pub fn publish(&mut self) -> io::Result<()> {
        if self.staged.is_empty() {
            return Ok(());
        }
        if !platform::sync_filesystem(&self.spool)? {
            for (aside, _) in &self.staged {
                std::fs::File::open(aside)?.sync_all()?;
            }
        }
        while let Some((aside, path)) = self.staged.last() {
            match platform::rename_no_replace(aside, path) {
                Ok(()) => {}
                // The same session waits there already.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => std::fs::remove_file(aside)?,
                Err(error) => return Err(error),
            }
            self.staged.pop();
        }
        platform::sync_dir(&self.spool)
    }

    /// Files in the spool that wait to be taken.
    ///
    /// # Errors
    /// If the spool cannot be read.
    pub fn waiting(&self) -> io::Result<usize> {
        let waits = |name: &OsStr| !name.as_encoded_bytes().starts_with(b".");
        let names = std::fs::read_dir(&self.spool)?.filter_map(Result::ok);
        Ok(names.filter(|entry| waits(&entry.file_name())).count())
    }
}

fn write(session: &Session, path: &Path, max_size: u64) -> Result<(), DeliveryError> {
    let mut file = Bounded { file: BufWriter::new(platform::create_private(path)?), left: max_size };
    match serde_json::to_writer(&mut file, session) {
        Ok(()) => Ok(file.file.flush()?),
        Err(_) if file.left == 0 => Err(DeliveryError::TooLarge),
        Err(error) => Err(DeliveryError::Io(error.into())),
    }
}

/// Refuses to write more than so many bytes.
struct Bounded<W> {
    file: W,
    left: u64,
}

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.left.checked_sub(bytes.len() as u64) {
            Some(left) => self.left = left,
            None => {
                self.left = 0;
                return Err(ErrorKind::FileTooLarge.into());
            }
        }
        self.file.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::formats::{Format, decode};
    use crate::session::{Message, Role};

    fn session(id: &str) -> Session {
        let messages = vec![Message::new(Role::User, "Tea?")];
        Session { session_id: id.into(), messages, ..Session::default() }
    }

    #[test]
    fn files_appear_whole_at_once_and_one_that_is_handed_over_twice_is_there_once() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        home.prepare().unwrap();
        let mut delivery = Delivery::new(&home, "import").unwrap();
        for id in ["../a", "b"] {
            let session = session(id);
            delivery.stage(&session, &SessionKey::of(&session), 1 << 20).unwrap();
        }
        assert_eq!((delivery.waiting().unwrap(), delivery.staged()), (0, 2));
        delivery.publish().unwrap();
        assert_eq!(delivery.waiting().unwrap(), 2);
        let key = SessionKey::of(&session("b"));
        let bytes = std::fs::read(home.spool.join(delivery.name(&key))).unwrap();
        assert_eq!(decode(&bytes, Format::Atles).unwrap().sessions, [session("b")]);

        let again = session("b");
        delivery.stage(&again, &key, 1 << 20).unwrap();
        delivery.publish().unwrap();
        assert_eq!(std::fs::read_dir(&home.spool).unwrap().count(), 2, "no hidden file is left either");
    }

    #[test]
    fn a_session_that_is_too_large_leaves_nothing_and_so_does_a_delivery_that_broke_off() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        home.prepare().unwrap();
        let mut delivery = Delivery::new(&home, "import").unwrap();
        let large = Session { messages: vec![Message::new(Role::User, "x".repeat(9000))], ..session("c") };
        let refused = delivery.stage(&large, &SessionKey::of(&large), 1000);
        assert!(matches!(refused, Err(DeliveryError::TooLarge)));
        let small = session("d");
        delivery.stage(&small, &SessionKey::of(&small), 1000).unwrap();
        assert_eq!(std::fs::read_dir(&home.spool).unwrap().count(), 1);
        drop(delivery);
        Delivery::new(&home, "import").unwrap();
        assert_eq!(std::fs::read_dir(&home.spool).unwrap().count(), 0);
    }
}
