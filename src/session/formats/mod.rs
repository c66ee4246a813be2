//! The chat formats, one file each, and what they share.

mod branch;
mod chatgpt;
mod claude;
mod content;
mod decode;
mod detect;
mod doc;
mod error;
mod head;
mod jsonl;
mod keep;
mod live;
mod message;
mod named;
mod native;
mod openai;
#[cfg(test)]
mod properties;
mod sharegpt;
mod sink;
#[cfg(test)]
mod testing;

pub use decode::{Decoded, Format, decode, decode_within, looks_complete};
pub use error::{DecodeError, DecodeErrorKind};
pub use live::{LIVE_VERSION, LiveWriter};
pub use sink::Limits;
