//! The chain of stages and what carries a file through it.

mod given;
pub mod patch;
mod stage;

pub use stage::{Problem, Services, Stage, StageConfig, StageContext, StageError, Verdict};
