/// Why a server was of no use.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The address is none, or the client cannot be made.
    #[error("{0}")]
    Setup(String),
    /// Nobody answers, the connection broke, or the server was silent for too long.
    #[error("{server} cannot be reached: {why}")]
    Unreachable {
        /// Scheme, host and port.
        server: String,
        /// What happened.
        why: String,
    },
    /// The server answered that it will not.
    #[error("{server} answered {status}: {message}")]
    Status {
        /// Scheme, host and port.
        server: String,
        /// The HTTP status.
        status: u16,
        /// The server's words, on one line and cut.
        message: String,
    },
    /// The server began well and then said that it failed, or said what cannot be understood.
    #[error("{server}: {message}")]
    Answer {
        /// Scheme, host and port.
        server: String,
        /// The server's words on one line, or what is odd about them.
        message: String,
    },
    /// A file of ours cannot be read.
    #[error("{0}")]
    File(#[from] std::io::Error),
}

impl WireError {
    /// Whether the same request may succeed later.
    pub fn may_pass(&self) -> bool {
        match self {
            WireError::Unreachable { .. } => true,
            WireError::Status { status, .. } => *status >= 500 || matches!(status, 408 | 425 | 429),
            _ => false,
        }
    }

    /// The server's status, where it gave one.
    pub fn status(&self) -> Option<u16> {
        if let WireError::Status { status, .. } = self { Some(*status) } else { None }
    }

    /// The server's own words, where there are any.
    pub fn words(&self) -> &str {
        match self {
            WireError::Status { message, .. } | WireError::Answer { message, .. } => message,
            _ => "",
        }
    }
}
