use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why the vectors of words cannot be had.
#[derive(Debug, Error)]
pub enum EmbeddingError {
    /// No folder to keep it in is known.
    #[error("there is no folder to keep pulled files in")]
    NoCache,
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Python, whose package index holds the file, is not there.
    #[error("there is no Python with pip here: none of {tried} runs")]
    NoPython {
        /// The programs that were tried.
        tried: String,
    },
    /// The package index cannot be reached, or what it sent is not what was asked for.
    #[error("`pip download` failed ({status}): {said}")]
    Download {
        /// How pip ended.
        status: String,
        /// The last line it wrote.
        said: String,
    },
}

impl EmbeddingError {
    /// What a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            EmbeddingError::NoCache => "set ATLES_CACHE to a folder",
            EmbeddingError::File { .. } => {
                "check that the folder can be read and written, and that the disk is not full"
            }
            EmbeddingError::Damaged { .. } => "delete it and run `atles models pull wordllama`",
            EmbeddingError::NoPython { .. } => {
                "install Python 3 with pip, or run `atles models pull` on a machine that has it and copy the file over"
            }
            EmbeddingError::Download { .. } => {
                "check that pypi.org, or the index that pip is configured for, can be reached; recall works without it"
            }
        }
    }
}
