//! The models that are trained on: where they are found, and how they are fetched.
//!
//! A base is named in one of three ways: a known name (`smollm2-135m-instruct`), a model of the local Ollama
//! (`ollama:NAME`), or the path of a GGUF file. [`resolve`] finds it on this machine and checks that it can be
//! trained; [`pull`] fetches a known one into the cache folder, which all homes of a user share.

mod cache;
mod digest;
mod error;
#[cfg(feature = "http")]
mod hub;
mod known;
mod ollama;
mod pip;
mod pull;
mod resolve;

pub use cache::Cache;
pub use digest::sha256_of;
pub use error::BaseError;
pub use known::{DEFAULT, Known};
pub use pull::{Progress, pull};
pub use resolve::{Base, BaseKind, resolve};
