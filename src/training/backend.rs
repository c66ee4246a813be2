//! What a run needs of a trainer, whether it is built in, a program of the user's or a server.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::config::Training;
use crate::training::set::SpokenTurn;

/// What is to be trained, on what, and where to leave it.
#[derive(Debug)]
pub struct Job<'a> {
    /// The run's name, `run_<yyyymmdd_hhmmss>`. A run that was broken off is asked for again under the same name,
    /// with the same chats and the same folder: a trainer that can goes on where it was.
    pub run: &'a str,
    /// `[training]`.
    pub settings: &'a Training,
    /// The base model's file.
    pub base: &'a Path,
    /// The chats to learn from, in order; answers to learn are marked.
    pub train: &'a [Vec<SpokenTurn>],
    /// The chats to measure with.
    pub held_out: &'a [Vec<SpokenTurn>],
    /// The same as a file: a line a chat, `{"messages": [{"role", "content", "weight"?: 0}]}`; an answer with weight
    /// 0 is not to be learned.
    pub train_file: &'a Path,
    /// The same for the held-out chats.
    pub held_out_file: &'a Path,
    /// A private folder of the run's own for checkpoints, job ids and the artefact. It is there, and it survives a
    /// kill; it is deleted when the run has ended.
    pub folder: &'a Path,
}

/// How far a trainer is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Steps in all; 0 where that is not known.
    pub steps: u64,
    /// The last step's mean loss per token.
    pub loss: f32,
    /// Tokens learned from since this process took up the run.
    pub tokens: u64,
    /// Seconds since then.
    pub seconds: f64,
}

/// What a trainer leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The artefact.
    pub artefact: Artefact,
    /// Mean loss of every step, as far as the trainer tells.
    pub losses: Vec<f32>,
    /// Tokens learned from by this process.
    pub tokens: u64,
    /// Seconds it took.
    pub seconds: f64,
}

/// What came of a run, in the run's folder or elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub enum Artefact {
    /// A LoRA adapter as GGUF (`general.type = "adapter"`).
    Adapter(PathBuf),
    /// A whole model as GGUF.
    Merged(PathBuf),
    /// A model that lies on somebody's server. The gate has only the losses that the server tells.
    Elsewhere {
        /// The server's name of it.
        model: String,
        /// Loss on the held-out chats at the start, if told.
        held_out_before: Option<f64>,
        /// Loss on the held-out chats at the end, if told.
        held_out_after: Option<f64>,
    },
}

/// Why a trainer left nothing.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// It was asked to stop. The run goes on at the next start.
    #[error("stopped")]
    Stopped,
    /// Trying again later may help: a server cannot be reached, the disk is full.
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

impl BackendError {
    /// A failure without a hint.
    pub fn failed(message: impl Into<String>) -> Self {
        BackendError::Failed { message: message.into(), hint: None }
    }
}

/// Someone who trains. Called on the run's own thread, which may block.
pub trait Backend: Send {
    /// Whether the chats are wanted as files. Otherwise those of the job are not there.
    fn wants_files(&self) -> bool {
        true
    }

    /// Trains. Tells every step to `watch`, and gives up within a second once `stop` is set.
    ///
    /// # Errors
    /// See [`BackendError`].
    fn train(
        &mut self,
        job: &Job<'_>,
        watch: &mut dyn FnMut(&Progress),
        stop: &std::sync::Arc<AtomicBool>,
    ) -> Result<Trained, BackendError>;
}
