use std::borrow::Cow;

use serde_json::{Map, Value};

use super::branch::Tree;
use super::content::{self, Content};
use super::doc::{Doc, Kind};
use super::error::DecodeError;
use super::head::{Head, HeadNames};
use super::message::{label, role, time};
use super::sink::{Sink, Skip};
use crate::session::{Message, Role};

const NAMES: HeadNames = HeadNames {
    id: &["conversation_id", "id"],
    user: &["user_id"],
    app: &["app"],
    model: &["default_model_slug"],
    start: &["create_time"],
    end: &["update_time"],
};

/// Reads one conversation of a ChatGPT export: of its tree, the branch that ends at `current_node`.
///
/// Left out are hidden messages, thoughts, and conversations the user asked not to remember. What the user wrote in
/// their settings (`user_editable_context`) is no speech and goes into the session's metadata.
pub(super) fn read(doc: Doc<'_>, sink: &mut Sink) -> Result<(), DecodeError> {
    let mut head = Head::new(&NAMES);
    let (mut mapping, mut current, mut forget) = (None, None, false);
    doc.each_entry("a conversation object", |key, value| {
        match &*key {
            "mapping" => mapping = Some(value),
            "current_node" => current = value.text(),
            "is_do_not_remember" => forget = value.bool() == Some(true),
            _ => head.take(&key, value),
        }
        Ok(())
    })?;
    if forget {
        sink.skip(Skip::DoNotRemember);
        return Ok(());
    }
    let Some(mapping) = mapping.filter(|mapping| !mapping.is_null()) else {
        sink.skip(Skip::NoMessages);
        return Ok(());
    };
    let mut reader = Reader { messages: Vec::new(), profile: Map::new(), model: None };
    for node in branch(mapping, current, sink)? {
        let added = reader.add(node);
        sink.tolerate(added)?;
    }
    for (key, value) in reader.profile {
        head.extra.insert(key, value);
    }
    let mut session = head.session("chatgpt", reader.messages)?;
    session.model = session.model.or(reader.model);
    session.app.get_or_insert_with(|| "chatgpt".to_owned());
    sink.add(doc, session)
}

/// The messages from the root to the current node, oldest first.
fn branch<'a>(
    mapping: Doc<'a>,
    current: Option<Cow<'a, str>>,
    sink: &mut Sink,
) -> Result<Vec<Doc<'a>>, DecodeError> {
    let mut tree = Tree::new();
    mapping.each_entry("an object of nodes by id", |id, node| {
        sink.check_messages(node, tree.len() + 1)?;
        let (mut parent, mut message) = (None, None);
        let walked = node.each_entry("a node object", |key, value| {
            match &*key {
                "parent" => parent = value.text(),
                "message" => message = Some(value).filter(|message| !message.is_null()),
                _ => {}
            }
            Ok(())
        });
        sink.tolerate(walked)?;
        tree.add(id, parent, message);
        Ok(())
    })?;
    let leaf = current.filter(|id| tree.contains(id)).or_else(|| tree.last_leaf());
    Ok(leaf.map(|leaf| tree.branch(leaf)).unwrap_or_default().into_iter().flatten().collect())
}

/// Turns the nodes of a branch into messages.
struct Reader {
    messages: Vec<Message>,
    /// What the user, or the model, wrote down to be known in every chat.
    profile: Map<String, Value>,
    /// The model of the last answer.
    model: Option<String>,
}

/// The fields of a node's message that count.
#[derive(Default)]
struct Node<'a> {
    id: Option<Doc<'a>>,
    role: Option<Doc<'a>>,
    name: Option<Doc<'a>>,
    time: Option<Doc<'a>>,
    content: Option<Doc<'a>>,
    hidden: bool,
    recipient: Option<Cow<'a, str>>,
    model: Option<Doc<'a>>,
    attachments: Option<Doc<'a>>,
    settings: Option<Doc<'a>>,
}

impl<'a> Node<'a> {
    fn read(doc: Doc<'a>) -> Result<Self, DecodeError> {
        let mut node = Node::default();
        doc.each_entry("a message object", |key, value| {
            match &*key {
                "id" => node.id = Some(value),
                "author" => node.read_author(value)?,
                "create_time" => node.time = Some(value),
                "content" => node.content = Some(value),
                "weight" => node.hidden |= value.number() == Some(0.0),
                "recipient" => node.recipient = value.text(),
                "channel" => node.hidden |= value.text().as_deref() == Some("analysis"),
                "metadata" if value.kind() == Kind::Object => node.read_metadata(value)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(node)
    }

    fn read_author(&mut self, author: Doc<'a>) -> Result<(), DecodeError> {
        author.each_entry("an author object", |key, value| {
            match &*key {
                "role" => self.role = Some(value),
                "name" => self.name = Some(value),
                _ => {}
            }
            Ok(())
        })
    }

    fn read_metadata(&mut self, metadata: Doc<'a>) -> Result<(), DecodeError> {
        metadata.each_entry("an object", |key, value| {
            match &*key {
                "is_visually_hidden_from_conversation" => self.hidden |= value.bool() == Some(true),
                "model_slug" => self.model = Some(value),
                "attachments" => self.attachments = Some(value),
                "user_context_message_data" => self.settings = Some(value),
                _ => {}
            }
            Ok(())
        })
    }
}

impl Reader {
    /// Adds one message. What the model writes to anybody but `all` calls a tool: it becomes a tool call beside an
    /// empty text.
    fn add(&mut self, doc: Doc<'_>) -> Result<(), DecodeError> {
        let node = Node::read(doc)?;
        let role = role(node.role.ok_or_else(|| doc.error("the message does not say who speaks"))?)?;
        if let Some(settings) = node.settings.filter(|settings| settings.kind() == Kind::Object) {
            self.keep_settings(settings)?;
        }
        let calls = role == Role::Assistant && node.recipient.as_deref().is_some_and(|to| to != "all");
        let Some(content) = node.content else { return Ok(()) };
        let Some(said) = self.read_content(content, !calls)? else { return Ok(()) };
        if node.hidden {
            return Ok(());
        }
        let mut message = Message::new(role, without_citations(said.text));
        message.metadata = said.aside;
        if calls {
            let arguments = std::mem::take(&mut message.text);
            let call = serde_json::json!({"name": node.recipient, "arguments": arguments});
            message.metadata.insert("tool_calls".to_owned(), Value::Array(vec![call]));
        }
        if let Some(attachments) = node.attachments.filter(|_| role == Role::User) {
            add_attachments(attachments, &mut message)?;
        }
        if message.text.trim().is_empty() && message.metadata.is_empty() {
            return Ok(());
        }
        message.id = node.id.map(label).transpose()?.flatten();
        message.name = node.name.map(label).transpose()?.flatten();
        message.timestamp = node.time.and_then(time);
        if let Some(model) = node.model.and_then(Doc::text) {
            self.model = Some(content::clean(model));
        }
        self.messages.push(message);
        Ok(())
    }

    /// The text of a message's content, with code in a fence if it is `shown`; `None` for what is no speech.
    fn read_content(&mut self, doc: Doc<'_>, shown: bool) -> Result<Option<Content>, DecodeError> {
        let (mut kind, mut parts, mut language) = (Cow::Borrowed("text"), None, None);
        let (mut text, mut result) = (None, None);
        doc.each_entry("a content object", |key, value| {
            match &*key {
                "content_type" => kind = value.text().unwrap_or_default(),
                "parts" => parts = Some(value),
                "text" => text = value.text(),
                "language" => language = value.text(),
                "result" | "output_str" | "content" => result = value.text(),
                _ => {}
            }
            Ok(())
        })?;
        match &*kind {
            "thoughts" | "reasoning_recap" => return Ok(None),
            "user_editable_context" | "model_editable_context" => {
                self.keep_settings(doc)?;
                return Ok(None);
            }
            _ => {}
        }
        let mut content = match parts {
            Some(parts) => content::read(parts)?,
            None => Content::default(),
        };
        match text.or(result) {
            Some(code) if shown && &*kind == "code" => {
                let language = language.filter(|language| language != "unknown").unwrap_or_default();
                content.push(&format!("```{language}\n{code}\n```"));
            }
            Some(text) => content.push(&text),
            None if parts.is_none() => content.push(&content::mark(&kind.replace('_', " "), None)),
            None => {}
        }
        Ok(Some(content))
    }

    fn keep_settings(&mut self, doc: Doc<'_>) -> Result<(), DecodeError> {
        doc.each_entry("an object", |key, value| {
            let key = match &*key {
                "user_profile" | "about_user_message" => "user_profile",
                "user_instructions" | "about_model_message" => "user_instructions",
                "model_set_context" => "model_set_context",
                _ => return Ok(()),
            };
            if value.text().is_some_and(|text| !text.trim().is_empty()) {
                value.keep_in(&mut self.profile, key);
            }
            Ok(())
        })
    }
}

/// Names the files a user sent along; pictures have their mark among the parts already.
fn add_attachments(attachments: Doc<'_>, message: &mut Message) -> Result<(), DecodeError> {
    if attachments.kind() != Kind::List {
        return Ok(());
    }
    attachments.each_item("a list", |_, attachment| {
        let (mut name, mut picture) = (None, false);
        if attachment.kind() == Kind::Object {
            attachment.each_entry("an object", |key, value| {
                match &*key {
                    "name" => name = value.text(),
                    "mime_type" | "mimeType" => {
                        picture = value.text().is_some_and(|mime| mime.starts_with("image/"));
                    }
                    _ => {}
                }
                Ok(())
            })?;
        }
        if !picture {
            if !message.text.is_empty() {
                message.text.push('\n');
            }
            message.text.push_str(&content::mark("file", name.as_deref()));
        }
        Ok(())
    })?;
    attachments.keep_in(&mut message.metadata, "attachments");
    Ok(())
}

/// Takes out the spans between U+E200 and U+E201 that stand for footnotes and widgets in the app.
fn without_citations(text: String) -> String {
    if !text.contains('\u{E200}') {
        return text;
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('\u{E200}') {
        let Some((_, behind)) = after.split_once('\u{E201}') else { break };
        clean.push_str(before);
        rest = behind;
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{error, many, one};
    use crate::session::{Role, Session};

    fn node(parent: Value, message: Value) -> Value {
        json!({"parent": parent, "children": [], "message": message})
    }

    fn says(role: &str, text: &str) -> Value {
        json!({"author": {"role": role}, "content": {"content_type": "text", "parts": [text]}, "weight": 1.0})
    }

    /// A conversation that is one line of messages.
    fn chain(messages: &[Value]) -> Value {
        let mut mapping = json!({"root": node(Value::Null, Value::Null)});
        let mut parent = "root".to_owned();
        for (index, message) in messages.iter().enumerate() {
            let id = format!("n{index}");
            mapping[&id] = node(json!(parent), message.clone());
            parent = id;
        }
        json!({"id": "c", "title": null, "current_node": parent, "mapping": mapping})
    }

    fn texts(session: &Session) -> Vec<&str> {
        session.messages.iter().map(|message| message.text.as_str()).collect()
    }

    fn read(messages: &[Value]) -> Session {
        one(&chain(messages).to_string())
    }

    #[test]
    fn the_branch_the_user_saw_last_is_read_and_the_others_are_not() {
        let mut tree = json!({
        "id": "c1", "conversation_id": "c1", "title": null, "create_time": 1772449200.25, "update_time": null,
        "current_node": "a1", "default_model_slug": null, "gizmo_id": null,
        "mapping": {
            "r": node(Value::Null, Value::Null),
            "a1": node(json!("q"), json!({"id": "m3", "author": {"role": "assistant"}, "create_time": 1772449262,
                "content": {"content_type": "text", "parts": ["Green."]}, "metadata": {"model_slug": "gpt-x"}})),
            "a2": node(json!("q"), says("assistant", "Black.")),
            "q": node(json!("r"), says("user", "Tea?")),
        }});
        let session = one(&tree.to_string());
        assert_eq!(texts(&session), ["Tea?", "Green."]);
        assert_eq!(session.session_id, "c1");
        assert_eq!((session.app.as_deref(), session.model.as_deref()), (Some("chatgpt"), Some("gpt-x")));
        assert_eq!(session.start_time.unwrap().to_string(), "2026-03-02T11:00:00.25Z");
        assert_eq!(session.end_time.unwrap().to_string(), "2026-03-02T11:01:02Z");
        assert_eq!(session.messages[1].id.as_deref(), Some("m3"));
        assert_eq!(session.metadata["title"], Value::Null);

        tree["current_node"] = json!("gone");
        let text = tree.to_string();
        assert_eq!(texts(&one(&text)), ["Tea?", "Black."], "no current node: the last leaf of the file");
        tree["mapping"]["r"]["parent"] = json!("q");
        tree["mapping"]["q"]["parent"] = json!("a1");
        tree["current_node"] = json!("a1");
        let text = tree.to_string();
        assert_eq!(texts(&one(&text)), ["Tea?", "Green."], "a circle ends where it closes");
    }

    #[test]
    fn hidden_messages_thoughts_and_settings_are_no_speech() {
        let session = read(&[
            json!({"author": {"role": "system"}, "content": {"content_type": "text", "parts": [""]}, "weight": 0.0}),
            json!({"author": {"role": "user"}, "weight": 0, "content": {"content_type": "user_editable_context",
                "user_profile": "I am a nurse.", "user_instructions": "Be brief."}}),
            json!({"author": {"role": "system"}, "content": {"content_type": "model_editable_context",
                "model_set_context": "1. Likes tea."}}),
            says("user", "Hi"),
            json!({"author": {"role": "assistant"}, "content": {"content_type": "thoughts", "thoughts": []}}),
            json!({"author": {"role": "assistant"}, "channel": "analysis",
                "content": {"content_type": "text", "parts": ["hm"]}}),
            json!({"author": {"role": "system"}, "content": {"content_type": "text", "parts": ["secret"]},
                "metadata": {"is_visually_hidden_from_conversation": true}}),
            json!({"author": {"role": "assistant"}, "content": {"content_type": "reasoning_recap", "content": "4s"}}),
            says("assistant", "Hello."),
        ]);
        assert_eq!(texts(&session), ["Hi", "Hello."]);
        assert_eq!(session.metadata["user_profile"], "I am a nurse.");
        assert_eq!(session.metadata["user_instructions"], "Be brief.");
        assert_eq!(session.metadata["model_set_context"], "1. Likes tea.");
    }

    #[test]
    fn every_kind_of_content_becomes_text_or_a_mark() {
        let message = |role: &str, content: Value| json!({"author": {"role": role}, "content": content});
        let session = read(&[
            json!({"author": {"role": "user"}, "metadata": {"attachments": [
                    {"name": "cat.png", "mime_type": "image/png"}, {"name": "plan.pdf", "mime_type": "application/pdf"}]},
                "content": {"content_type": "multimodal_text", "parts": [
                    {"content_type": "image_asset_pointer", "asset_pointer": "x"}, "What is it?",
                    {"content_type": "audio_transcription", "text": "spoken"},
                    {"content_type": "audio_asset_pointer"}]}}),
            json!({"author": {"role": "assistant"}, "recipient": "python",
                "content": {"content_type": "code", "language": "unknown", "text": "1+1"}}),
            message("tool", json!({"content_type": "execution_output", "text": "2"})),
            message("tool", json!({"content_type": "tether_browsing_display", "result": "page"})),
            message("tool", json!({"content_type": "citable_code_output", "output_str": "3"})),
            message("tool", json!({"content_type": "computer_output", "screenshot": {}})),
            message("assistant", json!({"content_type": "code", "language": "rust", "text": "fn x() {}"})),
            message(
                "assistant",
                json!({"content_type": "text",
                "parts": ["Two\u{E200}cite\u{E202}turn0search1\u{E201}, surely \u{E200}cut"]}),
            ),
        ]);
        assert_eq!(
            texts(&session),
            [
                "[image]\nWhat is it?\nspoken\n[file: plan.pdf]",
                "",
                "2",
                "page",
                "3",
                "[computer output]",
                "```rust\nfn x() {}\n```",
                "Two, surely \u{E200}cut",
            ]
        );
        assert_eq!(
            session.messages[1].metadata["tool_calls"],
            json!([{"name": "python", "arguments": "1+1"}])
        );
        assert_eq!(session.messages[0].metadata["attachments"][1]["name"], "plan.pdf");
    }

    #[test]
    fn an_export_is_read_in_every_wrapping_and_what_is_left_out_is_counted() {
        let chat = chain(&[says("user", "a")]);
        let mut forgotten = chain(&[says("user", "b")]);
        forgotten["is_do_not_remember"] = json!(true);
        let bare = json!({"id": "x", "title": "no tree", "create_time": 1.0});
        let silent = chain(&[]);
        let all = json!([bare, forgotten, chat, silent, chat, {"id": "y", "mapping": null}]);
        for text in [all.to_string(), json!({"conversations": all}).to_string()] {
            let decoded = many(&text);
            assert_eq!((decoded.format, decoded.sessions.len()), ("chatgpt", 2));
            assert_eq!(
                decoded.skipped,
                [
                    "1 conversation without messages",
                    "1 conversation marked \"do not remember\" by the user",
                    "2 conversations exported without their messages"
                ]
            );
        }
        let alone = many(&forgotten.to_string());
        assert!(alone.sessions.is_empty() && alone.skipped.len() == 1);
    }

    #[test]
    fn a_message_of_nobody_known_names_its_place() {
        let text = chain(&[says("oracle", "a")]).to_string();
        assert_eq!(error(&text).path.as_deref(), Some("mapping.n0.message.author.role"));
        assert_eq!(one(&chain(&[says("tool", "a")]).to_string()).messages[0].role, Role::Tool);
    }
}
