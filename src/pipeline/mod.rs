//! The chain of stages and what carries a file through it.

mod given;
pub mod patch;
mod stage;
pub mod when;

pub use stage::{Problem, Services, Stage, StageConfig, StageContext, StageError, Verdict};
pub use when::When;
