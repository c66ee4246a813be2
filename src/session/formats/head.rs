use serde_json::{Map, Value};

use super::doc::Doc;
use super::error::DecodeError;
use super::keep::merge;
use super::message::{label, time};
use super::named::Named;
use crate::session::{Message, Session};

/// Where a format keeps what is known of a session as a whole: for each field its names, the weightiest first.
pub(super) struct HeadNames {
    pub(super) id: &'static [&'static str],
    pub(super) user: &'static [&'static str],
    pub(super) app: &'static [&'static str],
    pub(super) model: &'static [&'static str],
    pub(super) start: &'static [&'static str],
    pub(super) end: &'static [&'static str],
}

/// The names of the native format and of message lists.
pub(super) const COMMON: HeadNames = HeadNames {
    id: &["session_id", "conversation_id", "id", "uuid"],
    user: &["user_id", "user"],
    app: &["app"],
    model: &["model"],
    start: &["start_time", "created_at", "create_time", "created"],
    end: &["end_time", "updated_at", "update_time"],
};

/// What a file says of a session beside its messages. What is not known is kept in the session's metadata.
pub(super) struct Head<'a> {
    id: Named<'a>,
    user: Named<'a>,
    app: Named<'a>,
    model: Named<'a>,
    start: Named<'a>,
    end: Named<'a>,
    metadata: Option<Doc<'a>>,
    pub(super) extra: Map<String, Value>,
}

impl<'a> Head<'a> {
    pub(super) fn new(names: &HeadNames) -> Self {
        Head {
            id: Named::new(names.id),
            user: Named::new(names.user),
            app: Named::new(names.app),
            model: Named::new(names.model),
            start: Named::new(names.start),
            end: Named::new(names.end),
            metadata: None,
            extra: Map::new(),
        }
    }

    /// Takes one entry of the session's object.
    pub(super) fn take(&mut self, key: &str, value: Doc<'a>) {
        if key == "metadata" {
            self.metadata = Some(value);
            return;
        }
        let mut fields =
            [&mut self.id, &mut self.user, &mut self.app, &mut self.model, &mut self.start, &mut self.end]
                .into_iter();
        if !fields.any(|field| field.take(key, value)) {
            value.keep_in(&mut self.extra, key);
        }
    }

    /// The session with these messages; `format` starts the id where the file has none.
    pub(super) fn session(mut self, format: &str, messages: Vec<Message>) -> Result<Session, DecodeError> {
        let text = |field: &Named<'a>| field.first().map(label).transpose().map(Option::flatten);
        let start = self.start.first().and_then(time);
        let end = self.end.first().and_then(time);
        let mut session = Session {
            session_id: text(&self.id)?.unwrap_or_else(|| derived_id(format, &messages)),
            user_id: text(&self.user)?,
            app: text(&self.app)?,
            model: text(&self.model)?,
            start_time: start.or_else(|| messages.iter().find_map(|message| message.timestamp)),
            end_time: end.or_else(|| messages.iter().rev().find_map(|message| message.timestamp)),
            metadata: Map::new(),
            messages,
        };
        if let Some(metadata) = self.metadata.filter(|metadata| !metadata.is_null()) {
            metadata.each_entry("an object", |key, value| {
                value.keep_in(&mut session.metadata, &key);
                Ok(())
            })?;
        }
        for field in [&self.id, &self.user, &self.app, &self.model] {
            field.keep_rest(&mut self.extra, true);
        }
        self.start.keep_rest(&mut self.extra, start.is_some());
        self.end.keep_rest(&mut self.extra, end.is_some());
        merge(&mut session.metadata, self.extra);
        Ok(session)
    }
}

/// An id for a session that has none: the same messages give the same id.
pub(super) fn derived_id(format: &str, messages: &[Message]) -> String {
    let mut hash = blake3::Hasher::new();
    hash.update(b"atles derived id 1");
    for message in messages {
        for field in [message.role.as_str(), message.name.as_deref().unwrap_or_default(), &message.text] {
            hash.update(&(field.len() as u64).to_le_bytes());
            hash.update(field.as_bytes());
        }
    }
    let hex = hash.finalize().to_hex();
    format!("{format}-{}", &hex[..16])
}
