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
    /// taken for something else.
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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn default() -> Decode {
        DecodeSettings::default().build().unwrap()
    }

    #[test]
    fn every_sample_is_read_and_every_broken_one_says_why() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_spool");
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let lines: Vec<String> = files.iter().map(|file| summary(file)).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        2026-03-02-mara-tokio-shutdown.json: atles, 10 messages
        2026-03-03-jonas-lentil-soup.json: atles, 10 messages
        2026-03-05-noor-slow-query.json: atles, 14 messages
        2026-03-07-mara-api-pagination.json: atles, 12 messages
        2026-03-09-mara-compose-database.json: atles, 10 messages
        2026-03-11-jonas-portuguese.json: atles, 8 messages
        2026-03-12-jonas-portuguese.json: atles, 14 messages
        2026-03-16-jonas-slovenia-by-train.json: atles, 10 messages
        2026-03-18-mara-moving-with-biscuit.json: atles, 10 messages
        2026-03-20-noor-refund-letter.json: atles, 10 messages
        2026-04-14-mara-git-rescue.json: atles, 10 messages
        2026-04-28-mara-new-editor.json: atles, 10 messages
        broken-cut-off.json: syntax: the text ends in the middle of a string (line 24, column 41)
        broken-empty.json: empty: the file holds nothing
        broken-latin1.json: not_utf8: byte 125 (0xDF) is not UTF-8 text (line 7, column 26)
        broken-settings.json: wrong_shape: not a chat in a format that is read: found an object with "theme", "fontSize", "shortcuts", "recentChats" (line 1, column 1)
        claude-export-2026-04-01.json: claude, 6 + 6 messages
        conversations.json: chatgpt, 6 + 6 messages; 1 conversation marked "do not remember" by the user
        fridge-photo-chat.json: openai, 7 messages
        pocket-chats-week-15.jsonl: jsonl, 8 + 8 messages
        querypad-export-88213.json: atles, 14 messages
        run_sql-7f31c2.json: openai, 11 messages
        sharegpt_kX9dTqz.json: sharegpt, 8 messages
        transcript-2026-03-25-jonas.jsonl: jsonl, 8 messages
        "#);
    }

    fn summary(file: &Path) -> String {
        let name = file.file_name().unwrap().to_str().unwrap();
        let bytes = fs::read(file).unwrap();
        let result = match default().decode(&bytes, name) {
            Ok(decoded) => {
                assert!(looks_complete(&bytes), "{name}");
                let counts = decoded.sessions.iter().map(|session| session.messages.len().to_string());
                let counts = counts.collect::<Vec<_>>().join(" + ");
                let skipped = decoded.skipped.iter().map(|why| format!("; {why}")).collect::<String>();
                format!("{}, {counts} messages{skipped}", decoded.format)
            }
            Err(error) => format!("{}: {error}", error.kind.as_str()),
        };
        format!("{name}: {result}")
    }

    #[test]
    fn a_mistake_in_a_file_of_lines_is_told_by_its_line() {
        let bytes = b"{\"role\": \"user\", \"content\": \"a\"\n{\"role\": \"user\", \"content\": \"b\"}\n";
        let by_name = |name: &str| default().decode(bytes, name).unwrap_err();
        assert_eq!(by_name("chat.json").line, Some(2), "one value that goes on in line 2");
        assert_eq!(by_name("chat.JSONL").line, Some(1), "a line that is not whole");
        assert!(!by_name("chat.jsonl").truncated);
    }

    #[test]
    fn settings_are_read_and_nonsense_is_named() {
        let settings: DecodeSettings = toml::from_str("format = \"chatgpt\"\nmax_sessions = 1").unwrap();
        assert_eq!((settings.format, settings.max_messages), (Format::Chatgpt, 1_000_000));
        assert!(toml::from_str::<DecodeSettings>("fromat = \"auto\"").is_err());
        assert!(toml::from_str::<DecodeSettings>("format = \"word\"").is_err());
        let problems = DecodeSettings { max_sessions: 0, max_messages: 0, ..settings }.build().unwrap_err();
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, ["max_sessions", "max_messages"]);
    }

    #[test]
    fn limits_of_the_settings_hold() {
        let bytes = br#"[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]"#;
        let decode = DecodeSettings { max_messages: 1, ..DecodeSettings::default() }.build().unwrap();
        assert_eq!(decode.decode(bytes, "x.json").unwrap_err().kind, DecodeErrorKind::TooMany);
        assert_eq!(default().decode(bytes, "x.json").unwrap().sessions.len(), 1);
    }
}
