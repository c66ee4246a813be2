//! Trainers that are not built in: a program of the user's, and a server with fine-tuning jobs.
//!
//! What they leave is looked at before anybody else sees it: a GGUF adapter that fits the base, or a whole model of the
//! base's shape. A model that stays on a provider's server is known by its name alone.

mod artefact;
mod command;
mod jobs;
mod protocol;
#[cfg(test)]
mod world;

pub use command::Command;
pub use jobs::Jobs;
