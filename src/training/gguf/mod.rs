//! GGUF files: metadata and tensors read by position, weights expanded to `f32`, files written.
//!
//! What is read is foreign: every length is checked against the file's own size before anything is allocated.

mod error;
mod expand;
mod expand_k;
mod half;
mod kind;
mod pack;
mod reader;
mod value;
mod writer;

pub use error::GgufError;
pub use expand::expand;
pub use kind::TensorType;
pub use pack::pack_q8_0;
pub use reader::{Gguf, TensorInfo};
pub use value::Value;
pub use writer::{Content, GgufWriter, Put};
