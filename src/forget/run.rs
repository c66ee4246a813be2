//! Carries an order out, step by step, so that a crash at any point is made up for by doing it again.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing::info;

use super::needle::Needle;
use super::receipt::{Receipt, TurnHash, hex_identity, hex_key, receipts, replace};
use super::records::{Records, delete, files_below, name_of};
use super::survey::{FileTask, Survey, Surveyor, Targets};
use super::{Order, OrderError, versions};
use crate::memory::forget::Blank;
use crate::memory::{MemoryError, Writer};
use crate::outbox::{Courier, Journal};
use crate::platform;
use crate::spool::{Home, Sidecar};
use crate::stages::decode::Decode;
use crate::state::forget::{Changed, Oblivion};
use crate::state::{InMemoryStore, SledStore, State, StateError, finish_rewrite};

/// Files of weights: nothing in them can be read as words.
const WEIGHTS: [&str; 4] = ["gguf", "safetensors", "bin", "onnx"];
/// Files above this many bytes are not searched at the end.
const LARGEST: u64 = 1 << 30;

/// Why something could not be forgotten, or not yet.
#[derive(Debug, Error)]
pub enum ForgetError {
    /// The order makes no sense.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// There is nothing of it.
    #[error("nothing of it is in this home")]
    Nothing,
    /// Several users have a session of that id.
    #[error("{users} users have a session of that id")]
    Ambiguous {
        /// How many.
        users: usize,
    },
    /// No such receipt.
    #[error("there is no receipt {0}")]
    NoReceipt(String),
    /// memory.db would not.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The state store would not.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file would not.
    #[error("cannot clean {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ForgetError {
    pub(super) fn file(path: &Path, source: io::Error) -> Self {
        ForgetError::File { path: path.to_path_buf(), source }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            ForgetError::Order(_) => Some("name a passage that stands in few turns; --dry-run shows which"),
            ForgetError::Nothing => {
                Some("`atles recall` and `atles profile` show what is known, and under which ids")
            }
            ForgetError::Ambiguous { .. } => Some("add --user ID"),
            ForgetError::NoReceipt(_) => Some("receipts/ in the home has them, by their names"),
            ForgetError::Memory(error) => error.hint(),
            ForgetError::State(StateError::Corrupt(_)) => {
                Some("`atles run --once` sets the damaged state store aside; then again")
            }
            ForgetError::State(_) | ForgetError::File { .. } => {
                Some("what was begun is finished at the daemon's next start, or by the same command")
            }
        }
    }
}

/// An order that is being carried out, as it is written down meanwhile.
#[derive(Debug, Serialize, Deserialize)]
struct Pending {
    order: Order,
    receipt: Receipt,
    targets: Targets,
}

fn pending_path(home: &Home) -> PathBuf {
    home.root.join("state").join("forget.json")
}

/// Whether an order was begun and not finished.
pub fn is_pending(home: &Home) -> bool {
    pending_path(home).exists()
}

/// Carries an order out, and before it one that a crash interrupted. With `dry_run` nothing is changed, and the
/// receipt tells what would be. The caller holds the home's lock, and nothing else works on the home.
///
/// # Errors
/// See [`ForgetError`]. After an error half-way the order stays written down, and [`resume`] finishes it.
pub fn forget(
    home: &Home,
    decode: &Decode,
    home_key: [u8; 32],
    order: &Order,
    now: Timestamp,
) -> Result<Receipt, ForgetError> {
    order.check()?;
    let means = Means { home, decode, home_key };
    if order.dry_run {
        let receipt = Receipt::begin(order, &home_key, now);
        let (survey, receipt) = means.survey(order, Targets::new(), receipt)?;
        return means.foretell(&survey, receipt);
    }
    resume(home, decode, home_key)?;
    means.deliver()?;
    let receipt = Receipt::begin(order, &home_key, now);
    let (survey, receipt) = means.survey(order, Targets::new(), receipt)?;
    if survey.targets.is_empty() && survey.files.is_empty() {
        return Err(ForgetError::Nothing);
    }
    means.carry_out(order, survey, receipt)
}

/// Finishes an order that was begun. `None` if there is none.
///
/// # Errors
/// See [`ForgetError`].
pub fn resume(home: &Home, decode: &Decode, home_key: [u8; 32]) -> Result<Option<Receipt>, ForgetError> {
    let path = pending_path(home);
    let text = match std::fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|source| ForgetError::file(&path, source))?,
    };
    let pending: Pending =
        serde_json::from_slice(&text).map_err(|error| ForgetError::file(&path, error.into()))?;
    info!(receipt = pending.receipt.id, "finishing what was begun to be forgotten");
    finish_rewrite(&home.sled()).map_err(|source| ForgetError::file(&home.sled(), source))?;
    let means = Means { home, decode, home_key };
    means.deliver()?;
    let (survey, receipt) = means.survey(&pending.order, pending.targets, pending.receipt)?;
    means.carry_out(&pending.order, survey, receipt).map(Some)
}

/// Lets what a receipt names be learned again when it comes.
///
/// # Errors
/// If there is no such receipt, or it cannot be written.
pub fn allow(home: &Home, id: &str, now: Timestamp) -> Result<Receipt, ForgetError> {
    let found = receipts(home).map_err(|source| ForgetError::file(&home.receipts(), source))?;
    let (path, mut receipt) =
        found.into_iter().find(|(_, it)| it.id == id).ok_or_else(|| ForgetError::NoReceipt(id.to_owned()))?;
    receipt.allowed_at.get_or_insert_with(|| now.to_string());
    receipt.write(home).map_err(|source| ForgetError::file(&path, source))?;
    Ok(receipt)
}

/// What everything is done with.
struct Means<'a> {
    home: &'a Home,
    decode: &'a Decode,
    home_key: [u8; 32],
}

impl Means<'_> {
    /// Writes the small files that a crash left in the journal, which then is empty.
    fn deliver(&self) -> Result<(), ForgetError> {
        let outbox = self.home.outbox();
        let failed = |source| ForgetError::file(&outbox, source);
        if !outbox.exists() {
            return Ok(());
        }
        let state = self.state()?;
        let settled = move |key: &crate::session::SessionKey| matches!(state.learned_by(key), Ok(Some(_)));
        let journal = Journal::open(&outbox).map_err(failed)?;
        drop(Courier::start(self.home, journal.end().segment, &settled).map_err(failed)?);
        drop(journal);
        for path in files_below(&outbox)? {
            delete(&path)?;
        }
        Ok(())
    }

    fn has_state(&self) -> bool {
        self.home.sled().join("db").exists()
    }

    /// The state store; an empty one where there is none, so that none is made.
    fn state(&self) -> Result<State, ForgetError> {
        if self.has_state() {
            Ok(State::new(Arc::new(SledStore::open(&self.home.sled())?)))
        } else {
            Ok(State::new(Arc::new(InMemoryStore::default())))
        }
    }

    fn survey(
        &self,
        order: &Order,
        before: Targets,
        mut receipt: Receipt,
    ) -> Result<(Survey, Receipt), ForgetError> {
        let needle = order.needle()?;
        let state = self.state()?;
        let surveyor = Surveyor {
            home: self.home,
            decode: self.decode,
            order,
            needle: needle.as_ref(),
            state: &state,
            hash: TurnHash::new(self.home_key),
        };
        let memory = Writer::open(&self.home.memory_db())?;
        let mut survey = surveyor.look(memory.connection(), before)?;
        let files = BTreeSet::new();
        let records =
            Records { home: self.home, targets: &survey.targets, needle: needle.as_ref(), files: &files };
        let stems = records.stems()?;
        for (identity, stem) in stems {
            if let Some(target) = survey.targets.get_mut(&identity) {
                target.stems.insert(stem);
            }
        }
        self.count_examples(&mut survey.targets, needle.as_ref())?;
        receipt.sessions = survey.targets.iter().map(|(identity, target)| target.gone(identity)).collect();
        for task in &survey.files {
            if !receipt.files.contains(&task.before) {
                receipt.files.push(task.before.clone());
            }
        }
        Ok((survey, receipt))
    }

    /// How many examples sessions lose that stay. An earlier try may have taken some away already.
    fn count_examples(&self, targets: &mut Targets, needle: Option<&Needle>) -> Result<(), ForgetError> {
        let files = BTreeSet::new();
        let stay: Vec<String> =
            targets.iter().filter(|(_, it)| !it.whole).map(|(identity, _)| identity.clone()).collect();
        for identity in stay {
            let records = Records { home: self.home, targets, needle, files: &files };
            let lost = targets.get(&identity).map_or(Ok(0), |target| records.loses_examples(target))?;
            if let Some(target) = targets.get_mut(&identity) {
                target.examples = target.examples.max(lost);
            }
        }
        Ok(())
    }

    /// What the receipt would say.
    fn foretell(&self, survey: &Survey, mut receipt: Receipt) -> Result<Receipt, ForgetError> {
        let mut memory = Writer::open(&self.home.memory_db())?;
        let mut batch = memory.begin()?;
        receipt.memory = take_out(&mut batch, survey, None)?;
        batch.rollback()?;
        for task in &survey.files {
            receipt.count(&task.did(), 1);
        }
        Ok(receipt)
    }

    fn carry_out(&self, order: &Order, mut survey: Survey, receipt: Receipt) -> Result<Receipt, ForgetError> {
        let mut pending = Pending { order: order.clone(), receipt, targets: survey.targets.clone() };
        self.write_down(&pending)?;
        let needle = order.needle()?;
        let receipt = &mut pending.receipt;
        self.clean_memory(&survey, needle.as_ref(), receipt)?;
        let gone = self.clean_originals(&mut survey.files, receipt)?;
        let records =
            Records { home: self.home, targets: &survey.targets, needle: needle.as_ref(), files: &gone };
        records.clean_training(receipt)?;
        records.clean_logs(receipt)?;
        records.clean_models(receipt)?;
        versions::taint(self.home, &survey.targets, receipt)?;
        self.clean_state(&survey, needle.as_ref(), &gone, receipt)?;
        self.clean_leftovers(receipt)?;
        receipt.left = survey.unread;
        if let Some(needle) = needle.as_ref().filter(|_| order.user.is_none()) {
            receipt.left.extend(self.still_in(needle)?);
        }
        receipt.complete = receipt.left.is_empty();
        receipt.completed_at = Some(Timestamp::now().to_string());
        receipt.write(self.home).map_err(|source| ForgetError::file(&self.home.receipts(), source))?;
        let path = pending_path(self.home);
        delete(&path)?;
        let state = self.home.root.join("state");
        platform::sync_dir(&state).map_err(|source| ForgetError::file(&state, source))?;
        info!(receipt = receipt.id, sessions = receipt.memory.sessions, "forgotten");
        Ok(pending.receipt)
    }

    fn write_down(&self, pending: &Pending) -> Result<(), ForgetError> {
        let path = pending_path(self.home);
        let text = serde_json::to_vec(pending).map_err(|error| ForgetError::file(&path, error.into()))?;
        if let Some(dir) = path.parent() {
            platform::make_private_dir(dir).map_err(|source| ForgetError::file(dir, source))?;
        }
        replace(&path, &text).map_err(|source| ForgetError::file(&path, source))?;
        // From now on none of it is learned again, also if the rest has to wait.
        pending.receipt.write(self.home).map_err(|source| ForgetError::file(&self.home.receipts(), source))
    }

    fn clean_memory(
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
    fn clean_originals(
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

    fn clean_state(
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
    fn clean_leftovers(&self, receipt: &mut Receipt) -> Result<(), ForgetError> {
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
        remove_any(&state.join("rebuild"))?;
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

    /// Files in which the words still stand.
    fn still_in(&self, needle: &Needle) -> Result<Vec<String>, ForgetError> {
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

impl FileTask {
    fn did(&self) -> String {
        format!("{} files {}", self.folder, if self.after.is_some() { "rewritten" } else { "deleted" })
    }
}

fn take_out(
    batch: &mut crate::memory::Batch<'_>,
    survey: &Survey,
    needle: Option<&Needle>,
) -> Result<crate::memory::forget::Removed, ForgetError> {
    let mut sum = crate::memory::forget::Removed::default();
    for (identity, target) in &survey.targets {
        let Some(identity) = hex_identity(identity) else { continue };
        let removed = if target.whole {
            batch.forget(&identity)?
        } else {
            batch.blank(
                &identity,
                &Blank {
                    turns: target.turns.clone(),
                    key: target.after.as_ref().and_then(|after| hex_key(&after.key)),
                    matching: needle.map(Needle::regex),
                    examples: target.examples > 0,
                },
            )?
        };
        sum.sessions += removed.sessions;
        sum.messages += removed.messages;
        sum.facts += removed.facts;
        sum.preferences += removed.preferences;
        sum.examples += removed.examples;
    }
    sum.users = batch.forget_empty_users()?;
    Ok(sum)
}

fn remove_any(path: &Path) -> Result<(), ForgetError> {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ForgetError::file(path, error)),
        _ => Ok(()),
    }
}
