use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

use crate::session::Envelope;
use crate::training::SeenExamples;

/// One step of the chain, built from a `[[stage]]` of `pipeline.toml`.
#[async_trait]
pub trait Stage: Send + Sync {
    /// Works on one session on its way through. Idempotent per (envelope key, stage name): after a crash it is run
    /// again on the same input.
    async fn process(&self, envelope: &mut Envelope, cx: &StageContext<'_>) -> Result<Verdict, StageError>;

    /// Whether the stage acts on the world beyond the envelope (a program, a server). Such a stage is checkpointed:
    /// what it added to `learned` is kept, and a retry does not run it again.
    fn acts_outside(&self) -> bool {
        false
    }

    /// Whether the stage may have the dropped file replaced before it rests in `done/`.
    fn rewrites_originals(&self) -> bool {
        false
    }
}

/// What the chain does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Hand the session to the next stage.
    Continue,
    /// Settle as done and skip the rest; nothing is stored but the note.
    Finish {
        /// Why, for the session log and `atles status`.
        note: String,
    },
}

/// Why a stage could not do its work.
#[derive(Debug, Error)]
pub enum StageError {
    /// Trying again later may help: retried with backoff.
    #[error("{message}")]
    Transient {
        /// What went wrong.
        message: String,
        /// When the other side asked to be tried again, if it did.
        retry_after: Option<Duration>,
        /// What lies beneath.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// Trying again cannot help: the file goes to `failed/`.
    #[error("{message}")]
    Permanent {
        /// What went wrong.
        message: String,
        /// What a person can do about it.
        hint: Option<String>,
        /// What lies beneath.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The daemon is stopping: the file is released and no attempt is spent.
    #[error("cancelled")]
    Cancelled,
}

impl StageError {
    /// A transient error without a cause.
    pub fn transient(message: impl Into<String>) -> Self {
        StageError::Transient { message: message.into(), retry_after: None, source: None }
    }

    /// A permanent error without a cause.
    pub fn permanent(message: impl Into<String>, hint: impl Into<String>) -> Self {
        StageError::Permanent { message: message.into(), hint: Some(hint.into()), source: None }
    }
}

/// What a stage may know about the run it is part of.
#[derive(Debug)]
pub struct StageContext<'a> {
    /// The stage's name in the chain.
    pub name: &'a str,
    /// 1 on the first try.
    pub attempt: u32,
    /// `atles check --dry-run`: say in the note what would be done beyond the envelope, and do not do it.
    pub dry_run: bool,
}

/// What stages are built with.
#[derive(Debug, Clone)]
pub struct Services {
    /// The home folder, absolute.
    pub home: PathBuf,
    /// The folder of pipeline.toml, against which relative paths in it are read.
    pub config_dir: PathBuf,
    /// Key of this home for keyed hashes: the same value gives the same hash here and another one elsewhere.
    pub home_key: [u8; 32],
    /// The training examples of the whole corpus, by signature.
    pub examples: Arc<SeenExamples>,
}

impl Services {
    /// Services that are tied to no daemon: for checking a pipeline.toml, and for tests.
    pub fn detached(home: &Path, config_dir: &Path) -> Self {
        let (home, config_dir) = (home.to_path_buf(), config_dir.to_path_buf());
        Services { home, config_dir, home_key: [0; 32], examples: Arc::default() }
    }
}

/// The settings of one kind of stage: its table in `pipeline.toml`.
///
/// The doc comments of the settings are the reference in docs/PIPELINE.md.
pub trait StageConfig: DeserializeOwned + Serialize + schemars::JsonSchema + Default {
    /// The `kind` in pipeline.toml.
    const KIND: &'static str;

    /// Checks the settings and makes the stage. Must not touch the disk or the network.
    fn build(self, services: &Services) -> Result<Box<dyn Stage>, Vec<Problem>>;
}

/// Something wrong in a stage's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key within the stage's table, as in `rules[2].regex`; empty for the table as a whole.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem with one key.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Problem { key: key.into(), message: message.into(), hint: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
