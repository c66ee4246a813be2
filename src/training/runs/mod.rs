//! A run of training, from the set to a version: what it trains on ([`Plan`]), how it is measured ([`gate`]), what it
//! leaves ([`Finished`]), and the thread that runs one after the other beside the pipeline ([`Manager`]).

mod embedded;
mod execute;
mod failure;
pub mod gate;
mod manager;
pub mod measure;
mod plan;
mod report;
mod seams;
mod tally;
#[cfg(test)]
mod tests;
mod trigger;

pub use embedded::Embedded;
pub use execute::{Finished, Phase, Run, execute};
pub use failure::RunFailure;
pub use manager::{Manager, Running};
pub use plan::{Plan, Standing, candidates};
pub use seams::{backend, publishers};
pub use tally::Tally;
pub use trigger::due;
