use std::borrow::Cow;

use super::branch::Tree;
use super::content;
use super::doc::{Doc, Kind};
use super::error::DecodeError;
use super::harness::speech;
use super::head::derived_id;
use super::message::{label, role, time};
use super::sink::{Sink, Skip};
use crate::session::{Message, Role, Session};

/// Reads one chat of Open WebUI: a row of its export or of its database, or the `chat` of one.
///
/// Of the tree of messages the branch at `currentId` is read; older rows have only a list. The folded `<details>` that
/// the app writes into answers (thoughts, tool calls) are left out.
pub(super) fn read(doc: Doc<'_>, sink: &mut Sink) -> Result<(), DecodeError> {
    let [id, user, title, chat, created, updated, meta] =
        doc.fields(["id", "user_id", "title", "chat", "created_at", "updated_at", "meta"]);
    let chat = chat.filter(|chat| chat.kind() == Kind::Object).unwrap_or(doc);
    if meta.and_then(|meta| meta.field("internal")).and_then(Doc::bool) == Some(true) {
        return Ok(());
    }
    let [inner_title, history, list, models] = chat.fields(["title", "history", "messages", "models"]);
    let tree = history.and_then(|history| {
        let [nodes, current] = history.fields(["messages", "currentId"]);
        nodes.map(|nodes| branch(nodes, current.and_then(Doc::text), sink))
    });
    let mut turns = tree.unwrap_or_default();
    if let (true, Some(list)) = (turns.is_empty(), list) {
        list.for_each(|item| match turn(item) {
            Some(read) => turns.push(read),
            None => sink.leave_out(1),
        });
    }
    if turns.is_empty() {
        sink.skip(Skip::Empty);
        return Ok(());
    }
    let open = turns.last().is_some_and(|turn| !turn.done);
    let model = turns.iter().rev().find_map(|turn| turn.model.clone());
    let messages: Vec<Message> =
        turns.into_iter().map(|turn| turn.message).filter(|message| !message.text.is_empty()).collect();
    let text = |doc: Option<Doc<'_>>| doc.and_then(|doc| label(doc).ok().flatten());
    let mut session = Session {
        session_id: text(id).unwrap_or_else(|| derived_id("open-webui", &messages)),
        user_id: text(user),
        app: Some("open-webui".to_owned()),
        model: model.or_else(|| text(models.and_then(Doc::first_item))),
        start_time: created.and_then(time).or_else(|| messages.iter().find_map(|m| m.timestamp)),
        end_time: updated.and_then(time).or_else(|| messages.iter().rev().find_map(|m| m.timestamp)),
        messages,
        ..Session::default()
    };
    if let Some(title) = title.or(inner_title) {
        title.keep_in(&mut session.metadata, "title");
    }
    sink.add_open(doc, session, open)
}

struct Turn {
    message: Message,
    model: Option<String>,
    /// Whether nothing more is being written to it.
    done: bool,
}

fn branch(nodes: Doc<'_>, current: Option<Cow<'_, str>>, sink: &mut Sink) -> Vec<Turn> {
    let mut tree = Tree::new();
    let mut unread = 0;
    let walked = nodes.each_entry("an object of messages by id", |id, node| {
        let parent = node.field("parentId").and_then(Doc::text);
        match turn(node) {
            Some(read) => tree.add(id, parent, Some(read)),
            None => {
                unread += 1;
                tree.add(id, parent, None);
            }
        }
        Ok(())
    });
    sink.leave_out(unread);
    if walked.is_err() {
        return Vec::new();
    }
    let current = current.map(|id| Cow::<str>::Owned(id.into_owned()));
    let leaf = current.filter(|id| tree.contains(id)).or_else(|| tree.last_leaf());
    leaf.map(|leaf| tree.branch(leaf)).unwrap_or_default().into_iter().flatten().collect()
}

fn turn(doc: Doc<'_>) -> Option<Turn> {
    let [id, who, said, at, model, done, output, files] =
        doc.fields(["id", "role", "content", "timestamp", "model", "done", "output", "files"]);
    let role = role(who?).ok()?;
    let mut text = speech(said);
    if role == Role::Assistant {
        text = without_details(&text);
        if text.is_empty() {
            text = output.map(output_text).unwrap_or_default();
        }
    }
    if let Some(files) = files {
        mark_files(files, &mut text);
    }
    let mut message = Message::new(role, text);
    message.id = id.and_then(|id| label(id).ok().flatten());
    message.timestamp = at.and_then(time);
    let done = role != Role::Assistant || done.and_then(Doc::bool) != Some(false);
    Some(Turn { message, model: model.and_then(|model| label(model).ok().flatten()), done })
}

/// The text of the newer `output`, a list of items with parts.
fn output_text(output: Doc<'_>) -> String {
    let mut text = String::new();
    output.for_each(|item| {
        let [kind, content] = item.fields(["type", "content"]);
        if kind.and_then(Doc::text).is_none_or(|kind| kind == "message") {
            let said = speech(content);
            if !text.is_empty() && !said.is_empty() {
                text.push('\n');
            }
            text.push_str(&said);
        }
    });
    text
}

fn mark_files(files: Doc<'_>, text: &mut String) {
    files.for_each(|file| {
        let [kind, name] = file.fields(["type", "name"]);
        let picture = kind.and_then(Doc::text).is_some_and(|kind| kind == "image");
        let name = name.and_then(Doc::text);
        let mark =
            if picture { content::mark("image", None) } else { content::mark("file", name.as_deref()) };
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&mark);
    });
}

/// Takes out the blocks in which the app folds thoughts, tool calls and code it ran.
fn without_details(text: &str) -> String {
    const OPEN: &str = "<details type=\"";
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(OPEN) {
        kept.push_str(&rest[..start]);
        rest = match rest[start..].find("</details>") {
            Some(end) => &rest[start + end + "</details>".len()..],
            None => "",
        };
    }
    kept.push_str(rest);
    kept.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{many, one, said};
    use super::super::{Format, decode};

    #[test]
    fn an_export_gives_the_open_branch_without_what_the_app_folded_into_it() {
        let export = json!([{"id": "c1", "user_id": "u", "title": "Tea", "created_at": 1772449200, "updated_at": 1772449300,
            "chat": {"models": ["llama"], "history": {"currentId": "a2", "messages": {
                "q": {"id": "q", "parentId": null, "childrenIds": ["a1", "a2"], "role": "user", "content": "Green or black?",
                      "timestamp": 1772449200, "files": [{"type": "file", "name": "menu.pdf"}]},
                "a1": {"id": "a1", "parentId": "q", "role": "assistant", "content": "Black.", "done": true},
                "a2": {"id": "a2", "parentId": "q", "role": "assistant", "model": "qwen", "done": true,
                    "content": "<details type=\"reasoning\" done=\"true\">\nhm\n</details>\nGreen."}}}}}]);
        let session = one(&export.to_string());
        let texts: Vec<&str> = session.messages.iter().map(|m| m.text.as_str()).collect();
        assert_eq!(texts, ["Green or black?\n[file: menu.pdf]", "Green."]);
        assert_eq!((session.session_id.as_str(), session.user_id.as_deref()), ("c1", Some("u")));
        assert_eq!((session.app.as_deref(), session.model.as_deref()), (Some("open-webui"), Some("qwen")));
        assert_eq!(session.metadata["title"], "Tea");
    }

    #[test]
    fn an_answer_under_way_is_open_and_odd_messages_are_counted() {
        let growing = json!([{"id": "c", "chat": {"history": {"currentId": "a", "messages": {
            "q": {"parentId": null, "role": "user", "content": "Hi"},
            "x": {"parentId": "q", "role": "oracle", "content": "?"},
            "a": {"parentId": "x", "role": "assistant", "content": "He", "done": false}}}}}]);
        let decoded = many(&growing.to_string());
        assert_eq!(decoded.open, [0]);
        assert_eq!(decoded.skipped, ["1 message that cannot be read"]);
        assert_eq!(decoded.sessions[0].messages.len(), 2);
    }

    #[test]
    fn older_rows_cycles_and_newer_outputs_are_read() {
        let list = json!([{"id": "c", "chat": {"messages": [{"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "", "output": [{"type": "reasoning", "content": [{"type": "text", "text": "hm"}]},
                {"type": "message", "content": [{"type": "output_text", "text": "Yo"}]}]}]}}]);
        assert_eq!(said(&list.to_string()), ["Hi", "Yo"]);
        let circle = json!({"history": {"currentId": "a", "messages": {
            "q": {"parentId": "a", "role": "user", "content": "Hi"},
            "a": {"parentId": "q", "role": "assistant", "content": "Yo"}}}});
        assert_eq!(
            decode(circle.to_string().as_bytes(), Format::OpenWebui).unwrap().sessions[0].messages.len(),
            2
        );
    }
}
