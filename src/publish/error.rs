use crate::wire::WireError;

/// Why a version was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Not now: trying again later may help.
    #[error("{message}")]
    Later {
        /// Why.
        message: String,
        /// What a person can do about it.
        hint: Option<String>,
    },
    /// It cannot be published there.
    #[error("{message}")]
    Refused {
        /// Why.
        message: String,
        /// What a person can do about it.
        hint: Option<String>,
    },
    /// It was brought there and did not answer as a model should; what was in use before is in use again.
    #[error("{message}")]
    Unfit {
        /// What the probe found, and what is in use now.
        message: String,
        /// What a person can do about it.
        hint: Option<String>,
    },
    /// A stop was asked for.
    #[error("stopped")]
    Stopped,
}

impl PublishError {
    pub(super) fn later(message: impl Into<String>, hint: impl Into<String>) -> Self {
        PublishError::Later { message: message.into(), hint: Some(hint.into()) }
    }

    pub(super) fn refused(message: impl Into<String>, hint: impl Into<String>) -> Self {
        PublishError::Refused { message: message.into(), hint: Some(hint.into()) }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            PublishError::Later { hint, .. }
            | PublishError::Refused { hint, .. }
            | PublishError::Unfit { hint, .. } => hint.as_deref(),
            PublishError::Stopped => None,
        }
    }
}

impl From<WireError> for PublishError {
    fn from(error: WireError) -> Self {
        let message = error.to_string();
        match &error {
            error if error.may_pass() => PublishError::Later { message, hint: None },
            WireError::File(error) if crate::platform::is_disk_full(error) => {
                PublishError::Later { message, hint: Some("make room on the disk".into()) }
            }
            WireError::Status { status: 401 | 403, .. } => {
                PublishError::refused(message, "the server wants an API key, or another one")
            }
            _ => PublishError::Refused { message, hint: None },
        }
    }
}

impl From<std::io::Error> for PublishError {
    fn from(error: std::io::Error) -> Self {
        WireError::File(error).into()
    }
}
