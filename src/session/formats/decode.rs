use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::detect;
use super::doc::{Doc, Whole, position};
use super::error::{DecodeError, DecodeErrorKind};
use super::jsonl;
use super::sink::{Limits, Sink};
use crate::session::Session;

/// The formats a chat file may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Told by the shape of the file.
    #[default]
    Auto,
    /// A session file of ATLES.
    Atles,
    /// A message list as model interfaces take it, bare or under `messages`.
    Openai,
    /// ShareGPT: `conversations` of `from` and `value`.
    Sharegpt,
    /// `conversations.json` of a ChatGPT export, or one conversation of it.
    Chatgpt,
    /// `conversations.json` of a Claude.ai export, or one conversation of it.
    Claude,
    /// A transcript with one message, or one conversation, on each line.
    Jsonl,
}

impl Format {
    /// The format's name in pipeline.toml and in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Auto => "auto",
            Format::Atles => "atles",
            Format::Openai => "openai",
            Format::Sharegpt => "sharegpt",
            Format::Chatgpt => "chatgpt",
            Format::Claude => "claude",
            Format::Jsonl => "jsonl",
        }
    }
}

/// What a file came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The name of the format it was read as.
    pub format: &'static str,
    /// The chats, in the order of the file. Empty only where all of them are in `skipped`.
    pub sessions: Vec<Session>,
    /// What was left out and why, as counts: `2 conversations without messages`.
    pub skipped: Vec<String>,
}

/// Reads a file's bytes as chats, within the default [`Limits`].
///
/// All or nothing: one conversation that cannot be read is an error for the whole file.
pub fn decode(bytes: &[u8], format: Format) -> Result<Decoded, DecodeError> {
    decode_within(bytes, format, Limits::default())
}

/// As [`decode`], with limits of one's own.
pub fn decode_within(bytes: &[u8], format: Format, limits: Limits) -> Result<Decoded, DecodeError> {
    let whole = Whole::new(text_of(bytes)?);
    let mut sink = Sink::new(limits);
    let read_as = match format {
        Format::Auto => match Doc::parse(&whole) {
            Ok(doc) => detect::read(doc, &mut sink)?,
            Err(error) if !looks_like_lines(whole.text) => return Err(error),
            Err(_) => {
                jsonl::read(&whole, &mut sink)?;
                Format::Jsonl
            }
        },
        Format::Jsonl => {
            jsonl::read(&whole, &mut sink)?;
            format
        }
        _ => {
            detect::read_only(Doc::parse(&whole)?, format, &mut sink)?;
            format
        }
    };
    let (sessions, skipped) = sink.finish(whole.budget.dropped());
    Ok(Decoded { format: read_as.as_str(), sessions, skipped })
}

/// Whether the bytes are whole JSON, or lines of it. A program that writes a file in place leaves it incomplete for a
/// while; whoever finds it so had better wait.
pub fn looks_complete(bytes: &[u8]) -> bool {
    let is_json = |text: &str| serde_json::from_str::<IgnoredAny>(text).is_ok();
    text_of(bytes)
        .is_ok_and(|text| is_json(text) || (looks_like_lines(text) && jsonl::lines(text).all(is_json)))
}

/// Whether the first of several lines is a JSON value by itself.
fn looks_like_lines(text: &str) -> bool {
    let mut lines = jsonl::lines(text);
    let first = lines.next().is_some_and(|line| serde_json::from_str::<IgnoredAny>(line).is_ok());
    first && lines.next().is_some()
}

/// The text of a file, without a byte order mark.
fn text_of(bytes: &[u8]) -> Result<&str, DecodeError> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Err(not_utf8(bytes, error)),
    };
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    if text.chars().all(|c| c.is_whitespace() || c == '\0') {
        let what = if text.contains('\0') { "nothing but NUL characters" } else { "nothing" };
        let mut error = DecodeError::new(DecodeErrorKind::Empty, format!("the file holds {what}"))
            .hint("the app stopped before it wrote the chat: let it write the file again");
        error.truncated = true;
        return Err(error);
    }
    Ok(text)
}

fn not_utf8(bytes: &[u8], error: std::str::Utf8Error) -> DecodeError {
    let at = error.valid_up_to();
    let before = bytes.get(..at).map(String::from_utf8_lossy).unwrap_or_default();
    let byte = bytes.get(at).copied().unwrap_or_default();
    let torn = error.error_len().is_none();
    let message = if torn {
        format!("the text ends in the middle of a character, at byte {at}")
    } else {
        format!("byte {at} (0x{byte:02X}) is not UTF-8 text")
    };
    let hint = match bytes {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => "the file looks like UTF-16: save it as UTF-8",
        [b'P', b'K', 3, 4, ..] => "the file looks like a zip: unpack it and drop its conversations.json",
        [0x1F, 0x8B, ..] => "the file looks compressed: unpack it first",
        [0x28, 0xB5, 0x2F, 0xFD, ..] => "the file looks compressed: unpack it first",
        _ if torn => "the file was cut short: let the app write it again",
        _ => "save the file as UTF-8",
    };
    let mut error = DecodeError::new(DecodeErrorKind::NotUtf8, message).at(position(&before, at)).hint(hint);
    error.truncated = torn;
    error
}
