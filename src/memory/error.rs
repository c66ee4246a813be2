use std::io;
use std::path::PathBuf;

use rusqlite::ErrorCode;
use thiserror::Error;

use super::schema::MESSAGES_MAX;

/// Why memory.db could not be opened, written or read.
#[derive(Debug, Error)]
pub enum MemoryError {
    /// The file is no database, or its pages contradict each other.
    #[error("memory.db is damaged")]
    Damaged(#[source] rusqlite::Error),
    /// Written by a later version of this program.
    #[error("{} has version {found}, and this program knows no later one than {known}", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The latest version we know.
        known: i64,
    },
    /// A sound database that another program made.
    #[error("{} is the database of another program", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// The file could not be made or opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No room on the disk; nothing of the batch was stored.
    #[error("no room left on the disk for memory.db")]
    DiskFull(#[source] rusqlite::Error),
    /// Another process held the database for longer than we wait.
    #[error("memory.db is held by another process")]
    Busy(#[source] rusqlite::Error),
    /// Another process still reads the database as it was before.
    #[error("memory.db is being read by another process, which keeps what was deleted")]
    Held,
    /// The session has more messages, facts or preferences than a session may have.
    #[error("the session has {count} {what}, more than the {} that memory.db can number", MESSAGES_MAX)]
    TooMany {
        /// Messages, facts or preferences.
        what: &'static str,
        /// How many.
        count: usize,
    },
    /// The batch failed before and may hold half a session.
    #[error("the batch failed before and can only be given up")]
    GivenUp,
    /// What was learned cannot be written as JSON.
    #[error("cannot write what was learned as JSON")]
    Json(#[from] serde_json::Error),
    /// The vectors of words cannot be read.
    #[error(transparent)]
    Embedding(Box<super::embedding::EmbeddingError>),
    /// Anything else SQLite says.
    #[error("memory.db: {0}")]
    Sqlite(#[source] rusqlite::Error),
}

impl MemoryError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            MemoryError::Damaged(_) => {
                Some("`atles rebuild` makes it anew from done/ and sets the damaged file aside")
            }
            MemoryError::Newer { .. } => Some("update this program, or name another home in pipeline.toml"),
            MemoryError::Foreign { .. } => {
                Some("move the file elsewhere, or name another home in pipeline.toml")
            }
            MemoryError::Open { .. } => Some("check that the home folder can be written"),
            MemoryError::DiskFull(_) => Some("make room on the disk; learning goes on by itself"),
            MemoryError::Busy(_) => Some("close the program that has memory.db open for writing"),
            MemoryError::Held => {
                Some("close what reads memory.db (a `recall --batch`, an SQLite shell), then again")
            }
            MemoryError::TooMany { .. } => Some("split the session"),
            MemoryError::Embedding(problem) => Some(problem.hint()),
            MemoryError::GivenUp | MemoryError::Json(_) | MemoryError::Sqlite(_) => None,
        }
    }

    /// Whether the same call may succeed later with nothing changed in the session.
    pub fn is_transient(&self) -> bool {
        matches!(self, MemoryError::DiskFull(_) | MemoryError::Busy(_))
    }
}

impl From<rusqlite::Error> for MemoryError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => MemoryError::Damaged(error),
            Some(ErrorCode::DiskFull) => MemoryError::DiskFull(error),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => MemoryError::Busy(error),
            _ => MemoryError::Sqlite(error),
        }
    }
}
