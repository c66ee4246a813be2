//! Each part of the home by itself. Every step may be done again.

use std::collections::{BTreeSet, HashSet};
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use super::ForgetError;
use super::needle::Needle;
use super::receipt::{Receipt, hex_identity, replace};
use super::records::{delete, files_below, name_of};
use super::run::{Means, pending_path, take_out};
use super::survey::{FileTask, Survey};
use crate::memory::Writer;
use crate::platform;
use crate::spool::Sidecar;
use crate::state::forget::{Changed, Oblivion};

/// Files of weights: nothing in them can be read as words.
const WEIGHTS: [&str; 4] = ["gguf", "safetensors", "bin", "onnx"];
/// Files above this many bytes are not searched at the end.
const LARGEST: u64 = 1 << 30;

impl Means<'_> {
    pub(super) fn clean_memory(
        &self,
        survey: &Survey,
        needle: Option<&Needle>,
        receipt: &mut Receipt,
    ) -> Result<(), ForgetError> {
        let mut memory = Writer::open(&self.home.memory_db())?;
        let mut batch = memory.begin()?;
        let removed = take_out(&mut batch, survey, needle)?;
        batch.commit()?;
        memory.scour()?;
        let sum = &mut receipt.memory;
        sum.sessions += removed.sessions;
        sum.messages += removed.messages;
        sum.facts += removed.facts;
        sum.preferences += removed.preferences;
        sum.examples += removed.examples;
        sum.users += removed.users;
        Ok(())
    }

    /// The names of the files that are gone.
    pub(super) fn clean_originals(
        &self,
        files: &mut Vec<FileTask>,
        receipt: &mut Receipt,
    ) -> Result<BTreeSet<String>, ForgetError> {
        let mut gone = BTreeSet::new();
        for task in std::mem::take(files) {
            receipt.count(&task.did(), 1);
            match &task.after {
                Some(content) => {
                    replace(&task.path, content).map_err(|source| ForgetError::file(&task.path, source))?;
                }
                None => {
                    delete(&task.path)?;
                    if task.folder == "failed" {
                        delete(&Sidecar::beside(&task.path))?;
                    }
                    gone.insert(name_of(&task.path));
                }
            }
        }
        for dir in [&self.home.done, &self.home.failed, &self.home.work] {
            if dir.exists() {
                platform::sync_dir(dir).map_err(|source| ForgetError::file(dir, source))?;
            }
        }
        Ok(gone)
    }

    pub(super) fn clean_state(
        &self,
        survey: &Survey,
        needle: Option<&Needle>,
        gone: &BTreeSet<String>,
        receipt: &mut Receipt,
    ) -> Result<(), ForgetError> {
        if !self.has_state() {
            return Ok(());
        }
        let mentions = |bytes: &[u8]| needle.is_some_and(|needle| needle.in_bytes(bytes));
        let at_work = |name: &std::ffi::OsStr| self.home.work.join(name).exists();
        let whole = || survey.targets.iter().filter(|(_, target)| target.whole);
        let changed = survey.targets.iter().filter(|(_, target)| !target.whole && !target.turns.is_empty());
        let changed = changed.filter_map(|(identity, target)| {
            let after = target.after.clone();
            let change = Changed {
                keys: target.keys.clone(),
                now: after.map(|it| (it.key, it.messages, it.first, it.all)),
                examples: target.examples,
            };
            Some((hex_identity(identity)?, change))
        });
        let erased = crate::state::forget::forget(
            &self.home.sled(),
            &Oblivion {
                whole: whole().filter_map(|(identity, _)| hex_identity(identity)).collect(),
                whole_keys: whole().flat_map(|(_, it)| it.keys.iter().cloned()).collect::<HashSet<_>>(),
                stems: whole().flat_map(|(_, it)| it.stems.iter().cloned()).collect(),
                changed: changed.collect(),
                files: gone.clone(),
                waiting: survey.waiting.clone(),
                mentions: &mentions,
                at_work: &at_work,
            },
        )?;
        receipt.count("ledger entries", erased.entries);
        receipt.count("state records", erased.records);
        Ok(())
    }

    /// Copies of stores that were set aside as damaged, and what was half done: nobody can take one chat out of them.
    pub(super) fn clean_leftovers(&self, survey: &Survey, receipt: &mut Receipt) -> Result<(), ForgetError> {
        let state = self.home.root.join("state");
        for dir in [&self.home.root, &state] {
            for entry in std::fs::read_dir(dir).map_err(|source| ForgetError::file(dir, source))? {
                let path = entry.map_err(|source| ForgetError::file(dir, source))?.path();
                if name_of(&path).contains(".damaged-") {
                    receipt.count("damaged copies deleted", 1);
                    remove_any(&path)?;
                }
            }
        }
        for half_done in ["rebuild", "observed"] {
            remove_any(&state.join(half_done))?;
        }
        // What models answered about a session, and a training run that was broken off, with its examples.
        for identity in survey.targets.keys() {
            remove_any(&state.join("extracted").join(identity))?;
        }
        remove_any(&self.home.models().join("run"))?;
        let ours = [self.home.logs(), self.home.training_data(), self.home.models(), self.home.done.clone()];
        for dir in ours.iter().chain([&self.home.failed, &self.home.work]) {
            for path in files_below(dir)? {
                let name = name_of(&path);
                if name.starts_with('.') && (name.ends_with(".tmp") || *dir == self.home.work) {
                    delete(&path)?;
                }
            }
        }
        Ok(())
    }

    /// Held while models/ is cleaned, so that nothing is trained meanwhile.
    pub(super) fn hold_training(&self) -> Result<Option<File>, ForgetError> {
        let path = self.home.models().join(".lock");
        if !path.exists() {
            return Ok(None);
        }
        let failed = |source| ForgetError::file(&path, source);
        let file = File::options().write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Err(ForgetError::Training),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Files in which the words still stand.
    pub(super) fn still_in(&self, needle: &Needle) -> Result<Vec<String>, ForgetError> {
        let mut left = Vec::new();
        for path in files_below(&self.home.root)? {
            let is_weights = path.extension().is_some_and(|it| WEIGHTS.iter().any(|weights| it == *weights));
            let of_the_app = path.starts_with(&self.home.spool) && name_of(&path).starts_with('.');
            let large = path.metadata().map_or(0, |it| it.len()) > LARGEST;
            if is_weights || of_the_app || large || path == pending_path(self.home) {
                continue;
            }
            if std::fs::read(&path).is_ok_and(|bytes| needle.in_bytes(&bytes)) {
                left.push(path.strip_prefix(&self.home.root).unwrap_or(&path).display().to_string());
            }
        }
        Ok(left)
    }
}

fn remove_any(path: &Path) -> Result<(), ForgetError> {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ForgetError::file(path, error)),
        _ => Ok(()),
    }
}
