use std::fmt;

use super::{Rating, Session};

/// BLAKE3 of a session's canonical content: the same chat under any file name has the same key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(pub [u8; 32]);

/// Who a session is, whatever its length: BLAKE3 over user, app and session id. A revision keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity(pub [u8; 32]);

/// Hashes length-prefixed fields, so that no two different sessions read the same.
struct Canonical(blake3::Hasher);

impl Canonical {
    fn new(domain: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(domain.as_bytes());
        Canonical(hasher)
    }

    fn field(&mut self, text: &str) {
        self.0.update(&(text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
    }

    fn optional(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.field(text),
            None => drop(self.0.update(&u64::MAX.to_le_bytes())),
        }
    }
}

impl SessionKey {
    /// The key of a decoded session. Metadata does not count: an app that stamps each export anew still names the
    /// same chat.
    pub fn of(session: &Session) -> Self {
        let mut hash = Canonical::new("atles session 1");
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
        SessionKey(*hash.0.finalize().as_bytes())
    }
}

impl Identity {
    /// The identity of a session.
    pub fn of(session: &Session) -> Self {
        let mut hash = Canonical::new("atles identity 1");
        hash.optional(session.user_id.as_deref());
        hash.optional(session.app.as_deref());
        hash.field(&session.session_id);
        Identity(*hash.0.finalize().as_bytes())
    }
}

/// A hash over the first `count` messages, by which a revision recognises the session it continues.
pub(crate) fn opening(session: &Session, count: usize) -> u64 {
    let mut hash = Canonical::new("atles opening 1");
    for message in session.messages.iter().take(count) {
        hash.field(message.role.as_str());
        hash.field(&message.text);
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hash.0.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first)
}

macro_rules! shown_as_hex {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
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
