//! Opens everything a home holds, and sets aside what is damaged.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use thiserror::Error;
use tracing::{error, info, warn};

use super::Services;
use super::services::key_path;
use crate::config::{Config, Folders, StageEntry};
use crate::forget::{self, Forgotten};
use crate::memory::{MemoryError, Writer, carry, reader};
use crate::pipeline::{EngineError, StateAnew};
use crate::platform;
use crate::session::Identity;
use crate::spool::{FolderError, Home, InstanceLock, LockError};
use crate::stages::decode::Decode;
use crate::state::{SledStore, State, StateError, finish_rewrite};

/// Why the daemon could not start.
#[derive(Debug, Error)]
pub enum BootError {
    /// The folders cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Another daemon runs on this home.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The state store cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// memory.db cannot be used.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The pipeline could not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A file of the home cannot be used.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl BootError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            BootError::Folder(error) => Some(error.hint()),
            BootError::Lock(LockError::Taken { .. }) => Some(
                "`atles status` tells what it does; stop it first, or name another home in pipeline.toml",
            ),
            BootError::Memory(error) => error.hint(),
            BootError::State(StateError::Busy) => {
                Some("another process has the home's state open; wait for it to end")
            }
            _ => None,
        }
    }
}

/// An opened home.
pub struct Booted {
    /// The folders.
    pub home: Home,
    /// The ledger.
    pub state: State,
    /// memory.db.
    pub memory: Writer,
    /// What was forgotten and shall not come back.
    pub forgotten: Arc<Forgotten>,
    /// Held as long as the daemon runs.
    pub lock: InstanceLock,
}

/// The folders that a configuration names.
pub fn home_of(config: &Config) -> Home {
    Home::from(config.folders.clone())
}

impl From<Folders> for Home {
    fn from(folders: Folders) -> Self {
        let Folders { home: root, spool, work, done, failed } = folders;
        Home { root, spool, work, done, failed }
    }
}

/// Takes the home's lock and opens its stores. A damaged store is set aside and begun anew, said out loud.
///
/// # Errors
/// See [`BootError`].
pub fn boot(config: &Config, services: &Services) -> Result<Booted, BootError> {
    let home = home_of(config);
    home.prepare()?;
    let lock = InstanceLock::take(&home)?;
    warn_of_open_folders(&home);
    let home_key =
        services.home_key(&home).map_err(|source| BootError::File { path: key_path(&home.root), source })?;
    finish_rewrite(&home.sled()).map_err(|source| BootError::File { path: home.sled(), source })?;
    if let Err(problem) = forget::resume(&home, &config.decode, home_key) {
        error!(error = %problem, hint = problem.hint(), "what was begun to be forgotten is not finished yet");
    }
    let Stores { state, memory, forgotten } = open_stores(&home, &config.decode, &config.stages, services)?;
    Ok(Booted { home, state, memory, forgotten, lock })
}

/// What a home's pipeline works with.
pub(super) struct Stores {
    pub(super) state: State,
    pub(super) memory: Writer,
    pub(super) forgotten: Arc<Forgotten>,
}

/// Opens the stores of a home whose lock is held.
pub(super) fn open_stores(
    home: &Home,
    decode: &Decode,
    stages: &[StageEntry],
    services: &Services,
) -> Result<Stores, BootError> {
    let home_key =
        services.home_key(home).map_err(|source| BootError::File { path: key_path(&home.root), source })?;
    let forgotten = Forgotten::read(home, home_key)
        .map_err(|source| BootError::File { path: home.receipts(), source })?;
    let (memory, memory_was_damaged) = open_memory(home)?;
    platform::failpoint("boot.memory_opened");
    let state = open_state(&StateAnew { home, decode, stages }, &memory, memory_was_damaged)?;
    platform::failpoint("boot.state_opened");
    let examples = services.examples();
    examples.clear();
    reader::signatures(memory.connection(), |identity, signature| {
        examples.insert(&Identity(identity), signature);
    })?;
    Ok(Stores { state, memory, forgotten: Arc::new(forgotten) })
}

/// Folders that others can enter or write let them read chats or drop files as the user; they may have been made so
/// on purpose, so they are only named.
fn warn_of_open_folders(home: &Home) {
    for dir in [&home.root, &home.spool] {
        if let Some(mode) = platform::open_to_others(dir) {
            warn!(dir = %dir.display(), mode, "others can enter this folder; `chmod 700` keeps it private");
        }
    }
}

fn stamp() -> String {
    Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Opens memory.db; `true` if what it held is lost.
fn open_memory(home: &Home) -> Result<(Writer, bool), BootError> {
    let path = home.memory_db();
    let missing = path.metadata().map_or(0, |it| it.len()) == 0;
    if missing && std::fs::read_dir(&home.done).is_ok_and(|mut done| done.next().is_some()) {
        error!("memory.db is gone; a new one is begun. `atles rebuild` makes it anew from done/");
    }
    match Writer::open(&path) {
        // Without it, what the ledger calls learned is not; a home that has no ledger yet is a new one.
        Ok(writer) => Ok((writer, missing)),
        Err(MemoryError::Damaged(cause)) => {
            let aside = carry::set_aside(&path, &stamp())
                .map_err(|source| BootError::File { path: path.clone(), source })?;
            error!(
                %cause, aside = %aside.display(),
                "memory.db was damaged; it is set aside and a new one is begun. `atles rebuild` makes it anew from \
                 done/"
            );
            Ok((Writer::open(&path)?, true))
        }
        Err(error) => Err(error.into()),
    }
}

fn open_state(makes: &StateAnew<'_>, memory: &Writer, start_over: bool) -> Result<State, BootError> {
    let home = makes.home;
    let dir = home.sled();
    let anew = |why: &str| -> Result<State, BootError> {
        let aside = SledStore::set_aside(&dir, &stamp())
            .map_err(|source| BootError::File { path: dir.clone(), source })?;
        error!(why, aside = %aside.display(), "the state store is set aside and made anew from the folders");
        Ok(State::new(Arc::new(SledStore::open(&dir)?)))
    };
    let fresh = !dir.join("db").exists();
    let count = |dir: &Path| std::fs::read_dir(dir).map_or(0, Iterator::count) as u64;
    let (state, rebuild) = if start_over && !fresh {
        (anew("memory.db was lost")?, true)
    } else {
        match SledStore::open(&dir) {
            Ok(store) => {
                let state = State::new(Arc::new(store));
                // Every file was entered before it moved. Where sled finds the end of its log damaged it goes on
                // without it and says nothing; a store without anything was deleted, or the home copied without it.
                let lost = count(&home.done) > state.totals()?.in_done();
                if state.is_unfinished()? {
                    drop(state);
                    (anew("making it anew was broken off")?, true)
                } else if fresh {
                    (state, lost || count(&home.failed) + count(&home.work) > 0)
                } else if lost {
                    drop(state);
                    (anew("files rest in done/ that it does not know")?, true)
                } else {
                    (state, false)
                }
            }
            Err(StateError::Corrupt(why)) => (anew(&why)?, true),
            Err(error) => return Err(error.into()),
        }
    };
    if rebuild {
        let remembered = reader::remembered(memory.connection())?;
        let learned = remembered.len();
        let entered = makes.fill(&state, remembered, |done| {
            if done % 1000 == 0 {
                info!(done, "reading the folders");
            }
        })?;
        warn!(entered, learned, "the state store was made anew from the folders");
    }
    Ok(state)
}
