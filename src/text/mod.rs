//! Reading prose: what several stages share.

mod code;
mod normal;
pub mod prose;
