//! The optional lane of recall that compares meanings instead of words.
//!
//! A text's vector is the mean of the [vectors of its words](words), as one matrix of static embeddings has them: a
//! look-up, no network to run. The file is [fetched](pull) once into the user's [cache](find); without it everything works
//! as if this module were not there. Vectors are computed in the background, after a session has settled, and lie in
//! memory.db [beside its turns](store); a question reads them one after the other.

mod error;
mod find;
mod half;
pub(super) mod packed;
pub mod pull;
pub(super) mod store;
mod text;
mod tokens;
mod words;

pub use error::EmbeddingError;
pub use find::{cache_folder, find, place};
pub use store::catch_up;
pub use text::Reader;
pub use words::WordVectors;
