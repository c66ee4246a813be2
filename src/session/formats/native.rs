use super::doc::Doc;
use super::error::DecodeError;
use super::head::{COMMON, Head};
use super::sink::Sink;

/// Reads one session in the format of ATLES: an object with `session_id`, `messages` and what is known of both.
///
/// Also the format of a message list in an object (`{"messages": […]}`), which is the same with less.
pub(super) fn read(doc: Doc<'_>, format: &str, sink: &mut Sink) -> Result<(), DecodeError> {
    let mut head = Head::new(&COMMON);
    let mut list = None;
    doc.each_entry("an object with \"messages\"", |key, value| {
        match &*key {
            "messages" => list = Some(value),
            _ => head.take(&key, value),
        }
        Ok(())
    })?;
    let Some(list) = list else {
        return Err(doc
            .error("the session has no messages")
            .hint("a session file is an object with \"session_id\" and a list of \"messages\""));
    };
    let messages = sink.messages(list)?;
    let session = head.session(format, messages)?;
    sink.add(doc, session)
}
