use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::detect;
use super::doc::{Doc, Whole, position};
use super::error::{DecodeError, DecodeErrorKind};
use super::sink::{Collected, Limits, Sink, plural};
use super::{jsonl, live, logs, transcript};
use crate::session::Session;

/// The formats a chat file may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
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
    /// An export of Open WebUI, or one chat of it.
    OpenWebui,
    /// An export of LibreChat.
    Librechat,
    /// A `*.conversation.json` of LM Studio.
    LmStudio,
    /// `messages.jsonl` of a thread of Jan.
    Jan,
    /// A transcript of Claude Code.
    ClaudeCode,
    /// A rollout of Codex CLI.
    Codex,
    /// A chat of Gemini CLI, as a log or in its older form of one document.
    GeminiCli,
    /// A chat session of Copilot in VS Code, as a log or in its older form of one document.
    Copilot,
    /// Markdown or plain text in which lines such as `User:` say who speaks.
    Transcript,
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
            Format::OpenWebui => "open-webui",
            Format::Librechat => "librechat",
            Format::LmStudio => "lm-studio",
            Format::Jan => "jan",
            Format::ClaudeCode => "claude-code",
            Format::Codex => "codex",
            Format::GeminiCli => "gemini-cli",
            Format::Copilot => "copilot",
            Format::Transcript => "transcript",
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
    /// Indices of the sessions in which a turn is still under way, in formats that tell.
    pub open: Vec<usize>,
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
    read(bytes, format, Sink::new(limits))
}

/// As [`decode`], but what cannot be read of a conversation is left out and counted. For exports, which nobody can have
/// written again.
pub fn decode_leniently(bytes: &[u8], format: Format) -> Result<Decoded, DecodeError> {
    read(bytes, format, Sink::lenient(Limits::default()))
}

fn read(bytes: &[u8], format: Format, mut sink: Sink) -> Result<Decoded, DecodeError> {
    // A live file says itself what it is.
    let (bytes, format, torn) = match live::whole_lines(bytes) {
        Some((whole, torn)) => (whole, Format::Jsonl, torn),
        None => (bytes, format, 0),
    };
    let whole = Whole::new(text_of(bytes)?);
    let read_as = match format {
        Format::Auto => read_auto(&whole, &mut sink)?,
        Format::Jsonl => {
            jsonl::read(&whole, &mut sink)?;
            format
        }
        Format::Transcript => {
            transcript::read(&whole, &mut sink)?;
            format
        }
        _ if logs::is_log(format, &whole) => {
            logs::read(&whole, format, &mut sink)?;
            format
        }
        _ => {
            detect::read_only(Doc::parse(&whole)?, format, &mut sink)?;
            format
        }
    };
    let Collected { sessions, open, skipped } = sink.finish(whole.budget.dropped());
    let mut skipped = skipped;
    if torn > 0 {
        skipped.push(format!("{torn} torn {}", plural(torn, "line")));
    }
    Ok(Decoded { format: read_as.as_str(), sessions, open, skipped })
}

fn read_auto(whole: &Whole<'_>, sink: &mut Sink) -> Result<Format, DecodeError> {
    if let Some(format) = logs::detect(whole) {
        logs::read(whole, format, sink)?;
        return Ok(format);
    }
    match Doc::parse(whole) {
        Ok(doc) => detect::read(doc, sink),
        Err(error) if !looks_like_lines(whole.text) => Err(error),
        Err(_) => {
            jsonl::read(whole, sink)?;
            Ok(Format::Jsonl)
        }
    }
}

/// Whether the bytes are whole JSON, or lines of it. A program that writes a file in place leaves it incomplete for a
/// while; whoever finds it so had better wait.
pub fn looks_complete(bytes: &[u8]) -> bool {
    let is_json = |text: &str| serde_json::from_str::<IgnoredAny>(text).is_ok();
    let bytes = live::whole_lines(bytes).map_or(bytes, |(whole, _)| whole);
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
        [b'P', b'K', 3, 4, ..] => "the file looks like a zip: `atles import` reads exports as they come",
        [0x1F, 0x8B, ..] => "the file looks compressed: unpack it first",
        [0x28, 0xB5, 0x2F, 0xFD, ..] => "the file looks compressed: unpack it first",
        _ if torn => "the file was cut short: let the app write it again",
        _ => "save the file as UTF-8",
    };
    let mut error = DecodeError::new(DecodeErrorKind::NotUtf8, message).at(position(&before, at)).hint(hint);
    error.truncated = torn;
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: &str = r#"{"messages": [{"role": "user", "content": "grüß dich"}]}"#;

    #[test]
    fn bytes_that_are_no_text_say_where_and_what_to_do() {
        let torn = &CHAT.as_bytes()[..CHAT.find('ß').unwrap() + 1];
        let cases: [(&[u8], DecodeErrorKind, &str, bool); 8] = [
            (b"", DecodeErrorKind::Empty, "the file holds nothing", true),
            (b"\xEF\xBB\xBF \n", DecodeErrorKind::Empty, "the file holds nothing", true),
            (b"\0\0\0", DecodeErrorKind::Empty, "the file holds nothing but NUL characters", true),
            (torn, DecodeErrorKind::NotUtf8, "middle of a character, at byte 47 (line 1, column 47)", true),
            (
                b"{\"a\":\n\"caf\xE9\"}",
                DecodeErrorKind::NotUtf8,
                "byte 10 (0xE9) is not UTF-8 text (line 2, column 5)",
                false,
            ),
            (b"\xFF\xFE{\0", DecodeErrorKind::NotUtf8, "byte 0 (0xFF)", false),
            (b"PK\x03\x04\xF0\x00", DecodeErrorKind::NotUtf8, "byte 4 (0xF0)", false),
            (b"\xEF\xBB", DecodeErrorKind::NotUtf8, "at byte 0", true),
        ];
        for (bytes, kind, message, truncated) in cases {
            let error = decode(bytes, Format::Auto).unwrap_err();
            assert_eq!((error.kind, error.truncated), (kind, truncated), "{error}");
            assert!(error.to_string().contains(message), "{error}");
            assert!(error.hint.is_some());
            assert!(!looks_complete(bytes));
        }
    }

    #[test]
    fn a_file_that_ends_too_early_is_known_as_such_wherever_it_is_cut() {
        let marked = format!("\u{FEFF}{CHAT}\n");
        for end in 0..marked.len() - 2 {
            let bytes = &marked.as_bytes()[..end];
            let error = decode(bytes, Format::Auto).unwrap_err();
            assert!(error.truncated, "{end}: {error}");
            assert!(!looks_complete(bytes), "{end}");
        }
        assert!(looks_complete(marked.as_bytes()) && decode(marked.as_bytes(), Format::Auto).is_ok());
    }

    #[test]
    fn a_format_that_is_asked_for_is_the_only_one_read() {
        use Format::{Atles, Chatgpt, Claude, Jsonl, Openai, Sharegpt};
        let files = [
            (
                r#"{"session_id": "s", "messages": [{"role": "user", "content": "a"}]}"#,
                vec![Atles, Openai, Jsonl],
            ),
            (r#"[{"messages": [{"role": "user", "content": "a"}]}]"#, vec![Atles, Openai]),
            (r#"[{"role": "user", "content": "a"}]"#, vec![Openai, Sharegpt, Jsonl]),
            (r#"{"conversations": [{"from": "human", "value": "a"}]}"#, vec![Sharegpt, Jsonl]),
            (
                r#"{"mapping": {"a": {"message": {"author": {"role": "user"}, "content": {"parts": ["a"]}}}}}"#,
                vec![Chatgpt, Jsonl],
            ),
            (r#"[{"chat_messages": [{"sender": "human", "text": "a"}]}]"#, vec![Claude]),
            (
                "{\"role\": \"user\", \"content\": \"a\"}\n{\"role\": \"user\", \"content\": \"a\"}",
                vec![Jsonl],
            ),
        ];
        for (text, readable) in files {
            for format in [Atles, Openai, Sharegpt, Chatgpt, Claude, Jsonl] {
                let found = decode(text.as_bytes(), format).is_ok_and(|decoded| !decoded.sessions.is_empty());
                assert_eq!(found, readable.contains(&format), "{} of {text}", format.as_str());
            }
        }
    }

    #[test]
    fn limits_refuse_the_whole_file_and_name_the_setting() {
        let limits = Limits { sessions: 2, messages: 3 };
        let list = |count: usize| vec![r#"{"role": "user", "content": "a"}"#; count].join(",");
        let chats = |count: usize| vec![format!(r#"{{"messages": [{}]}}"#, list(1)); count].join("\n");
        let cases = [
            (format!("[{}]", list(4)), "messages"),
            (list(4).replace(',', "\n").replace("\n \"", ", \""), "messages"),
            (chats(3), "sessions"),
            (format!("[{}]", chats(3).replace('\n', ",")), "sessions"),
        ];
        for (text, what) in cases {
            let error = decode_within(text.as_bytes(), Format::Auto, limits).unwrap_err();
            assert_eq!(error.kind, DecodeErrorKind::TooMany, "{error}");
            assert!(error.hint.unwrap().contains(&format!("max_{what}")), "{text}");
        }
        assert_eq!(decode_within(chats(2).as_bytes(), Format::Auto, limits).unwrap().sessions.len(), 2);
    }
}
