//! Reading prose: what several stages share.

pub(crate) mod bytes;
mod code;
pub(crate) mod json;
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
