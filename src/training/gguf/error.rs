//! What can be wrong with a GGUF file.

use std::path::PathBuf;

/// A GGUF file that cannot be read, written or used.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// The file cannot be opened, read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file does not begin with `GGUF`.
    #[error("not a GGUF file (it does not begin with \"GGUF\")")]
    NotGguf,
    /// A version, byte order or layout that is not read.
    #[error("GGUF version {0} is not read (versions 2 and 3, little endian, are)")]
    Version(u32),
    /// A length or an offset points outside the file, a text is not UTF-8, a name stands twice.
    #[error("damaged GGUF file: {0}")]
    Damaged(String),
    /// A way of storing weights that is not read.
    #[error(
        "tensor {name:?} is stored as type {kind}, which is not read; read are {}",
        super::TensorType::NAMES
    )]
    TensorType {
        /// The tensor.
        name: String,
        /// The type's number in ggml.
        kind: u32,
    },
    /// A key that the reader asked for is missing or of another type.
    #[error("the GGUF file has no usable {0:?} in its metadata")]
    Key(String),
    /// A tensor that the reader asked for is missing.
    #[error("the GGUF file has no tensor {0:?}")]
    Tensor(String),
    /// A stop was asked for while it was read or written; what was written is no whole file.
    #[error("stopped")]
    Stopped,
}

impl GgufError {
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        GgufError::Damaged(what.into())
    }
}
