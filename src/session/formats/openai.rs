use super::doc::{Doc, Kind};
use super::error::DecodeError;
use super::head::{COMMON, Head};
use super::native;
use super::sink::Sink;

/// Reads a message list as model interfaces take it: bare, or under `messages`.
///
/// `developer` is read as system and `function` as tool; `tool_calls` and what else stands beside the content are kept
/// in the message's metadata.
pub(super) fn read(doc: Doc<'_>, sink: &mut Sink) -> Result<(), DecodeError> {
    if doc.kind() != Kind::List {
        return native::read(doc, "openai", sink);
    }
    let messages = sink.messages(doc)?;
    let session = Head::new(&COMMON).session("openai", messages)?;
    sink.add(doc, session)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{many, one};
    use crate::session::Role;

    const LIST: &str = r#"[
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "2+2?"}, {"type": "image_url", "image_url": {}}]},
        {"role": "assistant", "content": null,
         "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{\"x\":2}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "4"},
        {"role": "assistant", "tool_calls": [{"id": "c2", "function": {"name": "add", "arguments": {"x": 3}}}]},
        {"role": "function", "name": "add", "content": "6"},
        {"role": "assistant", "content": null, "refusal": "I won't.", "audio": null}]"#;

    #[test]
    fn a_message_list_is_read_bare_and_in_an_object() {
        let bare = one(LIST);
        let roles: Vec<Role> = bare.messages.iter().map(|message| message.role).collect();
        use Role::{Assistant, System, Tool, User};
        assert_eq!(roles, [System, User, Assistant, Tool, Assistant, Tool, Assistant]);
        assert_eq!(bare.messages[1].text, "2+2?\n[image]");
        let call = &bare.messages[2];
        assert_eq!(call.text, "");
        assert_eq!(call.metadata["tool_calls"][0]["function"]["arguments"], json!("{\"x\":2}"));
        assert_eq!(bare.messages[3].metadata["tool_call_id"], "c1");
        assert_eq!(bare.messages[4].metadata["tool_calls"][0]["function"]["arguments"], json!({"x": 3}));
        assert_eq!(bare.messages[6].text, "I won't.");

        let wrapped =
            one(&format!(r#"{{"model": "gpt", "tools": [{{"type": "function"}}], "messages": {LIST}}}"#));
        assert_eq!(wrapped.messages, bare.messages);
        assert_eq!(wrapped.session_id, bare.session_id);
        assert_eq!(wrapped.model.as_deref(), Some("gpt"));
        assert_eq!(wrapped.metadata["tools"], json!([{"type": "function"}]));
    }

    #[test]
    fn tool_use_among_the_parts_is_kept_beside_the_text() {
        let session = one(r#"[{"role": "assistant", "content": [{"type": "text", "text": "Let me look."},
                 {"type": "tool_use", "id": "t1", "name": "ls", "input": {}},
                 {"type": "tool_use", "id": "t2", "name": "cat", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "a.txt"}]}]"#);
        assert_eq!(session.messages[0].text, "Let me look.");
        assert_eq!(session.messages[0].metadata["tool_calls"][1]["name"], "cat");
        assert_eq!(session.messages[1].text, "", "what a tool said is not the user's speech");
        assert_eq!(session.messages[1].metadata["tool_results"][0]["content"], "a.txt");
    }

    #[test]
    fn a_list_of_lists_is_many_conversations() {
        let decoded = many(r#"[[{"role": "user", "content": "a"}], [], [{"role": "user", "content": "b"}]]"#);
        assert_eq!((decoded.format, decoded.sessions.len()), ("openai", 2));
        assert_eq!(decoded.skipped, ["1 conversation without messages"]);
    }
}
