//! Finding pipeline.toml and the home, for every verb.

use std::path::{Path, PathBuf};

use super::{Exit, say};
use crate::config::{
    Diagnostics, Embeddings, Loaded, Recall, find_config, folders_despite_errors, load, settings_and_folders,
};
use crate::daemon::{Services, home_of};
use crate::memory::embedding;
use crate::memory::recall::Memory;
use crate::spool::{Home, InstanceLock};

/// Finds and reads pipeline.toml, or says what is wrong with it.
pub(super) fn config(flag: Option<&Path>, services: &Services) -> Result<Loaded, Exit> {
    let path = path(flag)?;
    match load(&path, &|home, dir| services.give(home, dir)) {
        Ok(loaded) => {
            show(&loaded.warnings);
            Ok(loaded)
        }
        Err(diagnostics) => {
            show(&diagnostics);
            Err(Exit::BadConfig)
        }
    }
}

/// Finds pipeline.toml.
pub(super) fn path(flag: Option<&Path>) -> Result<PathBuf, Exit> {
    find_config(flag).map_err(|missing| {
        say::error(&missing, Some(missing.hint()));
        Exit::BadConfig
    })
}

/// The folders that pipeline.toml names.
pub(super) fn home(flag: Option<&Path>) -> Result<Home, Exit> {
    let path = path(flag)?;
    let services = Services::default();
    match load(&path, &|home, dir| services.give(home, dir)) {
        Ok(loaded) => {
            show(&loaded.warnings);
            Ok(home_of(&loaded.config))
        }
        Err(diagnostics) => {
            let home = running_home(&path);
            match &home {
                Some(_) => eprintln!(
                    "warning: {} is wrong, and the daemon goes on with what it was; `atles check` tells more",
                    path.display()
                ),
                None => show(&diagnostics),
            }
            home.ok_or(Exit::BadConfig)
        }
    }
}

/// The home of a daemon that runs although its pipeline.toml was edited and is wrong now.
fn running_home(path: &Path) -> Option<Home> {
    let home = Home::from(folders_despite_errors(path)?);
    InstanceLock::is_taken(&home).then_some(home)
}

/// memory.db, to be asked; `None` if nothing was learned yet.
pub(super) fn memory(flag: Option<&Path>) -> Result<Option<Memory>, Exit> {
    let path = path(flag)?;
    // Stages are not built to read: their patterns take longer to compile than a question to answer.
    let (home, recall) = match settings_and_folders(&path) {
        Some((settings, folders)) => (folders.home, settings.recall),
        None => (home(flag)?.root, Recall::default()),
    };
    let memory = Memory::open(&home.join("memory.db")).map_err(|problem| {
        say::error(&problem, problem.hint());
        Exit::Failure
    })?;
    Ok(memory.map(|memory| with_meanings(memory, &recall)))
}

/// Has meanings compared too, where that is wanted and their vectors were pulled.
fn with_meanings(memory: Memory, settings: &Recall) -> Memory {
    if settings.embeddings == Embeddings::Off {
        return memory;
    }
    match embedding::find() {
        Ok(Some(vectors)) => memory.with_meanings(vectors),
        Ok(None) => memory,
        Err(problem) => {
            say::error(format_args!("only words are compared: {problem}"), Some(problem.hint()));
            memory
        }
    }
}

pub(super) fn show(diagnostics: &Diagnostics) {
    if !diagnostics.is_empty() {
        eprint!("{}", diagnostics.render(say::stderr_has_colour()));
    }
}
