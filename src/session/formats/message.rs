use std::borrow::Cow;

use serde_json::{Map, Value};

use super::content::{self, Content};
use super::doc::{Doc, Kind, clipped};
use super::error::DecodeError;
use super::keep::merge;
use super::named::Named;
use crate::session::{Message, Moment, Rating, Role};

/// Where a message's fields may stand; the first name that is there counts.
const ROLES: &[&str] = &["role", "from", "sender"];
/// As [`ROLES`], where a line of a transcript says who speaks by its `type`.
const ROLES_OR_TYPE: &[&str] = &["role", "from", "sender", "type"];
const TEXTS: &[&str] = &["content", "value", "text", "message"];
const IDS: &[&str] = &["id", "uuid", "message_id"];
const TIMES: &[&str] = &["timestamp", "created_at", "create_time", "created"];

/// Reads one message object of a list of messages. `by_type`: the speaker may be named by `type`.
///
/// Fields that are not known here are kept in the message's metadata under their own names.
pub(super) fn read(doc: Doc<'_>, by_type: bool) -> Result<Message, DecodeError> {
    let mut fields = Fields::new(by_type);
    doc.each_entry("a message object", |key, value| fields.take(&key, value))?;
    fields.message(doc)
}

/// The words that formats use for who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaker {
    Is(Role),
    /// The model, calling a function: the text is the call.
    Call,
}

fn speaker(name: &str) -> Option<Speaker> {
    const NAMES: &[(&str, Speaker)] = &[
        ("user", Speaker::Is(Role::User)),
        ("assistant", Speaker::Is(Role::Assistant)),
        ("human", Speaker::Is(Role::User)),
        ("gpt", Speaker::Is(Role::Assistant)),
        ("system", Speaker::Is(Role::System)),
        ("tool", Speaker::Is(Role::Tool)),
        ("developer", Speaker::Is(Role::System)),
        ("function", Speaker::Is(Role::Tool)),
        ("observation", Speaker::Is(Role::Tool)),
        ("function_call", Speaker::Call),
        ("model", Speaker::Is(Role::Assistant)),
        ("ai", Speaker::Is(Role::Assistant)),
        ("bot", Speaker::Is(Role::Assistant)),
        ("chatgpt", Speaker::Is(Role::Assistant)),
        ("claude", Speaker::Is(Role::Assistant)),
    ];
    let known = |(other, _): &&(&str, Speaker)| name.eq_ignore_ascii_case(other);
    NAMES.iter().find(known).map(|(_, speaker)| *speaker)
}

/// Whether a word names somebody who speaks.
pub(super) fn names_a_speaker(word: &str) -> bool {
    speaker(word).is_some()
}

/// The role a value names.
pub(super) fn role(doc: Doc<'_>) -> Result<Role, DecodeError> {
    match read_speaker(doc)? {
        Speaker::Is(role) => Ok(role),
        Speaker::Call => Ok(Role::Assistant),
    }
}

fn read_speaker(doc: Doc<'_>) -> Result<Speaker, DecodeError> {
    let name = doc.text().ok_or_else(|| doc.wrong("a role such as \"user\" or \"assistant\""))?;
    speaker(name.trim()).ok_or_else(|| {
        doc.error(format!("{} is not a role", clipped(&name)))
            .hint("roles are user, assistant, system and tool (developer, human, gpt, function too)")
    })
}

/// An id or a name: text that is not blank, or a number. Null and blank count as missing.
pub(super) fn label(doc: Doc<'_>) -> Result<Option<String>, DecodeError> {
    match doc.kind() {
        Kind::Null => Ok(None),
        Kind::Number => Ok(Some(doc.raw().to_owned())),
        Kind::Text => Ok(doc.text().and_then(content::name)),
        Kind::Object | Kind::List | Kind::Bool => Err(doc.wrong("text")),
    }
}

/// A time: ISO 8601, or a number since 1970, also as text. `None` for what cannot be read as one.
pub(super) fn time(doc: Doc<'_>) -> Option<Moment> {
    match doc.kind() {
        Kind::Number => Moment::from_epoch(doc.number()?),
        Kind::Text => {
            let text = doc.text()?;
            Moment::parse(&text).or_else(|| Moment::from_epoch(text.trim().parse().ok()?))
        }
        _ => None,
    }
}

fn rating(doc: Doc<'_>) -> Option<Rating> {
    match doc.kind() {
        Kind::Bool => Some(if doc.bool()? { Rating::Up } else { Rating::Down }),
        Kind::Number if doc.number()? > 0.0 => Some(Rating::Up),
        Kind::Number if doc.number()? < 0.0 => Some(Rating::Down),
        Kind::Text => match doc.text()?.to_ascii_lowercase().as_str() {
            "up" | "like" | "liked" | "thumbs_up" | "thumbsup" | "positive" | "good" | "👍" => {
                Some(Rating::Up)
            }
            "down" | "dislike" | "disliked" | "thumbs_down" | "thumbsdown" | "negative" | "bad" | "👎" => {
                Some(Rating::Down)
            }
            _ => None,
        },
        _ => None,
    }
}

/// The fields of one message object, still apart.
struct Fields<'a> {
    role: Named<'a>,
    text: Named<'a>,
    id: Named<'a>,
    time: Named<'a>,
    name: Option<Doc<'a>>,
    feedback: Option<Doc<'a>>,
    metadata: Option<Doc<'a>>,
    refusal: Option<Cow<'a, str>>,
    extra: Map<String, Value>,
}

impl<'a> Fields<'a> {
    fn new(by_type: bool) -> Self {
        Fields {
            role: Named::new(if by_type { ROLES_OR_TYPE } else { ROLES }),
            text: Named::new(TEXTS),
            id: Named::new(IDS),
            time: Named::new(TIMES),
            name: None,
            feedback: None,
            metadata: None,
            refusal: None,
            extra: Map::new(),
        }
    }

    fn take(&mut self, key: &str, value: Doc<'a>) -> Result<(), DecodeError> {
        match key {
            "name" => self.name = Some(value),
            "feedback" => self.feedback = Some(value),
            "metadata" => self.metadata = Some(value),
            _ => {
                let known = [&mut self.role, &mut self.text, &mut self.id, &mut self.time]
                    .into_iter()
                    .any(|field| field.take(key, value));
                if !known {
                    if key == "refusal" {
                        self.refusal = value.text();
                    }
                    value.keep_in(&mut self.extra, key);
                }
            }
        }
        Ok(())
    }

    fn message(mut self, doc: Doc<'a>) -> Result<Message, DecodeError> {
        let role = match self.role.first() {
            Some(role) if !role.is_null() => read_speaker(role)?,
            _ => {
                return Err(doc
                    .error("the message does not say who speaks")
                    .hint("each message needs a \"role\": user, assistant, system or tool"));
            }
        };
        let calls = ["tool_calls", "function_call"].iter().any(|key| self.extra.contains_key(*key));
        let mut said = match self.text.first() {
            Some(text) => content::read(text)?,
            None if calls || self.refusal.is_some() => Content::default(),
            None => {
                return Err(doc
                    .error("the message has no content")
                    .hint("each message needs a \"content\": text, or null beside tool calls"));
            }
        };
        if let (true, Some(refusal)) = (said.text.is_empty(), self.refusal.take()) {
            said.push(&refusal);
        }
        let mut message = Message::new(role_of(role), said.text);
        if role == Speaker::Call {
            let call = Value::String(std::mem::take(&mut message.text));
            said.aside.insert("tool_calls".to_owned(), Value::Array(vec![call]));
        }
        message.id = self.id.first().map(label).transpose()?.flatten();
        message.name = self.name.map(label).transpose()?.flatten();
        message.timestamp = self.time.first().and_then(time);
        message.feedback = self.feedback.and_then(rating);
        if let Some(metadata) = self.metadata.filter(|metadata| !metadata.is_null()) {
            metadata.each_entry("an object", |key, value| {
                value.keep_in(&mut message.metadata, &key);
                Ok(())
            })?;
        }
        self.keep_rest(&message);
        merge(&mut message.metadata, said.aside);
        merge(&mut message.metadata, self.extra);
        Ok(message)
    }

    /// Keeps what stood under a second name, and what could not be read as what it should be.
    fn keep_rest(&mut self, message: &Message) {
        self.role.keep_rest(&mut self.extra, true);
        self.text.keep_rest(&mut self.extra, true);
        self.id.keep_rest(&mut self.extra, true);
        self.time.keep_rest(&mut self.extra, message.timestamp.is_some());
        if let (None, Some(feedback)) = (message.feedback, self.feedback.filter(|doc| !doc.is_null())) {
            feedback.keep_in(&mut self.extra, "feedback");
        }
    }
}

fn role_of(speaker: Speaker) -> Role {
    match speaker {
        Speaker::Is(role) => role,
        Speaker::Call => Role::Assistant,
    }
}
