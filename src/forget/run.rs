//! Carries an order out, step by step, so that a crash at any point is made up for by doing it again.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::info;

use super::needle::Needle;
use super::receipt::{Receipt, TurnHash, hex_identity, hex_key, receipts, replace};
use super::records::{Records, delete, files_below};
use super::survey::{FileTask, Survey, Surveyor, Targets};
use super::{ForgetError, Order, versions};
use crate::memory::Writer;
use crate::memory::forget::Blank;
use crate::outbox::{Courier, Journal};
use crate::platform;
use crate::spool::Home;
use crate::stages::decode::Decode;
use crate::state::{InMemoryStore, SledStore, State, finish_rewrite};

/// An order that is being carried out, as it is written down meanwhile.
#[derive(Debug, Serialize, Deserialize)]
struct Pending {
    order: Order,
    receipt: Receipt,
    targets: Targets,
}

pub(super) fn pending_path(home: &Home) -> PathBuf {
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
pub(super) struct Means<'a> {
    pub(super) home: &'a Home,
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

    pub(super) fn has_state(&self) -> bool {
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
        let _training = self.hold_training()?;
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
        self.clean_leftovers(&survey, receipt)?;
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
}

impl FileTask {
    pub(super) fn did(&self) -> String {
        format!("{} files {}", self.folder, if self.after.is_some() { "rewritten" } else { "deleted" })
    }
}

pub(super) fn take_out(
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
