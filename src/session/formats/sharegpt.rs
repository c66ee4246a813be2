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
