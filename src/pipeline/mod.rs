//! The chain of stages and what carries a file through it.

mod stage;

pub use stage::{Problem, Services, Stage, StageConfig, StageContext, StageError, Verdict};
