use super::doc::{Doc, Kind};
use super::error::DecodeError;
use super::head::{COMMON, Head};
use super::native;
use super::sink::Sink;

/// Reads a message list as model interfaces take it: bare, or under `messages`.
///
/// `developer` is read as system and `function` as tool; `tool_calls` and what else stands beside the content are kept
/// in the message's metadata.
pub(super) fn read(doc: Doc<'_>, sink: &mut Sink) -> Result<(), DecodeError> {
    if doc.kind() != Kind::List {
        return native::read(doc, "openai", sink);
    }
    let messages = sink.messages(doc)?;
    let session = Head::new(&COMMON).session("openai", messages)?;
    sink.add(doc, session)
}
