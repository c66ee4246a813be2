use super::branch::Tree;
use super::doc::{Doc, Kind};
use super::error::DecodeError;
use super::harness::speech;
use super::head::derived_id;
use super::message::{label, time};
use super::sink::{Sink, Skip};
use crate::session::{Message, Role, Session};

/// Levels of `children` that are followed; the answers to a question nest one in the other.
const DEEPEST: usize = 10_000;

/// Reads a conversation exported by LibreChat, flat (`messages`) or as a tree (`messagesTree`, or `messages` with
/// `children`). Of a chat with branches the one that was written last is read.
pub(super) fn read(doc: Doc<'_>, sink: &mut Sink) -> Result<(), DecodeError> {
    let [id, title, flat, tree, model, endpoint] =
        doc.fields(["conversationId", "title", "messages", "messagesTree", "model", "options"]);
    let Some(list) = flat.or(tree) else {
        sink.skip(Skip::NoMessages);
        return Ok(());
    };
    let mut turns = Tree::new();
    let mut unread = 0;
    // A stack of lists instead of recursion: the depth comes from outside.
    let mut lists = vec![list];
    while let Some(list) = lists.pop() {
        list.for_each(|item| {
            let [own, parent, children] = item.fields(["messageId", "parentMessageId", "children"]);
            let text = |doc: Option<Doc<'_>>| doc.and_then(|doc| label(doc).ok().flatten());
            let key = text(own).unwrap_or_else(|| format!("#{}", turns.len()));
            let turn = turn(item);
            unread += usize::from(turn.is_none());
            turns.add(key.into(), text(parent).map(Into::into), turn);
            lists.extend(children.filter(|_| lists.len() < DEEPEST));
        });
        sink.check_messages(doc, turns.len())?;
    }
    sink.leave_out(unread);
    let leaf = turns.last_leaf();
    let messages: Vec<Message> = leaf
        .map(|leaf| turns.branch(leaf))
        .unwrap_or_default()
        .into_iter()
        .flatten()
        .filter(|message| !message.text.trim().is_empty())
        .collect();
    let text = |doc: Option<Doc<'_>>| doc.and_then(|doc| label(doc).ok().flatten());
    let mut session = Session {
        session_id: text(id).unwrap_or_else(|| derived_id("librechat", &messages)),
        app: Some("librechat".to_owned()),
        model: text(model.or_else(|| endpoint.and_then(|options| options.field("model")))),
        start_time: messages.iter().find_map(|message| message.timestamp),
        end_time: messages.iter().rev().find_map(|message| message.timestamp),
        messages,
        ..Session::default()
    };
    if let Some(title) = title {
        title.keep_in(&mut session.metadata, "title");
    }
    sink.add(doc, session)
}

fn turn(doc: Doc<'_>) -> Option<Message> {
    let [id, by_user, sender, text, content, at] =
        doc.fields(["messageId", "isCreatedByUser", "sender", "text", "content", "createdAt"]);
    let by_user = by_user
        .and_then(Doc::bool)
        .or_else(|| sender.and_then(Doc::text).map(|sender| sender.eq_ignore_ascii_case("user")))?;
    // Newer answers leave `text` empty and have their parts in `content`.
    let mut said = speech(text);
    if let (true, Some(content)) = (said.trim().is_empty(), content) {
        said = if content.kind() == Kind::List { parts(content) } else { speech(Some(content)) };
    }
    let mut message = Message::new(if by_user { Role::User } else { Role::Assistant }, said);
    message.id = id.and_then(|id| label(id).ok().flatten());
    message.timestamp = at.and_then(time);
    Some(message)
}

/// The texts among the parts; thoughts and tool calls are left out.
fn parts(content: Doc<'_>) -> String {
    let mut said = Vec::new();
    content.for_each(|part| {
        let [kind, text] = part.fields(["type", "text"]);
        if kind.and_then(Doc::text).is_none_or(|kind| kind == "text")
            && let Some(text) = text
        {
            said.push(speech(text.field("value").or(Some(text))));
        }
    });
    said.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{many, said};

    const ROOT: &str = "00000000-0000-0000-0000-000000000000";

    fn message(id: &str, parent: &str, user: bool, text: &str) -> Value {
        json!({"messageId": id, "parentMessageId": parent, "isCreatedByUser": user, "text": text,
            "sender": if user { "User" } else { "GPT" }, "createdAt": "2026-01-02T03:04:05.000Z"})
    }

    #[test]
    fn a_flat_export_and_a_tree_give_the_branch_that_was_written_last() {
        let (q, a, b) = (
            message("q", ROOT, true, "Tea?"),
            message("a", "q", false, "Green."),
            message("b", "q", false, "Black."),
        );
        let flat = json!({"conversationId": "c", "title": "Tea", "exportAt": "12:00", "recursive": false, "messages": [q, a, b]});
        let mut root = q;
        root["children"] = json!([a, b]);
        for key in ["messagesTree", "messages"] {
            let tree = json!({"conversationId": "c", "recursive": true, key: [root]});
            assert_eq!(said(&tree.to_string()), ["Tea?", "Black."]);
        }
        assert_eq!(said(&flat.to_string()), ["Tea?", "Black."]);
    }

    #[test]
    fn parts_stand_in_for_an_empty_text_and_odd_messages_are_counted() {
        let mut answer = message("a", "q", false, "");
        answer["content"] = json!([{"type": "think", "think": "hm"}, {"type": "text", "text": {"value": "Green."}},
            {"type": "tool_call", "tool_call": {}}]);
        let odd = json!({"messageId": "x", "parentMessageId": "a"});
        let export = json!({"conversationId": "c", "options": {"model": "m"}, "messages": [message("q", ROOT, true, "Tea?"), answer, odd]});
        let decoded = many(&export.to_string());
        let texts: Vec<&str> = decoded.sessions[0].messages.iter().map(|m| m.text.as_str()).collect();
        assert_eq!((texts, decoded.sessions[0].model.as_deref()), (vec!["Tea?", "Green."], Some("m")));
        assert_eq!(decoded.skipped, ["1 message that cannot be read"]);
    }
}
