use super::decode::Format;
use super::doc::{Doc, Kind, Whole, clipped};
use super::error::DecodeError;
use super::message::names_a_speaker;
use super::sink::Sink;
use super::{
    chatgpt, claude, copilot, gemini_cli, librechat, lm_studio, native, open_webui, openai, sharegpt,
};

/// What a JSON value looks like, told by its keys and never by the file's name.
#[derive(Clone, Copy)]
pub(super) enum Shape<'a> {
    /// One conversation in this format.
    Chat(Format),
    /// One message of a list, in the words of this format.
    Message(Format),
    /// An object around a list of conversations.
    Wrapper(Doc<'a>),
    /// What is known of a session, without messages: the first line of some transcripts.
    Header,
    /// A list.
    List,
    Unknown,
}

/// Keys that only the native format has beside `messages`.
const NATIVE: &[&str] = &["session_id", "user_id", "app", "start_time", "end_time"];
/// Keys that make an object without messages the header of a transcript.
const HEADER: &[&str] =
    &["session_id", "user_id", "app", "model", "start_time", "id", "title", "metadata", "created_at"];

/// Looks at the keys of a value.
pub(super) fn shape(doc: Doc<'_>) -> Result<Shape<'_>, DecodeError> {
    match doc.kind() {
        Kind::List => return Ok(Shape::List),
        Kind::Object => {}
        _ => return Ok(Shape::Unknown),
    }
    let (mut mapping, mut chat_messages, mut messages, mut list) = (false, false, false, None);
    let (mut native, mut header, mut text, mut role, mut from) = (false, false, false, false, false);
    let (mut session, mut program, mut by_session) = (false, None, None);
    doc.each_entry("an object", |key, value| {
        let key = &*key;
        match key {
            "mapping" => mapping = true,
            "chat_messages" => chat_messages = true,
            "messages" => {
                messages = true;
                program = program.or_else(|| of_messages(value));
            }
            "messagesTree" => program = Some(Format::Librechat),
            "sessionId" => session = true,
            "projectHash" => by_session = Some(Format::GeminiCli),
            "requests" if value.kind() == Kind::List => by_session = Some(Format::Copilot),
            "chat" | "history" if holds_messages(value) => program = Some(Format::OpenWebui),
            "conversations" => list = Some(value),
            "role" | "sender" => role = true,
            "type" => role |= value.text().is_some_and(|name| names_a_speaker(&name)),
            "from" => from = true,
            "content" | "text" | "value" | "message" | "tool_calls" => text = true,
            _ => {}
        }
        native |= NATIVE.contains(&key);
        header |= HEADER.contains(&key);
        Ok(())
    })?;
    if let Some(format) = program.or(by_session.filter(|_| session))
        && !(mapping || chat_messages || (messages && native))
    {
        return Ok(Shape::Chat(format));
    }
    Ok(match list {
        _ if mapping => Shape::Chat(Format::Chatgpt),
        _ if chat_messages => Shape::Chat(Format::Claude),
        _ if messages && native => Shape::Chat(Format::Atles),
        _ if messages => Shape::Chat(Format::Openai),
        Some(list) => match first_known(list)? {
            Shape::Chat(_) => Shape::Wrapper(list),
            _ => Shape::Chat(Format::Sharegpt),
        },
        None if from && text => Shape::Message(Format::Sharegpt),
        None if role && text => Shape::Message(Format::Openai),
        None if header => Shape::Header,
        None => Shape::Unknown,
    })
}

/// What one value of a file with many is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A conversation, whole in itself.
    Conversation,
    /// A part of one: a message, or a line of a log.
    Part,
    /// Nobody knows.
    Unknown,
}

/// Tells what a JSON value is by its keys.
pub(crate) fn unit(bytes: &[u8]) -> Unit {
    let Ok(text) = std::str::from_utf8(bytes) else { return Unit::Unknown };
    let whole = Whole::new(text);
    if super::logs::detect(&whole).is_some() {
        return Unit::Part;
    }
    let is_part = |list| matches!(first_known(list), Ok(Shape::Message(_)));
    match Doc::parse(&whole).and_then(shape) {
        Ok(Shape::Chat(_) | Shape::Wrapper(_)) => Unit::Conversation,
        Ok(Shape::Message(_) | Shape::Header) => Unit::Part,
        Ok(Shape::List) if Doc::parse(&whole).is_ok_and(is_part) => Unit::Conversation,
        _ => Unit::Unknown,
    }
}

/// Whether the value of `chat` or `history` is that of Open WebUI.
fn holds_messages(value: Doc<'_>) -> bool {
    let [messages, history] = value.fields(["messages", "history"]);
    [messages, history].iter().flatten().any(|found| matches!(found.kind(), Kind::Object | Kind::List))
}

/// The program whose messages have keys of their own.
fn of_messages(list: Doc<'_>) -> Option<Format> {
    let [versions, by_user, parent] =
        list.first_item()?.fields(["versions", "isCreatedByUser", "parentMessageId"]);
    match (versions, by_user.or(parent)) {
        (Some(_), _) => Some(Format::LmStudio),
        (None, Some(_)) => Some(Format::Librechat),
        (None, None) => None,
    }
}

/// The shape of the first item in a list that has a known one.
fn first_known(list: Doc<'_>) -> Result<Shape<'_>, DecodeError> {
    let mut found = Shape::Unknown;
    if list.kind() != Kind::List {
        return Ok(found);
    }
    list.each_item("a list", |_, item| {
        if matches!(found, Shape::Unknown | Shape::Header) {
            found = shape(item)?;
        }
        Ok(())
    })?;
    Ok(found)
}

/// Reads a whole JSON document, and says in which format it is.
pub(super) fn read(doc: Doc<'_>, sink: &mut Sink) -> Result<Format, DecodeError> {
    match shape(doc)? {
        Shape::Chat(format) => read_as(doc, format, sink).map(|()| format),
        Shape::Message(_) => super::jsonl::read(doc.whole(), sink).map(|()| Format::Jsonl),
        Shape::Wrapper(list) => read_list(list, sink),
        Shape::List => read_list(doc, sink),
        Shape::Header | Shape::Unknown => Err(unknown(doc)),
    }
}

/// Reads a list: of messages, or of conversations.
fn read_list(list: Doc<'_>, sink: &mut Sink) -> Result<Format, DecodeError> {
    let format = match first_known(list)? {
        Shape::Message(format) => return read_as(list, format, sink).map(|()| format),
        Shape::Chat(format) => format,
        Shape::List => Format::Openai,
        Shape::Wrapper(_) | Shape::Header | Shape::Unknown => return Err(unknown(list)),
    };
    list.each_item("a list of conversations", |_, item| read_item(item, format, sink))?;
    Ok(format)
}

/// Reads one of many conversations: in its own format, or where that cannot be told in that of the others.
pub(super) fn read_item(item: Doc<'_>, format: Format, sink: &mut Sink) -> Result<(), DecodeError> {
    let format = match shape(item)? {
        Shape::Chat(own) => own,
        Shape::List => match first_known(item)? {
            Shape::Message(own) => own,
            _ => format,
        },
        _ => format,
    };
    read_as(item, format, sink)
}

/// Reads one conversation in a given format.
fn read_as(doc: Doc<'_>, format: Format, sink: &mut Sink) -> Result<(), DecodeError> {
    match format {
        Format::Atles => native::read(doc, "atles", sink),
        Format::Openai => openai::read(doc, sink),
        Format::Sharegpt => sharegpt::read(doc, sink),
        Format::Chatgpt => chatgpt::read(doc, sink),
        Format::Claude => claude::read(doc, sink),
        Format::OpenWebui => open_webui::read(doc, sink),
        Format::Librechat => librechat::read(doc, sink),
        Format::LmStudio => lm_studio::read(doc, sink),
        Format::GeminiCli => gemini_cli::read(doc, sink),
        Format::Copilot => copilot::read(doc, sink),
        Format::Auto
        | Format::Jsonl
        | Format::Jan
        | Format::ClaudeCode
        | Format::Codex
        | Format::Transcript => Err(unknown(doc)),
    }
}

/// Reads a whole JSON document in the format somebody asked for.
pub(super) fn read_only(doc: Doc<'_>, format: Format, sink: &mut Sink) -> Result<(), DecodeError> {
    let list = match shape(doc)? {
        Shape::List => match first_known(doc)? {
            Shape::Message(_) => return read_as(doc, format, sink),
            _ => doc,
        },
        Shape::Wrapper(list) => list,
        _ => return read_as(doc, format, sink),
    };
    list.each_item("a list of conversations", |_, item| read_as(item, format, sink))
}

/// The error of something that is no chat; it names the keys there are, which is what a person looks for.
fn unknown(doc: Doc<'_>) -> DecodeError {
    let mut keys = Vec::new();
    if doc.kind() == Kind::Object {
        let walked = doc.each_entry("", |key, _| {
            if keys.len() < 6 {
                keys.push(clipped(&key));
            }
            Ok(())
        });
        if walked.is_err() {
            keys.clear();
        }
    }
    let found = match (doc.kind(), keys.len()) {
        (Kind::Object, 0) => "an empty object".to_owned(),
        (Kind::Object, 6) => format!("an object with {} …", keys[..5].join(", ")),
        (Kind::Object, _) => format!("an object with {}", keys.join(", ")),
        (Kind::List, _) => "a list without messages or conversations".to_owned(),
        (kind, _) => kind.to_string(),
    };
    doc.error(format!("not a chat in a format that is read: found {found}")).hint(
        "read are ATLES sessions, OpenAI message lists, ShareGPT, ChatGPT and Claude exports, and JSONL transcripts",
    )
}
