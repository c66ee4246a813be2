use super::doc::{Doc, Kind};
use super::error::DecodeError;
use super::head::{COMMON, Head};
use super::message::label;
use super::sink::Sink;
use crate::session::{Message, Role};

/// Reads a ShareGPT conversation: `{"conversations": [{"from": "human", "value": "…"}, …]}`, or the list alone.
///
/// A `system` text beside the list is the first message. A `function_call` is a message of the assistant without text,
/// with the call in its metadata.
pub(super) fn read(doc: Doc<'_>, sink: &mut Sink) -> Result<(), DecodeError> {
    let mut head = Head::new(&COMMON);
    let (mut list, mut system) = (None, None);
    if doc.kind() == Kind::List {
        list = Some(doc);
    } else {
        doc.each_entry("an object with \"conversations\"", |key, value| {
            match &*key {
                "conversations" | "conversation" => list = Some(value),
                "system" | "system_prompt" => system = Some(value),
                _ => head.take(&key, value),
            }
            Ok(())
        })?;
    }
    let Some(list) = list else {
        return Err(doc.error("the conversation has no \"conversations\" list"));
    };
    let mut messages = sink.messages(list)?;
    if let Some(system) = system.map(label).transpose()?.flatten() {
        messages.insert(0, Message::new(Role::System, system));
    }
    let session = head.session("sharegpt", messages)?;
    sink.add(doc, session)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{error, many, one};
    use crate::session::Role::{self, Assistant, System, Tool, User};

    #[test]
    fn a_conversation_is_read_with_its_system_text_and_calls() {
        let session = one(r#"{"id": "q1", "system": "Be kind.", "tools": "[]", "conversations": [
                {"from": "human", "value": "hi"}, {"from": "function_call", "value": "{\"name\": \"f\"}"},
                {"from": "observation", "value": "4"}, {"from": "gpt", "value": "yo", "weight": 1}]}"#);
        let roles: Vec<Role> = session.messages.iter().map(|message| message.role).collect();
        assert_eq!(roles, [System, User, Assistant, Tool, Assistant]);
        assert_eq!(session.session_id, "q1");
        assert_eq!(session.messages[2].text, "");
        assert_eq!(session.messages[2].metadata["tool_calls"][0], "{\"name\": \"f\"}");
        assert_eq!(session.metadata["tools"], "[]");
    }

    #[test]
    fn lists_of_turns_and_lists_of_conversations_are_told_apart() {
        let turns = r#"[{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]"#;
        let decoded = many(turns);
        assert_eq!((decoded.format, decoded.sessions.len()), ("sharegpt", 1));
        let decoded = many(&format!(r#"[{{"conversations": {turns}}}, {{"conversations": {turns}}}]"#));
        assert_eq!((decoded.format, decoded.sessions.len()), ("sharegpt", 2));
        let decoded = many(&format!(r#"{{"conversations": [{{"messages": {turns}}}]}}"#));
        assert_eq!((decoded.format, decoded.sessions.len()), ("openai", 1), "a wrapper, not the turns");
    }

    #[test]
    fn one_bad_turn_refuses_the_whole_file() {
        let text = r#"[{"conversations": [{"from": "human", "value": "a"}]}, {"conversations": [{"from": "cat", "value": "b"}]}]"#;
        assert_eq!(error(text).path.as_deref(), Some("[1].conversations[0].from"));
    }
}
