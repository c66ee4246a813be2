//! Reading prose: what several stages share.

mod code;
mod normal;
mod paste;
pub(crate) mod phrase;
pub mod prose;
pub(crate) mod trigger;
pub(crate) mod voice;
