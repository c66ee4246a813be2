use std::fmt;

use serde::Serialize;
use thiserror::Error;

/// Why a file could not be read as chats, and where.
///
/// The texts name fields and positions, never what was said in the chat.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", Sentence(self))]
pub struct DecodeError {
    /// The kind of mistake.
    pub kind: DecodeErrorKind,
    /// What is wrong, without the place.
    pub message: String,
    /// What a person can do about it.
    pub hint: Option<String>,
    /// Line of the file, from 1.
    pub line: Option<usize>,
    /// Character in that line, from 1.
    pub column: Option<usize>,
    /// JSON path of the value, as in `messages[3].content`; in a JSONL file within its line.
    pub path: Option<String>,
    /// The input ends too early: perhaps somebody is still writing it.
    pub truncated: bool,
}

/// The kinds of [`DecodeError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DecodeErrorKind {
    /// There is nothing in the file.
    Empty,
    /// The bytes are not UTF-8 text.
    NotUtf8,
    /// The text is not JSON, or a line of it is not.
    Syntax,
    /// The JSON is not a chat in a format that is read.
    WrongShape,
    /// More messages or sessions than are read from one file.
    TooMany,
}

impl DecodeErrorKind {
    /// The kind's name in sidecars.
    pub fn as_str(self) -> &'static str {
        match self {
            DecodeErrorKind::Empty => "empty",
            DecodeErrorKind::NotUtf8 => "not_utf8",
            DecodeErrorKind::Syntax => "syntax",
            DecodeErrorKind::WrongShape => "wrong_shape",
            DecodeErrorKind::TooMany => "too_many",
        }
    }
}

impl DecodeError {
    /// An error that has no place yet.
    pub(super) fn new(kind: DecodeErrorKind, message: impl Into<String>) -> Self {
        DecodeError {
            kind,
            message: message.into(),
            hint: None,
            line: None,
            column: None,
            path: None,
            truncated: false,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says where it is: line and column, both from 1.
    #[must_use]
    pub(super) fn at(mut self, (line, column): (usize, usize)) -> Self {
        self.line = Some(line);
        self.column = Some(column);
        self
    }
}

/// `messages[3].content: expected text, found a number (line 12, column 20)`
struct Sentence<'a>(&'a DecodeError);

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.0.path {
            write!(f, "{path}: ")?;
        }
        f.write_str(&self.0.message)?;
        match (self.0.line, self.0.column) {
            (Some(line), Some(column)) => write!(f, " (line {line}, column {column})"),
            _ => Ok(()),
        }
    }
}
