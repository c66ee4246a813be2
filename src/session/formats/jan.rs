use super::doc::Doc;
use super::harness::speech;
use super::message::{label, role, time};
use crate::session::{Message, Role, Session};

/// `messages.jsonl` of a thread of Jan: a message a line. The app rewrites the file in place.
#[derive(Debug, Default)]
pub(super) struct Log {
    thread: Option<String>,
    messages: Vec<Message>,
    open: bool,
}

impl Log {
    pub(super) fn line(&mut self, doc: Doc<'_>) {
        let [id, thread, who, content, status, at] =
            doc.fields(["id", "thread_id", "role", "content", "status", "created_at"]);
        let Some(role) = who.and_then(|who| role(who).ok()) else { return };
        self.thread = self.thread.take().or_else(|| thread.and_then(|id| label(id).ok().flatten()));
        let status = status.and_then(Doc::text);
        self.open = role == Role::User || status.is_some_and(|status| status != "ready");
        let text = speech(content);
        if text.trim().is_empty() || role == Role::Tool {
            return;
        }
        let mut message = Message::new(role, text);
        message.id = id.and_then(|id| label(id).ok().flatten());
        message.timestamp = at.and_then(time);
        self.messages.push(message);
    }

    pub(super) fn finish(self) -> Option<(Session, bool)> {
        let session = Session {
            session_id: self.thread?,
            app: Some("jan".to_owned()),
            start_time: self.messages.iter().find_map(|message| message.timestamp),
            end_time: self.messages.iter().rev().find_map(|message| message.timestamp),
            messages: self.messages,
            ..Session::default()
        };
        Some((session, self.open))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{many, one};

    const FIXTURE: &str = include_str!("../../../tests/sources/jan/threads/t1/messages.jsonl");

    #[test]
    fn a_thread_is_read_and_open_while_an_answer_is_awaited() {
        let session = one(FIXTURE);
        let texts: Vec<&str> = session.messages.iter().map(|m| m.text.as_str()).collect();
        assert_eq!(texts, ["I play the cello. Which strings are warm?", "Gut strings."]);
        assert_eq!((session.session_id.as_str(), session.app.as_deref()), ("t1", Some("jan")));
        let first = FIXTURE.lines().next().unwrap();
        assert_eq!(many(first).open, [0]);
    }
}
