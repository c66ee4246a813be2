//! The chat formats, one file each, and what they share.

mod branch;
mod chatgpt;
mod claude;
mod claude_code;
mod codex;
mod content;
mod copilot;
mod decode;
mod detect;
mod doc;
mod error;
mod gemini_cli;
mod harness;
mod head;
mod jan;
mod jsonl;
mod keep;
mod librechat;
mod live;
mod lm_studio;
mod logs;
mod message;
mod named;
mod native;
mod open_webui;
mod openai;
#[cfg(test)]
mod properties;
mod sharegpt;
mod sink;
mod skim;
#[cfg(test)]
mod testing;
mod transcript;

pub use decode::{Decoded, Format, decode, decode_leniently, decode_within, looks_complete};
pub(crate) use detect::{Unit, unit};
pub use error::{DecodeError, DecodeErrorKind};
pub use live::{LIVE_VERSION, LiveWriter};
pub use logs::LogReader;
pub use sink::Limits;
