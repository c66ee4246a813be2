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
        reader.add(node)?;
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
    sink: &Sink,
) -> Result<Vec<Doc<'a>>, DecodeError> {
    let mut tree = Tree::new();
    mapping.each_entry("an object of nodes by id", |id, node| {
        sink.check_messages(node, tree.len() + 1)?;
        let (mut parent, mut message) = (None, None);
        node.each_entry("a node object", |key, value| {
            match &*key {
                "parent" => parent = value.text(),
                "message" => message = Some(value).filter(|message| !message.is_null()),
                _ => {}
            }
            Ok(())
        })?;
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
    fn add(&mut self, doc: Doc<'_>) -> Result<(), DecodeError> {
        let node = Node::read(doc)?;
        let role = role(node.role.ok_or_else(|| doc.error("the message does not say who speaks"))?)?;
        if let Some(settings) = node.settings.filter(|settings| settings.kind() == Kind::Object) {
            self.keep_settings(settings)?;
        }
        let Some(said) = node.content.map(|content| self.read_content(content)).transpose()?.flatten() else {
            return Ok(());
        };
        if node.hidden {
            return Ok(());
        }
        let mut message = Message::new(role, without_citations(said.text));
        message.metadata = said.aside;
        self.add_call(&node, &mut message);
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

    /// What the model writes to anybody but `all` calls a tool: it becomes a tool call beside an empty text.
    fn add_call(&self, node: &Node<'_>, message: &mut Message) {
        let recipient = node.recipient.as_deref().unwrap_or("all");
        if message.role == Role::Assistant && recipient != "all" {
            let arguments = std::mem::take(&mut message.text);
            let call = serde_json::json!({"name": recipient, "arguments": arguments});
            message.metadata.insert("tool_calls".to_owned(), Value::Array(vec![call]));
        }
    }

    /// The text of a message's content; `None` for what is no speech.
    fn read_content(&mut self, doc: Doc<'_>) -> Result<Option<Content>, DecodeError> {
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
            Some(code) if &*kind == "code" => {
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
                        picture = value.text().is_some_and(|mime| mime.starts_with("image/"))
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
