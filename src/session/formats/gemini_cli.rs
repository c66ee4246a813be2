use super::content;
use super::doc::{Doc, Kind};
use super::error::DecodeError;
use super::message::{label, time};
use super::sink::{Sink, Skip};
use crate::session::{Message, Moment, Role, Session};

/// How texts of the user's begin that are commands, or were written by the program.
const NOT_SPEECH: &[&str] = &["/", "?", "<session_context>", "<hook_context>"];

/// A chat of Gemini CLI. The log is replayed: a message with an id that was there takes its place, `$set` may bring
/// all messages anew, `$rewindTo` takes the messages from an id on away.
#[derive(Debug, Default)]
pub(super) struct Log {
    session_id: Option<String>,
    started: Option<Moment>,
    updated: Option<Moment>,
    model: Option<String>,
    of_an_agent: bool,
    turns: Vec<Turn>,
}

#[derive(Debug)]
struct Turn {
    id: Option<String>,
    /// `None` for what is no speech, which may still be rewound to.
    message: Option<Message>,
}

/// Reads a chat in its older form: one document.
pub(super) fn read(doc: Doc<'_>, sink: &mut Sink) -> Result<(), DecodeError> {
    let mut log = Log::default();
    log.header(doc);
    log.messages(doc.field("messages"));
    match log.finish() {
        Some((session, open)) => sink.add_open(doc, session, open),
        None => {
            sink.skip(Skip::NoMessages);
            Ok(())
        }
    }
}

impl Log {
    pub(super) fn line(&mut self, doc: Doc<'_>) {
        let [kind, set, rewind, session] = doc.fields(["type", "$set", "$rewindTo", "sessionId"]);
        if let Some(set) = set {
            self.header(set);
            if let Some(messages) = set.field("messages") {
                self.turns.clear();
                self.messages(Some(messages));
            }
        } else if let Some(id) = rewind {
            let id = label(id).ok().flatten();
            let at = self.turns.iter().position(|turn| turn.id.is_some() && turn.id == id);
            self.turns.truncate(at.unwrap_or_default());
        } else if kind.is_some() {
            self.message(doc);
        } else if session.is_some() {
            self.header(doc);
        }
    }

    fn header(&mut self, doc: Doc<'_>) {
        let [session, started, updated, kind] = doc.fields(["sessionId", "startTime", "lastUpdated", "kind"]);
        self.session_id = session.and_then(|id| label(id).ok().flatten()).or(self.session_id.take());
        self.started = started.and_then(time).or(self.started);
        self.updated = updated.and_then(time).or(self.updated);
        self.of_an_agent |= kind.and_then(Doc::text).is_some_and(|kind| kind == "subagent");
    }

    fn messages(&mut self, list: Option<Doc<'_>>) {
        if let Some(list) = list {
            list.for_each(|item| self.message(item));
        }
    }

    fn message(&mut self, doc: Doc<'_>) {
        let [id, kind, content, shown, at] =
            doc.fields(["id", "type", "content", "displayContent", "timestamp"]);
        let role = match kind.and_then(Doc::text).as_deref() {
            Some("user") => Some(Role::User),
            Some("gemini") => Some(Role::Assistant),
            _ => None,
        };
        // What the user typed, before files were put in its place.
        let content = shown.filter(|_| role == Some(Role::User)).or(content);
        let text = content.map(said).unwrap_or_default();
        let is_command =
            role == Some(Role::User) && NOT_SPEECH.iter().any(|start| text.trim_start().starts_with(start));
        let speech = !is_command && !text.trim().is_empty();
        let id = id.and_then(|id| label(id).ok().flatten());
        let message = role.filter(|_| speech).map(|role| {
            let mut message = Message::new(role, text);
            message.id.clone_from(&id);
            message.timestamp = at.and_then(time);
            message
        });
        if role == Some(Role::Assistant) {
            let model = doc.field("model").and_then(|model| label(model).ok().flatten());
            self.model = model.or(self.model.take());
        }
        match self.turns.iter_mut().rev().find(|turn| turn.id.is_some() && turn.id == id) {
            Some(turn) => turn.message = message,
            None => self.turns.push(Turn { id, message }),
        }
    }

    pub(super) fn finish(self) -> Option<(Session, bool)> {
        if self.of_an_agent {
            return None;
        }
        let messages: Vec<Message> = self.turns.into_iter().filter_map(|turn| turn.message).collect();
        let open = messages.last().is_some_and(|message| message.role == Role::User);
        let session = Session {
            session_id: self.session_id?,
            app: Some("gemini-cli".to_owned()),
            model: self.model,
            start_time: self.started.or_else(|| messages.iter().find_map(|message| message.timestamp)),
            end_time: messages.iter().rev().find_map(|message| message.timestamp).or(self.updated),
            messages,
            ..Session::default()
        };
        Some((session, open))
    }
}

/// The text of a part, or of a list of them, without thoughts and calls.
fn said(content: Doc<'_>) -> String {
    let mut said = content::Content::default();
    let mut part = |doc: Doc<'_>| match doc.kind() {
        Kind::Text => said.push(&doc.text().unwrap_or_default()),
        _ => {
            let [text, thought] = doc.fields(["text", "thought"]);
            if thought.and_then(Doc::bool) != Some(true) {
                said.push(&text.and_then(Doc::text).unwrap_or_default());
            }
        }
    };
    match content.kind() {
        Kind::List => content.for_each(part),
        _ => part(content),
    }
    said.text
}

#[cfg(test)]
mod tests {
    use super::super::testing::{many, one, said};

    const FIXTURE: &str =
        include_str!("../../../tests/sources/gemini-cli/heron/chats/session-2026-03-02T10-00-9b1e.jsonl");

    #[test]
    fn the_log_is_replayed() {
        let session = one(FIXTURE);
        let texts: Vec<&str> = session.messages.iter().map(|m| m.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "My dog is called Biscuit. Name three parks.",
                "Ajuda, Estrela, Gulbenkian.",
                "Only in Lisbon, please."
            ]
        );
        assert_eq!((session.session_id.as_str(), session.model.as_deref()), ("9b1e", Some("gemini-3-pro")));
        assert_eq!(many(FIXTURE).open, [0]);
    }

    #[test]
    fn the_older_document_is_read_and_an_unknown_rewind_takes_all() {
        let old = r#"{"sessionId": "9b1e", "projectHash": "h", "startTime": "2026-03-02T10:00:00Z", "messages": [
            {"id": "1", "type": "user", "content": "Tea?"}, {"id": "2", "type": "info", "content": "slow"},
            {"id": "3", "type": "gemini", "content": [{"text": "Green."}, {"thought": true, "text": "hm"}]}]}"#;
        assert_eq!(said(old), ["Tea?", "Green."]);
        let undone = format!("{FIXTURE}{{\"$rewindTo\": \"nobody\"}}\n");
        assert_eq!(many(&undone).sessions.len(), 0);
    }
}
