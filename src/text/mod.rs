//! Reading prose: what several stages share.

mod code;
pub mod language;
mod normal;
pub mod prose;
pub(crate) mod stop_words;
pub(crate) mod word_hash;
pub(crate) mod words;
