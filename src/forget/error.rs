use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::OrderError;
use crate::memory::MemoryError;
use crate::state::StateError;

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
    /// A training run uses what shall be forgotten.
    #[error("a training run is under way")]
    Training,
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
            ForgetError::Training => Some("stop it, or wait for its end; then again"),
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
