use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io::{self, ErrorKind, Read};
use std::path::PathBuf;

use thiserror::Error;

use super::names::{move_into, next_number, numbered, shown};
use super::{Home, SIDECAR_SUFFIX};
use crate::platform::{self, Signature};

/// A file that was moved from the spool to `work/` and now is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Its name in `work/`: the one it was dropped under, numbered where that was taken.
    pub name: OsString,
    /// Why it must not be opened, if so.
    pub refusal: Option<Refusal>,
}

/// Why a file is not even opened.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// A symlink, FIFO, socket or device.
    #[error("{0}, not a regular file")]
    NotAFile(&'static str),
    /// Larger than `[spool] max_size`.
    #[error("{size} bytes, more than the {max} that [spool] max_size allows")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        max: u64,
    },
}

impl Refusal {
    /// What a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Refusal::NotAFile(_) => {
                "drop a copy of the session file itself; links and devices are never followed"
            }
            Refusal::TooLarge { .. } => {
                "raise [spool] max_size in pipeline.toml, or split the file; then `atles failed retry`"
            }
        }
    }

    /// Judges an entry by its metadata alone. `None` for a folder, which is left where it is.
    pub(super) fn of(metadata: &Metadata, max_size: u64) -> Option<Result<(), Refusal>> {
        let kind = metadata.file_type();
        if kind.is_dir() {
            return None;
        }
        if !kind.is_file() {
            return Some(Err(Refusal::NotAFile(kind_name(metadata))));
        }
        let size = metadata.len();
        Some(if size > max_size { Err(Refusal::TooLarge { size, max: max_size }) } else { Ok(()) })
    }
}

fn kind_name(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return "a FIFO";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_block_device() || kind.is_char_device() {
            return "a device";
        }
    }
    if kind.is_symlink() { "a symbolic link" } else { "a special file" }
}

/// Why a claimed file could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// Not a regular file, or too large.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It changed while it was read: its writer is not through.
    #[error("the file is still being written")]
    Changing,
    /// It is not in `work/` any more.
    #[error("the file is gone from work/")]
    Gone,
    /// The system would not let us.
    #[error("cannot read the file: {0}")]
    Io(#[source] io::Error),
}

/// A name that neither `done/` nor `failed/` has yet, so that the file keeps one name from here to its end.
///
/// `work/` is looked at first: a file of that name that leaves it meanwhile is found in the folder it went to.
fn free_name(home: &Home, name: &OsStr) -> OsString {
    let is_taken = |name: &OsStr| {
        [&home.work, &home.done, &home.failed].iter().any(|dir| platform::lstat(&dir.join(name)).is_ok())
    };
    let fits = name.len() + SIDECAR_SUFFIX.len() <= super::names::LONGEST;
    let mut candidate = if fits { name.to_os_string() } else { numbered(name, 1, SIDECAR_SUFFIX.len()) };
    let mut attempts = 1;
    while is_taken(&candidate) {
        attempts += 1;
        candidate = numbered(name, next_number(attempts), SIDECAR_SUFFIX.len());
    }
    candidate
}

impl Claimed {
    /// Moves a file out of the spool. Its content is not touched.
    pub(super) fn take(home: &Home, name: &OsStr, refusal: Option<Refusal>) -> io::Result<Self> {
        let free = free_name(home, name);
        platform::failpoint("claim.named");
        let path = move_into(&home.spool.join(name), &home.work, &free, SIDECAR_SUFFIX.len())?;
        platform::failpoint("claim.moved");
        let name = path.file_name().map_or_else(|| name.to_os_string(), OsStr::to_os_string);
        Ok(Claimed { name, refusal })
    }

    /// A file found in `work/`: claimed by an earlier run, or put back by hand.
    pub fn found(name: OsString) -> Self {
        Claimed { name, refusal: None }
    }

    /// Where it lies now.
    pub fn path(&self, home: &Home) -> PathBuf {
        home.work.join(&self.name)
    }

    /// Its name as text.
    pub fn shown(&self) -> String {
        shown(&self.name)
    }

    /// Reads the whole file, and the signature by which a later write to it is noticed.
    ///
    /// # Errors
    /// See [`ReadError`]; what stands in for a regular file is refused without being opened or waited for.
    pub fn read(&self, home: &Home, max_size: u64) -> Result<(Vec<u8>, Signature), ReadError> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone().into());
        }
        let path = self.path(home);
        let metadata = platform::lstat(&path).map_err(gone_or)?;
        match Refusal::of(&metadata, max_size) {
            Some(Ok(())) => {}
            Some(Err(refusal)) => return Err(refusal.into()),
            None => return Err(Refusal::NotAFile("a folder").into()),
        }
        let (file, before) = platform::open_regular(&path).map_err(gone_or)?;
        platform::make_private(&file, &before);
        let mut bytes = Vec::with_capacity(before.len().min(max_size) as usize + 1);
        (&file).take(max_size + 1).read_to_end(&mut bytes).map_err(ReadError::Io)?;
        let after = Signature::of(&file.metadata().map_err(ReadError::Io)?);
        if bytes.len() as u64 > max_size {
            return Err(Refusal::TooLarge { size: after.size, max: max_size }.into());
        }
        if after != Signature::of(&before) || after.size != bytes.len() as u64 {
            return Err(ReadError::Changing);
        }
        Ok((bytes, after))
    }

    /// Whether the file was written to, or taken away, since it was read.
    pub fn changed_since(&self, home: &Home, signature: Signature) -> bool {
        match platform::lstat(&self.path(home)) {
            Ok(now) => Signature::of(&now) != signature,
            Err(error) => error.kind() == ErrorKind::NotFound,
        }
    }

    /// Moves the file to `done/`, under its own name where that is free.
    ///
    /// # Errors
    /// What the system said; the file then still is in `work/`.
    pub fn move_to_done(&self, home: &Home) -> io::Result<PathBuf> {
        move_into(&self.path(home), &home.done, &self.name, 0)
    }

    /// Moves the file back into the spool, as if it had never been claimed.
    ///
    /// # Errors
    /// What the system said; the file then still is in `work/`.
    pub fn give_back(&self, home: &Home) -> io::Result<PathBuf> {
        move_into(&self.path(home), &home.spool, &self.name, 0)
    }

    /// The name it gets in `failed/`. A session file whose name ends like a sidecar's is marked, so that in `failed/`
    /// every name with that ending is a sidecar.
    pub(super) fn name_in_failed(&self) -> OsString {
        let mut name = self.name.clone();
        if name.as_encoded_bytes().ends_with(SIDECAR_SUFFIX.as_bytes()) {
            name.push(".session");
        }
        name
    }
}

fn gone_or(error: io::Error) -> ReadError {
    if error.kind() == ErrorKind::NotFound { ReadError::Gone } else { ReadError::Io(error) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_files_bear_one_name_while_one_is_claimed_and_the_other_moves_on() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        home.prepare().unwrap();
        let (claimed, moving) = std::sync::mpsc::channel::<Claimed>();
        std::thread::scope(|scope| {
            scope.spawn(|| moving.into_iter().for_each(|file| drop(file.move_to_done(&home).unwrap())));
            let mut names = HashSet::new();
            for chat in 0..500 {
                for _ in 0..4 {
                    let name = OsString::from(format!("{chat}.json"));
                    std::fs::write(home.spool.join(&name), "{}").unwrap();
                    let file = Claimed::take(&home, &name, None).unwrap();
                    assert!(names.insert(file.name.clone()), "{} stands for two files", file.shown());
                    claimed.send(file).unwrap();
                }
            }
            drop(claimed);
        });
    }
}
