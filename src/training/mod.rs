//! What a model can be trained on: examples cut from sessions, judged, and recognised when they come again.

pub mod examples;
pub mod quality;
mod seen;
mod signature;

pub use seen::{OwnExamples, SeenExamples};
pub use signature::signature;
