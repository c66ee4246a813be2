use crate::training::backend::BackendError;
use crate::training::base::BaseError;

/// Why a run left no version. The sessions stay queued, and the current version stays current.
#[derive(Debug, thiserror::Error)]
pub enum RunFailure {
    /// There is not enough to learn from, or nothing new.
    #[error("{0}")]
    TooLittle(String),
    /// Another process trains on this home.
    #[error("a training run is under way on this home")]
    Busy,
    /// It was stopped; the next start goes on from its checkpoint.
    #[error("the run was stopped; it goes on where it was at the next start")]
    Stopped,
    /// Trying again later may help.
    #[error("{0}")]
    Later(String),
    /// It failed.
    #[error("{message}")]
    Failed {
        /// What went wrong; counts and names, never a chat's text.
        message: String,
        /// What a person can do about it.
        hint: Option<String>,
    },
}

impl RunFailure {
    /// A failure, with what to do about it.
    pub fn failed(message: impl Into<String>, hint: impl Into<String>) -> Self {
        RunFailure::Failed { message: message.into(), hint: Some(hint.into()) }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            RunFailure::TooLittle(_) => {
                Some("a run needs more chats; `[training] min_answers` says how much")
            }
            RunFailure::Busy => Some("wait for it to end; `atles models list` shows what came of it"),
            RunFailure::Failed { hint, .. } => hint.as_deref(),
            RunFailure::Stopped | RunFailure::Later(_) => None,
        }
    }

    /// A file of the run that cannot be read or written.
    pub(super) fn file(what: &str, error: &std::io::Error) -> Self {
        let full = if crate::platform::is_disk_full(error) { "the disk is full: " } else { "" };
        RunFailure::Later(format!("{full}cannot use {what}: {error}"))
    }
}

impl From<BackendError> for RunFailure {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::Stopped => RunFailure::Stopped,
            BackendError::Later(message) => RunFailure::Later(message),
            BackendError::Failed { message, hint } => RunFailure::Failed { message, hint },
        }
    }
}

impl From<BaseError> for RunFailure {
    fn from(error: BaseError) -> Self {
        RunFailure::Failed { message: error.to_string(), hint: error.hint() }
    }
}
