use std::borrow::Cow;

use serde_json::{Map, Value};

use super::doc::{Doc, Kind};
use super::error::DecodeError;

/// What a message's content comes to.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// What was said, parts joined by line breaks; a part that is not text stands as a mark such as `[image]`.
    pub(super) text: String,
    /// What goes into the message's metadata: `tool_calls` and `tool_results` that stood among the parts.
    pub(super) aside: Map<String, Value>,
}

/// Reads a message's `content`: text, null, one part, or a list of parts.
pub(super) fn read(doc: Doc<'_>) -> Result<Content, DecodeError> {
    const EXPECTED: &str = "text or a list of parts";
    let mut content = Content::default();
    match doc.kind() {
        Kind::Null => {}
        Kind::Text => content.text = doc.text().map(clean).unwrap_or_default(),
        Kind::List => doc.each_item(EXPECTED, |_, part| content.add(part))?,
        Kind::Object => match Part::read(doc)? {
            Part { kind: None, text: None, .. } => return Err(doc.wrong(EXPECTED)),
            part => content.add_object(doc, &part),
        },
        Kind::Number | Kind::Bool => return Err(doc.wrong(EXPECTED)),
    }
    Ok(content)
}

/// A text without NUL characters, which neither SQLite nor most editors take.
pub(super) fn clean(text: Cow<'_, str>) -> String {
    if memchr::memchr(0, text.as_bytes()).is_none() { text.into_owned() } else { text.replace('\0', "") }
}

/// A mark for something that is not text, such as `[file: notes.pdf]`. The name comes from outside: it is clipped, and
/// cannot close the mark.
pub(super) fn mark(what: &str, name: Option<&str>) -> String {
    let fit = |c: &char| !c.is_control() && !matches!(c, '[' | ']');
    let name: String = name.unwrap_or_default().chars().filter(fit).take(80).collect();
    match name.trim() {
        "" => format!("[{what}]"),
        name => format!("[{what}: {name}]"),
    }
}

impl Content {
    /// Adds a piece of text on a line of its own.
    pub(super) fn push(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        match memchr::memchr(0, text.as_bytes()) {
            None => self.text.push_str(text),
            Some(_) => self.text.extend(text.chars().filter(|c| *c != '\0')),
        }
    }

    /// Adds one part: a bare text, or an object whose `type` says what it is.
    pub(super) fn add(&mut self, doc: Doc<'_>) -> Result<(), DecodeError> {
        match doc.kind() {
            Kind::Null => {}
            Kind::Text => self.push(&doc.text().unwrap_or_default()),
            Kind::Object => self.add_object(doc, &Part::read(doc)?),
            Kind::List | Kind::Number | Kind::Bool => return Err(doc.wrong("a part: text or an object")),
        }
        Ok(())
    }

    fn add_object(&mut self, doc: Doc<'_>, part: &Part<'_>) {
        let text = part.text.as_deref();
        match (part.kind.as_deref().unwrap_or_default(), text) {
            ("thinking" | "redacted_thinking" | "reasoning" | "reasoning_content", _) => {}
            ("tool_use" | "server_tool_use" | "tool_call" | "function_call", _) => {
                doc.keep_among(&mut self.aside, "tool_calls");
            }
            (kind, _) if kind == "tool_result" || kind.ends_with("_tool_result") => {
                doc.keep_among(&mut self.aside, "tool_results");
            }
            ("image" | "image_url" | "input_image" | "image_file" | "image_asset_pointer", _) => {
                self.push("[image]");
            }
            ("file" | "input_file" | "document", _) => self.push(&mark("file", part.name.as_deref())),
            (_, Some(text)) => self.push(text),
            ("audio" | "input_audio" | "output_audio" | "audio_asset_pointer", None) => self.push("[audio]"),
            ("video" | "input_video" | "video_container_asset_pointer", None) => self.push("[video]"),
            ("text" | "input_text" | "output_text" | "refusal" | "audio_transcription", None) => {}
            (kind, None) => self.push(&mark(&kind_mark(kind), None)),
        }
    }
}

/// The mark of a kind of part that nobody here knows.
fn kind_mark(kind: &str) -> String {
    let plain: String = kind
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
        .take(40)
        .collect::<String>()
        .replace('_', " ");
    if plain.is_empty() { "part".to_owned() } else { plain }
}

/// What counts in an object among the parts of a message.
#[derive(Default)]
struct Part<'a> {
    kind: Option<Cow<'a, str>>,
    text: Option<Cow<'a, str>>,
    name: Option<Cow<'a, str>>,
}

impl<'a> Part<'a> {
    fn read(doc: Doc<'a>) -> Result<Self, DecodeError> {
        let mut part = Part::default();
        doc.each_entry("a part", |key, value| {
            match &*key {
                "type" | "content_type" => part.kind = value.text(),
                "text" | "refusal" | "transcript" => part.text = inner(value, "value")?.or(part.text.take()),
                "filename" | "file_name" | "name" | "title" => part.name = value.text(),
                "file" | "input_file" => part.name = inner(value, "filename")?.or(part.name.take()),
                _ => {}
            }
            Ok(())
        })?;
        Ok(part)
    }
}

/// A text, or the text under a key of an object.
fn inner<'a>(doc: Doc<'a>, name: &str) -> Result<Option<Cow<'a, str>>, DecodeError> {
    if doc.kind() != Kind::Object {
        return Ok(doc.text());
    }
    let mut found = None;
    doc.each_entry("an object", |key, value| {
        if key == name {
            found = value.text();
        }
        Ok(())
    })?;
    Ok(found)
}
