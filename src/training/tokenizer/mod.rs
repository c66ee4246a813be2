//! Text to token ids as the base model has learned them, and chats to text as its template has it.

mod bpe;
mod split;
mod template;
mod vocabulary;

pub use bpe::Tokenizer;
pub use template::{ChatTemplate, ChatTurn, TemplateError};

/// A vocabulary that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The model's tokenizer is of a kind that is not built in.
    #[error(
        "tokenizer {model:?} with splitting {pre:?} is not supported; supported are gpt2 with {}",
        split::NAMES
    )]
    Unsupported {
        /// `tokenizer.ggml.model`.
        model: String,
        /// `tokenizer.ggml.pre`.
        pre: String,
    },
    /// A part of the vocabulary is missing or does not fit the rest.
    #[error("the base model's vocabulary is damaged: {0}")]
    Damaged(String),
    /// The metadata lacks a key.
    #[error(transparent)]
    Gguf(#[from] super::gguf::GgufError),
}
