use std::borrow::Cow;

use super::branch::Tree;
use super::content::{self, Content};
use super::doc::{Doc, Kind};
use super::error::DecodeError;
use super::head::{Head, HeadNames};
use super::message::{label, role, time};
use super::sink::{Sink, Skip};
use crate::session::Message;

const NAMES: HeadNames = HeadNames {
    id: &["uuid"],
    user: &["user_id"],
    app: &["app"],
    model: &["model"],
    start: &["created_at"],
    end: &["updated_at"],
};

/// Reads one conversation of a Claude.ai export.
///
/// `content` counts more than `text`, which newer exports leave empty. Thinking is left out. Files stand as marks in the
/// text; what was extracted of them is kept in the message's metadata.
pub(super) fn read(doc: Doc<'_>, sink: &mut Sink) -> Result<(), DecodeError> {
    let mut head = Head::new(&NAMES);
    let (mut list, mut leaf) = (None, None);
    doc.each_entry("a conversation object", |key, value| {
        match &*key {
            "chat_messages" => list = Some(value),
            "current_leaf_message_uuid" => leaf = value.text(),
            _ => head.take(&key, value),
        }
        Ok(())
    })?;
    let Some(list) = list.filter(|list| !list.is_null()) else {
        sink.skip(Skip::NoMessages);
        return Ok(());
    };
    let mut turns = Vec::new();
    list.each_item("a list of messages", |index, item| {
        sink.check_messages(item, index + 1)?;
        turns.extend(sink.tolerate(read_turn(item))?);
        Ok(())
    })?;
    let messages: Vec<Message> = branch(turns, leaf).into_iter().filter(has_something).collect();
    let mut session = head.session("claude", messages)?;
    session.app.get_or_insert_with(|| "claude".to_owned());
    sink.add(doc, session)
}

fn has_something(message: &Message) -> bool {
    !message.text.trim().is_empty() || !message.metadata.is_empty()
}

/// A message and its place in the tree.
struct Turn<'a> {
    parent: Option<Cow<'a, str>>,
    message: Message,
}

/// The branch the user saw last, where messages were edited or answered again; else all messages as they stand.
fn branch<'a>(turns: Vec<Turn<'a>>, leaf: Option<Cow<'a, str>>) -> Vec<Message> {
    let mut shape = Tree::new();
    for turn in &turns {
        let Some(id) = &turn.message.id else { continue };
        shape.add(Cow::Owned(id.clone()), turn.parent.clone(), ());
    }
    if !shape.forks() || shape.len() != turns.len() {
        return turns.into_iter().map(|turn| turn.message).collect();
    }
    let mut tree = Tree::new();
    for turn in turns {
        let id = turn.message.id.clone().unwrap_or_default();
        tree.add(Cow::Owned(id), turn.parent, turn.message);
    }
    let leaf = leaf.filter(|id| tree.contains(id)).or_else(|| tree.last_leaf());
    leaf.map(|leaf| tree.branch(leaf)).unwrap_or_default()
}

fn read_turn(doc: Doc<'_>) -> Result<Turn<'_>, DecodeError> {
    let (mut id, mut sender, mut at, mut parent) = (None, None, None, None);
    let (mut text, mut blocks, mut attachments, mut files) = (None, None, None, None);
    doc.each_entry("a message object", |key, value| {
        match &*key {
            "uuid" => id = Some(value),
            "sender" => sender = Some(value),
            "created_at" => at = Some(value),
            "parent_message_uuid" => parent = value.text(),
            "text" => text = Some(value),
            "content" => blocks = Some(value),
            "attachments" => attachments = Some(value),
            "files" => files = Some(value),
            _ => {}
        }
        Ok(())
    })?;
    let sender = sender.ok_or_else(|| doc.error("the message does not say who speaks"))?;
    let mut said = blocks.map(content::read).transpose()?.unwrap_or_default();
    if let (true, Some(text)) = (said.text.is_empty(), text) {
        said.text = content::read(text)?.text;
    }
    let mut message = Message::new(role(sender)?, "");
    for list in [attachments, files].into_iter().flatten() {
        mark_files(list, &mut said)?;
    }
    message.text = said.text;
    message.metadata = said.aside;
    message.id = id.map(label).transpose()?.flatten();
    message.timestamp = at.and_then(time);
    if let Some(attachments) = attachments.filter(|list| !matches!(list.raw(), "[]" | "null")) {
        attachments.keep_in(&mut message.metadata, "attachments");
    }
    Ok(Turn { parent, message })
}

/// Names the files that came with a message.
fn mark_files(list: Doc<'_>, said: &mut Content) -> Result<(), DecodeError> {
    if list.kind() != Kind::List {
        return Ok(());
    }
    list.each_item("a list", |_, file| {
        let mut name = None;
        if file.kind() == Kind::Object {
            file.each_entry("an object", |key, value| {
                if key == "file_name" {
                    name = value.text();
                }
                Ok(())
            })?;
        }
        said.push(&content::mark("file", name.as_deref()));
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{many, one, said};

    fn chat(messages: Value) -> Value {
        json!({"uuid": "c", "name": "Tea", "summary": "", "account": {"uuid": "acc"},
            "created_at": "2026-01-02T03:04:05.678901Z", "updated_at": "2026-01-02T04:00:00Z", "chat_messages": messages})
    }

    #[test]
    fn an_export_is_read_with_its_files_and_without_thoughts() {
        let text = json!([chat(json!([
            {"uuid": "m1", "sender": "human", "text": "Read this", "created_at": "2026-01-02T03:04:06Z",
             "content": [{"type": "text", "text": "Read this"}], "files": [{"file_name": "photo.jpg"}],
             "attachments": [{"file_name": "plan.txt", "file_size": 4, "extracted_content": "plan"}]},
            {"uuid": "m2", "sender": "assistant", "text": "", "attachments": [], "content": [
                {"type": "thinking", "thinking": "hm"}, {"type": "tool_use", "name": "search", "input": {"q": "x"}},
                {"type": "tool_result", "name": "search", "content": []}, {"type": "text", "text": "A plan."}]},
            {"uuid": "m3", "sender": "human", "text": "older exports", "content": []},
            {"uuid": "m4", "sender": "assistant", "text": "", "content": []}
        ]))]);
        let session = one(&text.to_string());
        let texts: Vec<&str> = session.messages.iter().map(|message| message.text.as_str()).collect();
        assert_eq!(texts, ["Read this\n[file: plan.txt]\n[file: photo.jpg]", "A plan.", "older exports"]);
        assert_eq!(session.messages[0].metadata["attachments"][0]["extracted_content"], "plan");
        assert_eq!(session.messages[1].metadata["tool_calls"][0]["name"], "search");
        assert_eq!((session.session_id.as_str(), session.app.as_deref()), ("c", Some("claude")));
        assert_eq!(session.user_id, None, "an account is kept, but it is not the app's user");
        assert_eq!(session.metadata["account"]["uuid"], "acc");
        assert_eq!(session.start_time.unwrap().to_string(), "2026-01-02T03:04:05.678901Z");
    }

    #[test]
    fn of_an_edited_chat_the_last_branch_is_read() {
        let root = "00000000-0000-4000-8000-000000000000";
        let turn = |id: &str, parent: &str, who: &str| json!({"uuid": id, "parent_message_uuid": parent, "sender": who, "text": id});
        let edited = [
            turn("q", root, "human"),
            turn("first", "q", "assistant"),
            turn("more", "first", "human"),
            turn("again", "q", "assistant"),
        ];
        let mut text = chat(json!(edited));
        assert_eq!(said(&text.to_string()), ["q", "again"]);
        text["current_leaf_message_uuid"] = json!("more");
        assert_eq!(said(&text.to_string()), ["q", "first", "more"]);
        assert_eq!(said(&chat(json!(edited[..3])).to_string()), ["q", "first", "more"]);
        let loose = json!([turn("a", "x", "human"), turn("b", "y", "assistant")]);
        assert_eq!(said(&chat(loose).to_string()), ["a", "b"], "parents that are not there cut nothing off");
    }

    #[test]
    fn chats_without_messages_are_counted() {
        let decoded = many(&json!([chat(Value::Null), chat(json!([]))]).to_string());
        assert!(decoded.sessions.is_empty());
        assert_eq!(decoded.skipped.len(), 2);
    }
}
