//! Reading prose: what several stages share.

mod code;
pub mod language;
pub(crate) mod literals;
mod normal;
mod paste;
pub(crate) mod phrase;
pub mod prose;
pub(crate) mod reading;
pub(crate) mod stop_words;
pub(crate) mod tame;
pub(crate) mod trigger;
pub(crate) mod voice;
pub(crate) mod word_hash;
pub(crate) mod words;
