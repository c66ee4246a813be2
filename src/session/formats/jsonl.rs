use std::collections::HashMap;

use serde_json::Value;

use super::decode::Format;
use super::detect::{self, Shape};
use super::doc::{Doc, Whole};
use super::error::DecodeError;
use super::head::{COMMON, Head};
use super::message;
use super::sink::Sink;
use crate::session::Message;

/// Reads a JSONL file: a session with one message on each line, or one conversation on each line.
///
/// A first line without a message says what is known of the session. Lines that name a `session_id` belong to that
/// session. Blank lines are passed over; a line that is not JSON, or neither message nor conversation, is an error.
pub(super) fn read<'a>(whole: &'a Whole<'a>, sink: &mut Sink) -> Result<(), DecodeError> {
    let mut transcript = Transcript::default();
    let mut conversations = false;
    let mut lines = lines(whole.text).peekable();
    let mut first = true;
    while let Some(line) = lines.next() {
        let doc = Doc::line(whole, line).map_err(|error| of_line(error, lines.peek().is_none()))?;
        match detect::shape(doc)? {
            Shape::Message(_) if !conversations => transcript.add(doc, sink)?,
            Shape::Header if first => transcript.header = Some(doc),
            Shape::Chat(format) if transcript.is_empty() => {
                conversations = true;
                detect::read_item(doc, format, sink)?;
            }
            Shape::List if transcript.is_empty() => {
                conversations = true;
                detect::read_item(doc, Format::Openai, sink)?;
            }
            _ if conversations => {
                return Err(doc.error("the line is no conversation, as those before it are"));
            }
            _ => {
                return Err(doc
                    .error("the line is no message: it does not say who speaks, or what")
                    .hint("each line of a transcript is an object with \"role\" and \"content\""));
            }
        }
        first = false;
    }
    transcript.finish(sink)
}

/// The lines that are not blank.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').map(str::trim).filter(|line| !line.is_empty())
}

/// Only the last line may be one that somebody is still writing.
fn of_line(mut error: DecodeError, last: bool) -> DecodeError {
    error.truncated &= last;
    if !last {
        error = error.hint("each line of a JSONL file is one JSON value");
    }
    error
}

/// The messages of a transcript, by the session their lines name.
#[derive(Default)]
struct Transcript<'a> {
    header: Option<Doc<'a>>,
    sessions: Vec<Part<'a>>,
    by_id: HashMap<Option<String>, usize>,
}

/// One session of a transcript.
struct Part<'a> {
    first: Doc<'a>,
    id: Option<String>,
    user: Option<String>,
    app: Option<String>,
    messages: Vec<Message>,
}

impl<'a> Transcript<'a> {
    fn is_empty(&self) -> bool {
        self.header.is_none() && self.sessions.is_empty()
    }

    fn add(&mut self, doc: Doc<'a>, sink: &Sink) -> Result<(), DecodeError> {
        let mut message = message::read(doc, true)?;
        let [id, user, app] = ["session_id", "user_id", "app"].map(|key| taken(&mut message, key));
        let at = *self.by_id.entry(id.clone()).or_insert(self.sessions.len());
        if at == self.sessions.len() {
            self.sessions.push(Part { first: doc, id, user: None, app: None, messages: Vec::new() });
        }
        if let Some(part) = self.sessions.get_mut(at) {
            part.user = part.user.take().or(user);
            part.app = part.app.take().or(app);
            part.messages.push(message);
            sink.check_messages(doc, part.messages.len())?;
        }
        Ok(())
    }

    fn finish(self, sink: &mut Sink) -> Result<(), DecodeError> {
        if let (Some(header), true) = (self.header, self.sessions.is_empty()) {
            return Err(header
                .error("the transcript has a header and no messages")
                .hint("each line after the header is an object with \"role\" and \"content\""));
        }
        for part in self.sessions {
            let mut head = Head::new(&COMMON);
            if let Some(header) = self.header {
                header.each_entry("an object", |key, value| {
                    head.take(&key, value);
                    Ok(())
                })?;
            }
            let mut session = head.session("jsonl", part.messages)?;
            session.session_id = part.id.unwrap_or(session.session_id);
            session.user_id = part.user.or(session.user_id);
            session.app = part.app.or(session.app);
            sink.add(part.first, session)?;
        }
        Ok(())
    }
}

/// Takes what a line says of its session out of the message's metadata.
fn taken(message: &mut Message, key: &str) -> Option<String> {
    match message.metadata.remove(key)? {
        Value::String(text) if !text.trim().is_empty() => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
