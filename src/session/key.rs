use std::fmt;

use super::{Message, Rating, Session};

/// BLAKE3 of a session's canonical content: the same chat under any file name has the same key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(pub [u8; 32]);

/// Who a session is, whatever its length: BLAKE3 over user, app and session id. A revision keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity(pub [u8; 32]);

/// Length-prefixed fields, so that no two different sessions read the same. They are gathered and hashed at once: BLAKE3
/// is several times quicker on one long piece than on many short ones.
struct Canonical(Vec<u8>);

impl Canonical {
    fn new(domain: &str, bytes: usize) -> Self {
        let mut fields = Vec::with_capacity(domain.len() + bytes);
        fields.extend_from_slice(domain.as_bytes());
        Canonical(fields)
    }

    fn field(&mut self, text: &str) {
        self.0.extend_from_slice(&(text.len() as u64).to_le_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn optional(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.field(text),
            None => self.0.extend_from_slice(&u64::MAX.to_le_bytes()),
        }
    }

    fn hash(&self) -> [u8; 32] {
        *blake3::hash(&self.0).as_bytes()
    }
}

/// About how many bytes messages take as fields.
fn room(messages: &[Message]) -> usize {
    messages.iter().map(|message| message.text.len() + 48).sum()
}

impl SessionKey {
    /// The key of a decoded session. Metadata does not count: an app that stamps each export anew still names the
    /// same chat.
    pub fn of(session: &Session) -> Self {
        let mut hash = Canonical::new("atles session 1", 256 + room(&session.messages));
        hash.optional(session.user_id.as_deref());
        hash.optional(session.app.as_deref());
        hash.field(&session.session_id);
        for message in &session.messages {
            hash.field(message.role.as_str());
            hash.optional(message.name.as_deref());
            hash.field(&message.text);
            hash.optional(message.feedback.map(|rating| match rating {
                Rating::Up => "up",
                Rating::Down => "down",
            }));
        }
        SessionKey(hash.hash())
    }
}

impl Identity {
    /// The identity of a session.
    pub fn of(session: &Session) -> Self {
        let mut hash = Canonical::new("atles identity 1", 256);
        hash.optional(session.user_id.as_deref());
        hash.optional(session.app.as_deref());
        hash.field(&session.session_id);
        Identity(hash.hash())
    }
}

/// A hash over the first `count` messages, by which a revision recognises the session it continues.
pub(crate) fn opening(session: &Session, count: usize) -> u64 {
    let messages = session.messages.get(..count).unwrap_or(&session.messages);
    let mut hash = Canonical::new("atles opening 1", room(messages));
    for message in messages {
        hash.field(message.role.as_str());
        hash.field(&message.text);
    }
    let [a, b, c, d, e, f, g, h, ..] = hash.hash();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// The id that a chat gets which reuses another one's; `first` is the hash of its first message.
pub(crate) fn own_id(session_id: &str, first: u64) -> String {
    format!("{session_id}~{:08x}", first >> 32)
}

macro_rules! shown_as_hex {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}
shown_as_hex!(SessionKey);
shown_as_hex!(Identity);
