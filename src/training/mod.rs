//! What a model is trained on, and how: examples cut from sessions, judged and collected; runs that train on them
//! beside the pipeline; the gate that a new version must pass; the versions that came of it.

pub mod anchor;
#[cfg(feature = "trainer")]
pub mod artefact;
pub mod backend;
#[cfg(feature = "trainer")]
pub mod base;
#[cfg(feature = "trainer")]
pub mod elsewhere;
pub mod examples;
#[cfg(feature = "trainer")]
pub mod gguf;
#[cfg(feature = "trainer")]
pub mod model;
pub mod publisher;
pub mod quality;
#[cfg(feature = "trainer")]
pub mod runs;
mod seen;
pub mod set;
mod signature;
#[cfg(feature = "trainer")]
pub mod tokenizer;
#[cfg(feature = "trainer")]
pub mod trainer;
pub mod versions;

pub use seen::{OwnExamples, SeenExamples};
pub use signature::signature;
pub(crate) use signature::{Said, signature_of};
