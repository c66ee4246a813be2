use std::fmt;

use super::doc::Doc;
use super::error::{DecodeError, DecodeErrorKind};
use super::message;
use crate::session::{Message, Session};

/// How much is read from one file; beyond it the file is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sessions in one file.
    pub sessions: usize,
    /// Messages in one session.
    pub messages: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { sessions: 100_000, messages: 1_000_000 }
    }
}

/// Why a conversation of a file is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Skip {
    /// Nothing was said in it.
    Empty,
    /// The user told the app not to remember it.
    DoNotRemember,
    /// An export without the tree of messages.
    NoMessages,
    /// A log of a program at work by itself.
    NoPerson,
}

impl Skip {
    const ALL: [Skip; 4] = [Skip::Empty, Skip::DoNotRemember, Skip::NoMessages, Skip::NoPerson];
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Skip::Empty => "without messages",
            Skip::DoNotRemember => "marked \"do not remember\" by the user",
            Skip::NoMessages => "exported without their messages",
            Skip::NoPerson => "in which no person speaks",
        })
    }
}

/// Collects what a file comes to, within its limits.
pub(super) struct Sink {
    limits: Limits,
    /// What cannot be read of a conversation is left out and counted, instead of refusing it.
    lenient: bool,
    sessions: Vec<Session>,
    /// Indices of the sessions in which a turn is still under way.
    open: Vec<usize>,
    skipped: [usize; Skip::ALL.len()],
    unread: usize,
}

/// What a [`Sink`] has collected.
pub(super) struct Collected {
    pub(super) sessions: Vec<Session>,
    pub(super) open: Vec<usize>,
    /// What was left out, as counts.
    pub(super) skipped: Vec<String>,
}

impl Sink {
    pub(super) fn new(limits: Limits) -> Self {
        Sink {
            limits,
            lenient: false,
            sessions: Vec::new(),
            open: Vec::new(),
            skipped: [0; Skip::ALL.len()],
            unread: 0,
        }
    }

    /// A sink that keeps what can be read of a conversation whose other parts cannot.
    pub(super) fn lenient(limits: Limits) -> Self {
        Sink { lenient: true, ..Sink::new(limits) }
    }

    /// What was read of a part; `None`, and counted, where a lenient sink goes on without it. Limits hold all the same.
    pub(super) fn tolerate<T>(&mut self, part: Result<T, DecodeError>) -> Result<Option<T>, DecodeError> {
        match part {
            Ok(part) => Ok(Some(part)),
            Err(error) if self.lenient && error.kind != DecodeErrorKind::TooMany => {
                self.leave_out(1);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Counts messages, or lines, that could not be read.
    pub(super) fn leave_out(&mut self, parts: usize) {
        self.unread += parts;
    }

    /// Adds the one session of a file that is no JSON.
    pub(super) fn add_text(&mut self, session: Session) -> Result<(), DecodeError> {
        if session.messages.is_empty() {
            self.skip(Skip::Empty);
        } else if session.messages.len() > self.limits.messages {
            let message = format!("more than {} messages in one session", self.limits.messages);
            return Err(DecodeError::new(DecodeErrorKind::TooMany, message));
        } else {
            self.sessions.push(session);
        }
        Ok(())
    }

    /// Adds a session in which, if `open`, the last turn is still under way.
    pub(super) fn add_open(&mut self, doc: Doc<'_>, session: Session, open: bool) -> Result<(), DecodeError> {
        let before = self.sessions.len();
        self.check_messages(doc, session.messages.len())?;
        self.add(doc, session)?;
        if open && self.sessions.len() > before {
            self.open.push(before);
        }
        Ok(())
    }

    /// Adds a session that was read from `doc`; one without messages is left out.
    pub(super) fn add(&mut self, doc: Doc<'_>, mut session: Session) -> Result<(), DecodeError> {
        if session.messages.is_empty() {
            self.skip(Skip::Empty);
            return Ok(());
        }
        if self.sessions.len() >= self.limits.sessions {
            let message = format!("more than {} conversations in one file", self.limits.sessions);
            return Err(doc
                .error_of(DecodeErrorKind::TooMany, message)
                .hint("split the file, or raise max_sessions of the decode stage"));
        }
        // Room for messages that never came would be most of what many short chats take.
        if session.messages.capacity() > 2 * session.messages.len() {
            session.messages.shrink_to_fit();
        }
        self.sessions.push(session);
        Ok(())
    }

    pub(super) fn skip(&mut self, why: Skip) {
        self.skipped[why as usize] += 1;
    }

    /// Refuses a session of more than so many messages.
    pub(super) fn check_messages(&self, doc: Doc<'_>, count: usize) -> Result<(), DecodeError> {
        if count <= self.limits.messages {
            return Ok(());
        }
        let message = format!("more than {} messages in one session", self.limits.messages);
        Err(doc
            .error_of(DecodeErrorKind::TooMany, message)
            .hint("split the session, or raise max_messages of the decode stage"))
    }

    /// Reads a list of message objects.
    pub(super) fn messages(&self, list: Doc<'_>) -> Result<Vec<Message>, DecodeError> {
        let mut messages = Vec::new();
        list.each_item("a list of messages", |index, item| {
            self.check_messages(item, index + 1)?;
            messages.push(message::read(item, false)?);
            Ok(())
        })?;
        Ok(messages)
    }

    /// All of it.
    pub(super) fn finish(self, dropped_fields: usize) -> Collected {
        let mut skipped: Vec<String> = Skip::ALL
            .iter()
            .map(|why| (why, self.skipped[*why as usize]))
            .filter(|(_, count)| *count > 0)
            .map(|(why, count)| format!("{count} {} {why}", plural(count, "conversation")))
            .collect();
        if self.unread > 0 {
            skipped.push(format!("{} {} that cannot be read", self.unread, plural(self.unread, "message")));
        }
        if dropped_fields > 0 {
            let fields = plural(dropped_fields, "field");
            skipped.push(format!("{dropped_fields} unknown {fields} beyond what is kept from one file"));
        }
        Collected { sessions: self.sessions, open: self.open, skipped }
    }
}

pub(super) fn plural(count: usize, noun: &str) -> String {
    if count == 1 { noun.to_owned() } else { format!("{noun}s") }
}
