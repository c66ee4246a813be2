//! Why there is no base.

use std::io;
use std::path::{Path, PathBuf};

use super::known::Known;
use crate::training::gguf::GgufError;
use crate::training::model::ModelError;
use crate::training::tokenizer::TokenizerError;

/// A base model that cannot be had or used.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// Neither a known name, nor of Ollama, nor a path.
    #[error("{name:?} is no base model that is known; known are {}", Known::names())]
    Unknown {
        /// What was written.
        name: String,
    },
    /// A known model that is not on this machine yet.
    #[error("the base model {name} is not on this machine yet")]
    NotPulled {
        /// The model.
        name: &'static str,
    },
    /// A path that leads nowhere.
    #[error("there is no base model at {}", .0.display())]
    Missing(PathBuf),
    /// A file or folder that this user may not read.
    #[error("{} may not be read by this user: {source}", path.display())]
    Forbidden {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
        /// It belongs to Ollama's service.
        ollama: bool,
    },
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No folder in which Ollama would keep models.
    #[error("there is no Ollama on this machine; its models would be in {}", listed(.0))]
    NoOllama(Vec<PathBuf>),
    /// A name that Ollama would not take.
    #[error("{0:?} is no name of an Ollama model; it is written MODEL:TAG, as `ollama list` shows it")]
    OllamaName(String),
    /// Ollama does not have the model.
    #[error("Ollama has no model {name}; it has {}", if .have.is_empty() { "none".to_owned() } else { .have.join(", ") })]
    NotInOllama {
        /// The model, with its tag.
        name: String,
        /// The models there are.
        have: Vec<String>,
    },
    /// A model that is made of more than one text model's weights.
    #[error("the Ollama model {name} has {what}")]
    OllamaLayers {
        /// The model, with its tag.
        name: String,
        /// What cannot be trained about it.
        what: &'static str,
    },
    /// Ollama's own files contradict each other.
    #[error("Ollama's manifest {} is damaged: {what}", path.display())]
    OllamaManifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The system names no folder for what is fetched.
    #[error("no folder is known for pulled models")]
    NoCache,
    /// The model could be fetched from nowhere.
    #[error("{name} could not be pulled: {}", .tried.join("; "))]
    NotFetched {
        /// The model.
        name: &'static str,
        /// What happened at each source.
        tried: Vec<String>,
    },
    /// What was fetched is another file than was asked for.
    #[error("what was fetched for {name} has sha256 {found}, not {expected}; it was thrown away")]
    Mismatch {
        /// The model.
        name: &'static str,
        /// What it has.
        found: String,
        /// What it should have.
        expected: String,
    },
    /// An architecture, or something about it, that cannot be trained.
    #[error("{}: {source}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What it is.
        source: ModelError,
    },
    /// A tokenizer that is not built in.
    #[error("{}: {source}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What it is.
        source: TokenizerError,
    },
}

impl BaseError {
    /// What a person can do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            BaseError::Unknown { .. } => {
                r#"write a known name, "ollama:NAME" for a model of Ollama, or the path of a GGUF file ("./model.gguf")"#.into()
            }
            BaseError::NotPulled { name } => format!("`atles models pull {name}` fetches it"),
            BaseError::Missing(_) => "a relative path is read from the folder that holds pipeline.toml".into(),
            BaseError::Forbidden { ollama: true, path, .. } => format!(
                "Ollama's service keeps its models under another user; `sudo usermod -aG ollama $USER` (and a new \
                 login) or `sudo chmod -R o+rX {}` lets this one read them",
                path.display()
            ),
            BaseError::NoOllama(_) => "set OLLAMA_MODELS to the folder of its models if they lie elsewhere".into(),
            BaseError::NotInOllama { name, .. } => format!("`ollama pull {name}` fetches it"),
            BaseError::OllamaLayers { .. } => "name the plain text model that it was made from".into(),
            BaseError::OllamaManifest { .. } => "`ollama pull` mends it".into(),
            BaseError::NoCache => "set ATLES_CACHE to a folder".into(),
            BaseError::NotFetched { .. } => {
                "with a GGUF file from elsewhere, write its path as the base; a pull goes on where it broke off".into()
            }
            BaseError::Mismatch { .. } => "pull again; if it stays so, the source has changed the file".into(),
            BaseError::Io { source, .. } if crate::platform::is_disk_full(source) => {
                "free some space, or set ATLES_CACHE to a folder on another disk".into()
            }
            BaseError::Model { .. } | BaseError::Tokenizer { .. } => format!("known to work are {}", Known::names()),
            BaseError::Forbidden { .. } | BaseError::OllamaName(_) | BaseError::Io { .. } => return None,
        })
    }

    /// An error of reading or writing a file.
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::NotFound => BaseError::Missing(path),
            io::ErrorKind::PermissionDenied => BaseError::Forbidden { path, source, ollama: false },
            _ => BaseError::Io { path, source },
        }
    }

    /// An error of opening a model.
    pub(super) fn model(path: &Path, source: ModelError) -> Self {
        match source {
            ModelError::Gguf(GgufError::Io { path, source }) => BaseError::io(&path, source),
            source => BaseError::Model { path: path.to_path_buf(), source },
        }
    }
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" or ")
}
