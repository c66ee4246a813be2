use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, Visitor};
use serde_json::error::Category;

use super::error::{DecodeError, DecodeErrorKind};
use super::keep::Budget;
use super::skim::Children;

/// The file's text, which every [`Doc`] of it points back to.
pub(super) struct Whole<'a> {
    /// All of it, without a byte order mark.
    pub(super) text: &'a str,
    /// What may still be spent on fields that no format knows.
    pub(super) budget: Budget,
}

impl<'a> Whole<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Whole { text, budget: Budget::for_input(text.len()) }
    }

    /// Line and column of a byte, both from 1; columns count characters.
    fn position(&self, offset: usize) -> (usize, usize) {
        position(self.text, offset)
    }
}

/// Line and column of a byte in a text, both from 1; columns count characters.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
    let line = memchr::memchr_iter(b'\n', before).count() + 1;
    let is_start = |byte: &&u8| (**byte & 0b1100_0000) != 0b1000_0000;
    (line, before[line_start..].iter().filter(is_start).count() + 1)
}

/// A value in a JSON text: a slice of the file that has been checked, but not taken apart.
///
/// Each level is skimmed only when it is asked for, so memory does not grow with what is passed over, and nesting costs
/// no stack. An error finds its own line, column and path from the place of its slice in the file.
#[derive(Clone, Copy)]
pub(super) struct Doc<'a> {
    raw: &'a str,
    /// The document the paths start from: the whole file, or one line of a JSONL file.
    root: &'a str,
    whole: &'a Whole<'a>,
}

/// What a [`Doc`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    List,
    Text,
    Number,
    Bool,
    Null,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Object => "an object",
            Kind::List => "a list",
            Kind::Text => "text",
            Kind::Number => "a number",
            Kind::Bool => "true or false",
            Kind::Null => "null",
        })
    }
}

impl<'a> Doc<'a> {
    /// Checks the syntax of the whole file as one JSON value.
    pub(super) fn parse(whole: &'a Whole<'a>) -> Result<Self, DecodeError> {
        Doc::line(whole, whole.text)
    }

    /// The whole text, whatever it is; for limits and places only.
    pub(super) fn of_all(whole: &'a Whole<'a>) -> Self {
        Doc { raw: whole.text, root: whole.text, whole }
    }

    /// Checks the syntax of one line of the file as a JSON value.
    pub(super) fn line(whole: &'a Whole<'a>, line: &'a str) -> Result<Self, DecodeError> {
        let doc = Doc { raw: line.trim(), root: line.trim(), whole };
        match serde_json::from_str::<IgnoredAny>(doc.raw) {
            Ok(_) => Ok(doc),
            Err(error) => Err(doc.syntax(&error)),
        }
    }

    /// The value's own JSON text.
    pub(super) fn raw(self) -> &'a str {
        self.raw
    }

    pub(super) fn whole(self) -> &'a Whole<'a> {
        self.whole
    }

    pub(super) fn kind(self) -> Kind {
        match self.raw.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::List,
            Some(b'"') => Kind::Text,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        }
    }

    pub(super) fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// Visits an object's entries in the order of the file. A key may come twice: whoever keeps the last one does as
    /// other readers do. An error of `visit` ends the walk.
    pub(super) fn each_entry(
        self,
        expected: &str,
        mut visit: impl FnMut(Cow<'a, str>, Doc<'a>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        if self.kind() != Kind::Object {
            return Err(self.wrong(expected));
        }
        for (key, value) in Children::of(self.raw) {
            let key = key.and_then(|key| self.child(key).text()).unwrap_or_default();
            visit(key, self.child(value))?;
        }
        Ok(())
    }

    /// Visits a list's items with their indices. An error of `visit` ends the walk.
    pub(super) fn each_item(
        self,
        expected: &str,
        mut visit: impl FnMut(usize, Doc<'a>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        if self.kind() != Kind::List {
            return Err(self.wrong(expected));
        }
        Children::of(self.raw).enumerate().try_for_each(|(index, (_, item))| visit(index, self.child(item)))
    }

    /// The values under these keys, of equal ones the last; nothing for null, nor where this is no object. For
    /// formats that are read as far as they can be.
    pub(super) fn fields<const N: usize>(self, names: [&str; N]) -> [Option<Doc<'a>>; N] {
        let mut found = [None; N];
        if self.kind() == Kind::Object {
            // The visitor gives no error.
            let _ = self.each_entry("an object", |key, value| {
                for (slot, _) in found.iter_mut().zip(names).filter(|(_, name)| *name == key) {
                    *slot = Some(value).filter(|value| !value.is_null());
                }
                Ok(())
            });
        }
        found
    }

    /// The value under one key, as [`Doc::fields`] has it.
    pub(super) fn field(self, name: &str) -> Option<Doc<'a>> {
        let [found] = self.fields([name]);
        found
    }

    /// Visits the items of a list; nothing where this is none.
    pub(super) fn for_each(self, mut visit: impl FnMut(Doc<'a>)) {
        if self.kind() == Kind::List {
            let _ = self.each_item("a list", |_, item| {
                visit(item);
                Ok(())
            });
        }
    }

    /// The first item of a list; nothing where this is none.
    pub(super) fn first_item(self) -> Option<Doc<'a>> {
        let list = Some(self).filter(|doc| doc.kind() == Kind::List)?;
        Children::of(list.raw).next().map(|(_, item)| list.child(item))
    }

    fn child(self, raw: &'a str) -> Self {
        Doc { raw, ..self }
    }

    /// The text of a JSON string; half a surrogate pair becomes U+FFFD. `None` for any other value.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        let inner = self.raw.strip_prefix('"')?.strip_suffix('"')?;
        if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
            return Some(Cow::Borrowed(inner));
        }
        match serde_json::from_str::<String>(self.raw) {
            Ok(text) => Some(Cow::Owned(text)),
            Err(_) => serde_json::Deserializer::from_str(self.raw).deserialize_bytes(Lossy).ok(),
        }
    }

    /// A number; infinite where it is too large. `None` for any other value.
    pub(super) fn number(self) -> Option<f64> {
        if self.kind() == Kind::Number { self.raw.parse().ok() } else { None }
    }

    /// `true` or `false`; `None` for any other value.
    pub(super) fn bool(self) -> Option<bool> {
        match self.raw {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// The error of a value that is not what the format wants.
    pub(super) fn wrong(self, expected: &str) -> DecodeError {
        self.error(format!("expected {expected}, found {}", self.kind()))
    }

    /// An error about this value, with its place.
    pub(super) fn error(self, message: impl Into<String>) -> DecodeError {
        self.error_of(DecodeErrorKind::WrongShape, message)
    }

    /// An error of another kind about this value, with its place.
    pub(super) fn error_of(self, kind: DecodeErrorKind, message: impl Into<String>) -> DecodeError {
        let mut error = DecodeError::new(kind, message).at(self.whole.position(self.offset(0)));
        error.path = self.path();
        error
    }

    /// Where a byte of this value stands in the file.
    fn offset(self, inside: usize) -> usize {
        let start = (self.raw.as_ptr() as usize).saturating_sub(self.whole.text.as_ptr() as usize);
        start.saturating_add(inside).min(self.whole.text.len())
    }

    fn syntax(self, error: &serde_json::Error) -> DecodeError {
        let text = error.to_string();
        let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
        let truncated = error.classify() == Category::Eof;
        let message = match what.strip_prefix("EOF while parsing ") {
            Some(what) => format!("the text ends in the middle of {what}"),
            None => what.to_owned(),
        };
        // serde_json names the character before this one.
        let late = usize::from(what.starts_with("control character"));
        let inside = match truncated {
            true => self.raw.len(),
            false => byte_of(self.raw, error.line(), error.column() + late),
        };
        let mut error = DecodeError::new(DecodeErrorKind::Syntax, message);
        error = error.at(self.whole.position(self.offset(inside)));
        error.truncated = truncated;
        error.hint(if truncated {
            "the file was cut short: let the app write it again, under a dot name that is renamed when it is whole"
        } else {
            "a file holds one JSON value, or one on each line"
        })
    }

    /// Looks for this slice from the root down. Done only when there is an error to show.
    fn path(self) -> Option<String> {
        let target = self.offset(0)..self.offset(self.raw.len());
        let mut path = String::new();
        let mut at = Doc { raw: self.root, ..self };
        while (at.offset(0)..at.offset(at.raw.len())) != target {
            let holds = |child: Doc<'_>| {
                child.offset(0) <= target.start && target.end <= child.offset(child.raw.len())
            };
            let mut next = None;
            let walked = match at.kind() {
                Kind::Object => at.each_entry("", |key, child| {
                    if holds(child) {
                        next = Some((step(&key), child));
                    }
                    Ok(())
                }),
                Kind::List => at.each_item("", |index, child| {
                    if holds(child) {
                        next = Some((format!("[{index}]"), child));
                    }
                    Ok(())
                }),
                _ => break,
            };
            let Some((step, child)) = next.filter(|_| walked.is_ok()) else { break };
            path.push_str(&step);
            at = child;
        }
        let path = path.strip_prefix('.').unwrap_or(&path);
        (!path.is_empty()).then(|| path.to_owned())
    }
}

/// A key as a step of a path; keys come from outside, so they are clipped and quoted where they are not plain words.
fn step(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !key.is_empty() && key.len() <= 40 && key.chars().all(plain) {
        return format!(".{key}");
    }
    format!("[{}]", clipped(key))
}

/// A short quoted form of something from outside, fit for an error message.
pub(super) fn clipped(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// The byte that serde_json's line and column (in bytes, 0 at a line's start) speak of.
fn byte_of(text: &str, line: usize, column: usize) -> usize {
    let start = match line.checked_sub(2) {
        Some(nth) => memchr::memchr_iter(b'\n', text.as_bytes()).nth(nth).map_or(0, |newline| newline + 1),
        None => 0,
    };
    let mut byte = start.saturating_add(column.saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}

/// Reads a JSON string of which only the syntax was checked. Programs do cut texts inside a surrogate pair.
#[derive(Clone, Copy)]
pub(super) struct Lossy;

impl<'a> Visitor<'a> for Lossy {
    type Value = Cow<'a, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_borrowed_bytes<E: serde::de::Error>(self, bytes: &'a [u8]) -> Result<Self::Value, E> {
        Ok(String::from_utf8_lossy(bytes))
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(Cow::Owned(String::from_utf8_lossy(bytes).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{error, one};
    use super::*;

    #[test]
    fn an_error_names_line_column_and_path() {
        let text = "\u{FEFF}{\"title\": \"Grüße\",\n \"messages\": [\n  {\"role\": \"user\", \"content\": \"é\"},\n  {\"é\": \"ü\", \"role\": \"user\", \"content\": 5}]}";
        let error = error(text);
        assert_eq!((error.line, error.column), (Some(4), Some(41)));
        assert_eq!(error.path.as_deref(), Some("messages[1].content"));
    }

    #[test]
    fn a_syntax_error_points_at_the_character_at_fault() {
        let cases = [
            ("{\"a\": 1,}", 1, 9, false),
            ("{\"ü\": 1,\n\"messages\": [,]}", 2, 14, false),
            ("{\"messages\": [{\"role\": \"us", 1, 27, true),
            ("{\"messages\": [", 1, 15, true),
            ("{\"messages\": []} x", 1, 18, false),
            ("tru", 1, 4, true),
            ("nope", 1, 2, false),
            ("{\"a\": \"line\nbreak\"}", 1, 12, false),
        ];
        for (text, line, column, truncated) in cases {
            let error = error(text);
            assert_eq!(error.kind, DecodeErrorKind::Syntax, "{text}");
            assert_eq!((error.line, error.column), (Some(line), Some(column)), "{text}: {error}");
            assert_eq!(error.truncated, truncated, "{text}");
        }
    }

    #[test]
    fn a_hostile_key_is_quoted_and_clipped_in_a_path() {
        let key = "a.b[0]\\n\u{1b}".to_owned() + &"x".repeat(500);
        let key = key.replace('\u{1b}', "\\u001b");
        let text = format!(r#"{{"mapping": {{"{key}": {{"parent": null, "message": 3}}}}}}"#);
        let path = error(&text).path.unwrap();
        assert!(path.starts_with(r#"mapping["a.b[0]\n\u{1b}xxx"#), "{path}");
        assert!(path.len() < 80, "{path}");
    }

    #[test]
    fn a_hundred_thousand_levels_cost_no_stack_anywhere() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        let objects = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
        for deep in [&deep, &objects] {
            for text in [
                deep.clone(),
                format!(r#"{{"messages": {deep}}}"#),
                format!(r#"{{"mapping": {{"a": {{"parent": {deep}, "message": {deep}}}}}}}"#),
                format!(r#"{{"messages": [{{"role": "user", "content": {deep}}}]}}"#),
                format!(r#"{{"messages": [{{"role": {deep}, "content": "a"}}]}}"#),
            ] {
                let error = error(&text);
                assert_eq!(error.kind, DecodeErrorKind::WrongShape);
                assert!(error.path.unwrap_or_default().len() < 100);
            }
            let part = format!(r#"{{"messages": [{{"role": "user", "content": [{{"x": {deep}}}]}}]}}"#);
            assert_eq!(one(&part).messages[0].text, "[part]");
            let kept = one(&format!(r#"{{"x": {deep}, "messages": [{{"role": "user", "content": "a"}}]}}"#));
            assert_eq!(kept.metadata["x"].as_str(), Some(deep.as_str()), "kept as its JSON text");
        }
    }

    #[test]
    fn of_two_equal_keys_the_last_counts() {
        let session = one(r#"{"session_id": "a", "messages": 3, "session_id": "b",
                "messages": [{"role": "user", "content": 1, "content": "x", "note": 1, "note": 2}]}"#);
        assert_eq!((session.session_id.as_str(), session.messages[0].text.as_str()), ("b", "x"));
        assert_eq!(session.messages[0].metadata["note"], 2);
    }
}
