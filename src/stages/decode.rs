//! The decoder: what makes sessions out of the bytes of a file.

use serde::{Deserialize, Serialize};

use crate::pipeline::Problem;
use crate::session::formats::{
    DecodeError, DecodeErrorKind, Decoded, Format, Limits, decode_within, looks_complete,
};

/// Reads the file of a chat, whatever format the chat app wrote it in.
///
/// It stands first in the chain. A file with many conversations becomes one session each; if one of them cannot be
/// read, the whole file goes to `failed/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DecodeSettings {
    /// The format of the files: `auto` tells it by the shape of each file, which is right unless one app's files are
    /// taken for something else. Else one of `atles`, `openai`, `sharegpt`, `chatgpt`, `claude`, `jsonl`.
    pub format: Format,
    /// Conversations read from one file, at most. A file with more is refused.
    pub max_sessions: usize,
    /// Messages read of one session, at most. A file with a longer one is refused.
    pub max_messages: usize,
}

impl Default for DecodeSettings {
    fn default() -> Self {
        let limits = Limits::default();
        DecodeSettings { format: Format::Auto, max_sessions: limits.sessions, max_messages: limits.messages }
    }
}

impl DecodeSettings {
    /// The `kind` in pipeline.toml.
    pub const KIND: &'static str = "decode";

    /// Checks the settings and makes the decoder.
    pub fn build(self) -> Result<Decode, Vec<Problem>> {
        let problems: Vec<Problem> =
            [("max_sessions", self.max_sessions), ("max_messages", self.max_messages)]
                .into_iter()
                .filter(|(_, limit)| *limit == 0)
                .map(|(key, _)| Problem::new(key, format!("{key} = 0 refuses every file")).hint("1 or more"))
                .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let limits = Limits { sessions: self.max_sessions, messages: self.max_messages };
        Ok(Decode { format: self.format, limits })
    }
}

/// Makes sessions out of the bytes of a file. It is no [`Stage`](crate::pipeline::Stage): there is no envelope before
/// it has run.
#[derive(Debug, Clone, Default)]
pub struct Decode {
    format: Format,
    limits: Limits,
}

impl Decode {
    /// Reads a file. Its name only decides how a mistake is told: that of a `.jsonl` file is told by its line.
    pub fn decode(&self, bytes: &[u8], name: &str) -> Result<Decoded, DecodeError> {
        let result = decode_within(bytes, self.format, self.limits);
        match result {
            Err(error) if error.kind == DecodeErrorKind::Syntax && self.format == Format::Auto => {
                if !has_lines(name) {
                    return Err(error);
                }
                decode_within(bytes, Format::Jsonl, self.limits)
            }
            _ => result,
        }
    }

    /// Whether the bytes are whole. A file that is not may still be being written.
    pub fn looks_complete(&self, bytes: &[u8]) -> bool {
        looks_complete(bytes)
    }
}

fn has_lines(name: &str) -> bool {
    name.rsplit_once('.')
        .is_some_and(|(_, end)| end.eq_ignore_ascii_case("jsonl") || end.eq_ignore_ascii_case("ndjson"))
}
