//! Training an adapter: chats to examples, examples to steps, steps to a checkpoint that can be taken up again.

mod checkpoint;
mod encode;
mod optimiser;
mod run;
mod schedule;

#[cfg(test)]
mod tests;

pub use crate::training::set::SpokenTurn;
pub use encode::{Encoded, Encoder, Example};
pub use run::{Outcome, Progress, TrainError, Trainer, TrainerSettings, Verdict};
