use std::collections::HashMap;

use serde_json::Value;

use super::content::name;
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
pub(super) fn of_line(mut error: DecodeError, last: bool) -> DecodeError {
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
                    if key != "live" || !super::live::is_writer(value.raw()) {
                        head.take(&key, value);
                    }
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
        Value::String(text) => name(text.into()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{error, many, one};
    use super::super::{DecodeErrorKind, looks_complete};
    use crate::session::Role;

    #[test]
    fn a_transcript_of_messages_is_one_session() {
        let session = one(
            "{\"type\": \"session\", \"session_id\": \"s\", \"user_id\": \"u\", \"title\": \"Tea\"}\r\n\r\n\
             {\"role\": \"user\", \"content\": \"a\", \"timestamp\": 1772449200}\n  \n\
             {\"type\": \"assistant\", \"text\": \"b\", \"model\": \"m\"}\n{\"from\": \"human\", \"value\": \"c\"}",
        );
        assert_eq!((session.session_id.as_str(), session.user_id.as_deref()), ("s", Some("u")));
        assert_eq!(session.metadata["title"], "Tea");
        assert_eq!(session.messages.len(), 3);
        assert_eq!(session.messages[1].role, Role::Assistant);
        assert_eq!(session.messages[1].metadata["model"], "m");
        assert!(session.start_time.is_some());
    }

    #[test]
    fn a_single_line_is_a_transcript_too() {
        let decoded = many("{\"role\": \"user\", \"content\": \"a\"}\n");
        assert_eq!((decoded.format, decoded.sessions.len()), ("jsonl", 1));
        assert!(decoded.sessions[0].session_id.starts_with("jsonl-"));
    }

    #[test]
    fn lines_that_name_their_session_are_sorted_into_it() {
        let line = |id: &str, text: &str| {
            format!(
                "{{\"session_id\": \"{id}\", \"user_id\": \"u\", \"role\": \"user\", \"content\": \"{text}\"}}\n"
            )
        };
        let decoded = many(&[line("a", "1"), line("b", "2"), line("a", "3")].concat());
        let found: Vec<_> =
            decoded.sessions.iter().map(|s| (s.session_id.as_str(), s.messages.len())).collect();
        assert_eq!(found, [("a", 2), ("b", 1)]);
        assert_eq!(decoded.sessions[1].user_id.as_deref(), Some("u"));
        assert!(decoded.sessions[0].messages[0].metadata.is_empty());
    }

    #[test]
    fn each_line_may_be_a_conversation_in_its_own_format() {
        let decoded = many(
            "{\"session_id\": \"a\", \"messages\": [{\"role\": \"user\", \"content\": \"1\"}]}\n\
             {\"conversations\": [{\"from\": \"human\", \"value\": \"2\"}]}\n\
             [{\"role\": \"user\", \"content\": \"3\"}]\n",
        );
        let ids: Vec<_> = decoded.sessions.iter().map(|s| s.session_id.split('-').next().unwrap()).collect();
        assert_eq!((decoded.format, ids), ("jsonl", vec!["a", "sharegpt", "openai"]));
    }

    #[test]
    fn a_bad_line_is_named_and_only_the_last_may_still_be_growing() {
        let good = "{\"role\": \"user\", \"content\": \"a\"}\n";
        let cases = [
            ("{\"role\": \"user\", \"conte", DecodeErrorKind::Syntax, true),
            ("{\"role\": \"user\"}", DecodeErrorKind::WrongShape, false),
            ("{\"messages\": []}", DecodeErrorKind::WrongShape, false),
            ("{\"session_id\": \"late\"}", DecodeErrorKind::WrongShape, false),
            ("{\"role\": \"user\", \"content\": 3}", DecodeErrorKind::WrongShape, false),
        ];
        for (bad, kind, growing) in cases {
            let last = error(&format!("{good}\n{bad}"));
            assert_eq!((last.kind, last.line, last.truncated), (kind, Some(3), growing), "{bad}");
            let middle = error(&format!("{good}{bad}\n{good}"));
            assert_eq!((middle.kind, middle.line, middle.truncated), (kind, Some(2), false), "{bad}");
        }
        assert!(looks_complete(format!("{good}{good}").as_bytes()));
        assert!(!looks_complete(format!("{good}{{\"role\"").as_bytes()));
        assert_eq!(error(&format!("{good}{}", cases[4].0)).path.as_deref(), Some("content"));
    }
}
