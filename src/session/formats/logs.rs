//! Logs that programs append to, one chat a file, read line by line: never more than a line and what was said is held.

use super::decode::Format;
use super::doc::{Doc, Kind, Whole};
use super::error::DecodeError;
use super::jsonl::{lines, of_line};
use super::sink::{Sink, Skip};
use super::{claude_code, codex, copilot, gemini_cli, jan};
use crate::session::Session;

/// Lines that are looked at to tell a log's format.
const LOOKED_AT: usize = 20;
/// A longer line says nothing of the format.
const LONGEST_HEAD: usize = 1 << 20;

/// Reads the log of one chat.
#[derive(Debug)]
pub struct LogReader(Log);

#[derive(Debug)]
enum Log {
    ClaudeCode(claude_code::Log),
    Codex(codex::Log),
    GeminiCli(gemini_cli::Log),
    Copilot(copilot::Log),
    Jan(jan::Log),
}

impl LogReader {
    /// A reader for a format; `None` where it is not one of logs.
    pub fn new(format: Format) -> Option<Self> {
        Some(LogReader(match format {
            Format::ClaudeCode => Log::ClaudeCode(claude_code::Log::default()),
            Format::Codex => Log::Codex(codex::Log::default()),
            Format::GeminiCli => Log::GeminiCli(gemini_cli::Log::default()),
            Format::Copilot => Log::Copilot(copilot::Log::default()),
            Format::Jan => Log::Jan(jan::Log::default()),
            _ => return None,
        }))
    }

    /// Takes the next line.
    ///
    /// # Errors
    /// If it is not JSON; the reader can go on with the line after it.
    pub fn line(&mut self, line: &str) -> Result<(), DecodeError> {
        if matches!(&self.0, Log::Codex(_)) && codex::passes_over(line) {
            return Ok(());
        }
        let whole = Whole::new(line);
        self.take(Doc::parse(&whole)?);
        Ok(())
    }

    fn take(&mut self, doc: Doc<'_>) {
        match &mut self.0 {
            Log::ClaudeCode(log) => log.line(doc),
            Log::Codex(log) => log.line(doc),
            Log::GeminiCli(log) => log.line(doc),
            Log::Copilot(log) => log.line(doc),
            Log::Jan(log) => log.line(doc),
        }
    }

    /// The chat, and whether a turn of it is still under way. `None` for a log that is no chat of a person.
    pub fn finish(self) -> Option<(Session, bool)> {
        match self.0 {
            Log::ClaudeCode(log) => log.finish(),
            Log::Codex(log) => log.finish(),
            Log::GeminiCli(log) => log.finish(),
            Log::Copilot(log) => log.finish(),
            Log::Jan(log) => log.finish(),
        }
    }
}

/// Whether a file of a format that was asked for is read as a log. Two formats are documents in their older form.
pub(super) fn is_log(format: Format, whole: &Whole<'_>) -> bool {
    match format {
        Format::ClaudeCode | Format::Codex | Format::Jan => true,
        Format::GeminiCli | Format::Copilot => detect(whole) == Some(format),
        _ => false,
    }
}

/// Tells the format of a log by the keys of its first lines.
pub(super) fn detect(whole: &Whole<'_>) -> Option<Format> {
    // Each line of a log is an object; the first line of another file seldom is, and then none is read for nothing.
    let first = lines(whole.text).next()?.trim();
    if !first.starts_with('{') || !first.ends_with('}') {
        return None;
    }
    let head = lines(whole.text).take(LOOKED_AT).filter(|line| line.len() <= LONGEST_HEAD);
    head.filter_map(|line| Doc::line(whole, line).ok()).find_map(line_format)
}

fn line_format(doc: Doc<'_>) -> Option<Format> {
    if doc.kind() != Kind::Object {
        return None;
    }
    let [session, parent, kind, payload, project] =
        doc.fields(["sessionId", "parentUuid", "type", "payload", "projectHash"]);
    let [mutation, state, thread, role, messages] =
        doc.fields(["kind", "v", "thread_id", "role", "messages"]);
    let kind = kind.and_then(Doc::text);
    let sidechain = doc.field("isSidechain").is_some();
    match kind.as_deref() {
        Some("user" | "assistant" | "system" | "attachment" | "progress")
            if session.is_some() && (parent.is_some() || sidechain) =>
        {
            Some(Format::ClaudeCode)
        }
        Some("session_meta" | "response_item" | "event_msg" | "turn_context") if payload.is_some() => {
            Some(Format::Codex)
        }
        None if session.is_some() && project.is_some() && messages.is_none() => Some(Format::GeminiCli),
        None if mutation.and_then(Doc::number) == Some(0.0)
            && state.and_then(|state| state.field("requests")).is_some() =>
        {
            Some(Format::Copilot)
        }
        _ if thread.is_some() && role.is_some() => Some(Format::Jan),
        _ => None,
    }
}

/// Reads a whole log.
pub(super) fn read(whole: &Whole<'_>, format: Format, sink: &mut Sink) -> Result<(), DecodeError> {
    let Some(mut reader) = LogReader::new(format) else { return Ok(()) };
    let mut lines = lines(whole.text).peekable();
    while let Some(line) = lines.next() {
        let doc = Doc::line(whole, line).map_err(|error| of_line(error, lines.peek().is_none()));
        if let Some(doc) = sink.tolerate(doc)? {
            reader.take(doc);
        }
    }
    let Some((session, open)) = reader.finish() else {
        sink.skip(Skip::NoPerson);
        return Ok(());
    };
    let whole = Doc::of_all(whole);
    sink.add_open(whole, session, open)
}

#[cfg(test)]
mod tests {
    use super::super::decode;
    use super::*;

    #[test]
    fn a_log_that_is_no_chat_is_counted_as_left_out() {
        for format in [Format::Jan, Format::ClaudeCode, Format::Codex] {
            let decoded = decode(br#"{"type": "something"}"#, format).unwrap();
            assert_eq!(decoded.sessions.len(), 0);
            assert_eq!(decoded.skipped, ["1 conversation in which no person speaks"], "{}", format.as_str());
        }
    }
}
