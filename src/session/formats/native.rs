use super::doc::Doc;
use super::error::DecodeError;
use super::head::{COMMON, Head};
use super::sink::Sink;

/// Reads one session in the format of ATLES: an object with `session_id`, `messages` and what is known of both.
///
/// Also the format of a message list in an object (`{"messages": […]}`), which is the same with less.
pub(super) fn read(doc: Doc<'_>, format: &str, sink: &mut Sink) -> Result<(), DecodeError> {
    let mut head = Head::new(&COMMON);
    let mut list = None;
    doc.each_entry("an object with \"messages\"", |key, value| {
        match &*key {
            "messages" => list = Some(value),
            _ => head.take(&key, value),
        }
        Ok(())
    })?;
    let Some(list) = list else {
        return Err(doc
            .error("the session has no messages")
            .hint("a session file is an object with \"session_id\" and a list of \"messages\""));
    };
    let messages = sink.messages(list)?;
    let session = head.session(format, messages)?;
    sink.add(doc, session)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{error, many, one};
    use crate::session::{Rating, Role};

    #[test]
    fn a_session_file_is_read_with_all_it_says() {
        let session = one(
            r#"{"session_id": "s1", "user_id": 42, "app": "desk", "model": "m", "start_time": "2026-03-02T10:00:00",
                "end_time": 1772449200, "title": "Tea", "metadata": {"tag": "x", "colour": "red"}, "colour": "blue",
                "messages": [
                  {"id": 7, "role": "User", "name": "Mara", "content": "Hi", "timestamp": "2026-03-02T10:00:01Z",
                   "feedback": "up", "mood": "good", "metadata": {"mood": "bad", "k": 1}},
                  {"role": "assistant", "content": null, "feedback": "so-so", "timestamp": "yesterday"}]}"#,
        );
        assert_eq!(session.session_id, "s1");
        assert_eq!(session.user_id.as_deref(), Some("42"));
        assert_eq!((session.app.as_deref(), session.model.as_deref()), (Some("desk"), Some("m")));
        assert_eq!(session.start_time.unwrap().to_string(), "2026-03-02T10:00:00");
        assert_eq!(session.end_time.unwrap().to_string(), "2026-03-02T11:00:00Z");
        assert_eq!(
            json!(session.metadata),
            json!({"tag": "x", "colour": "red", "title": "Tea", "_fields": {"colour": "blue"}})
        );
        let [first, second] = session.messages.as_slice() else { panic!("two messages") };
        assert_eq!(
            (first.role, first.id.as_deref(), first.name.as_deref()),
            (Role::User, Some("7"), Some("Mara"))
        );
        assert_eq!(first.feedback, Some(Rating::Up));
        assert_eq!(json!(first.metadata), json!({"mood": "bad", "k": 1, "_fields": {"mood": "good"}}));
        assert_eq!((second.text.as_str(), second.timestamp, second.feedback), ("", None, None));
        assert_eq!(
            json!(second.metadata),
            json!({"feedback": "so-so", "timestamp": "yesterday"}),
            "what cannot be read is kept as it is"
        );
    }

    #[test]
    fn times_of_the_session_fall_back_to_those_of_the_messages() {
        let session = one(
            r#"{"session_id": "s", "start_time": null, "messages": [{"role": "system", "content": "be kind"},
                {"role": "user", "content": "a", "timestamp": 1772449200000},
                {"role": "assistant", "content": "b", "created_at": "1772449260.5"},
                {"role": "user", "content": "c"}]}"#,
        );
        assert_eq!(session.start_time.unwrap().to_string(), "2026-03-02T11:00:00Z");
        assert_eq!(session.end_time.unwrap().to_string(), "2026-03-02T11:01:00.5Z");
    }

    #[test]
    fn a_session_without_an_id_gets_the_same_one_each_time() {
        let text = |id: &str, said: &str| {
            format!(
                r#"{{"session_id": {id}, "app": "a", "messages": [{{"role": "user", "content": "{said}"}}]}}"#
            )
        };
        let id = one(&text("null", "x")).session_id;
        assert!(id.starts_with("atles-") && id.len() == 22, "{id}");
        assert_eq!(id, one(&text(r#"" ""#, "x")).session_id, "a blank id is none");
        assert_ne!(id, one(&text("null", "y")).session_id);
    }

    #[test]
    fn many_sessions_in_one_list_are_all_read_and_empty_ones_counted() {
        let decoded = many(
            r#"[{"session_id": "a", "messages": [{"role": "user", "content": "1"}]},
                {"session_id": "b", "messages": []},
                {"messages": [{"role": "user", "content": "2"}]}]"#,
        );
        assert_eq!(decoded.format, "atles");
        assert_eq!(decoded.sessions.len(), 2);
        assert!(decoded.sessions[1].session_id.starts_with("openai-"));
        assert_eq!(decoded.skipped, ["1 conversation without messages"]);
    }

    #[test]
    fn mistakes_name_the_field() {
        let cases = [
            (
                r#"{"session_id": "s", "app": "a"}"#,
                "not a chat in a format that is read: found an object with \"session_id\", \"app\" (line 1, column 1)",
            ),
            (
                r#"{"session_id": [], "messages": []}"#,
                "session_id: expected text, found a list (line 1, column 16)",
            ),
            (
                r#"{"messages": {"a": 1}}"#,
                "messages: expected a list of messages, found an object (line 1, column 14)",
            ),
            (
                r#"{"messages": ["hi"]}"#,
                "messages[0]: expected a message object, found text (line 1, column 15)",
            ),
            (
                r#"{"messages": [{"content": "x"}]}"#,
                "messages[0]: the message does not say who speaks (line 1, column 15)",
            ),
            (
                r#"{"messages": [{"role": "user"}]}"#,
                "messages[0]: the message has no content (line 1, column 15)",
            ),
            (
                r#"{"messages": [{"role": "narrator", "content": "x"}]}"#,
                "messages[0].role: \"narrator\" is not a role (line 1, column 24)",
            ),
            (
                r#"{"messages": [], "metadata": 3}"#,
                "metadata: expected an object, found a number (line 1, column 30)",
            ),
        ];
        for (text, expected) in cases {
            let error = error(text);
            assert_eq!(error.to_string(), expected);
            assert!(!error.truncated);
        }
    }
}
