//! What a model can be trained on: examples cut from sessions, judged, and recognised when they come again.

#[cfg(feature = "trainer")]
pub mod artefact;
#[cfg(feature = "trainer")]
pub mod base;
pub mod examples;
#[cfg(feature = "trainer")]
pub mod gguf;
#[cfg(feature = "trainer")]
pub mod model;
pub mod quality;
mod seen;
mod signature;
#[cfg(feature = "trainer")]
pub mod tokenizer;
#[cfg(feature = "trainer")]
pub mod trainer;

pub use seen::{OwnExamples, SeenExamples};
pub use signature::signature;
