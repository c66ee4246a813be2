//! What a run leaves for others: the adapter as GGUF, and the base with the adapter merged in.

mod adapter_file;
mod merged;

pub use adapter_file::{read_adapter, write_adapter};
pub use merged::write_merged;
