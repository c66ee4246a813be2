use serde::{Deserialize, Serialize};

use crate::session::{Identity, Role, SpokenTurn};

/// A session in the training set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetLine {
    /// Names the session across its revisions, hexadecimal.
    pub identity: String,
    /// Names this content of it, hexadecimal.
    pub key: String,
    /// The chat app's id.
    pub session_id: String,
    /// Stem of the names of its log and training file.
    pub stem: String,
    /// When it was learned, milliseconds since 1970.
    pub at: i64,
    /// Answers worth learning. None: the session is not in the set any more.
    pub answers: usize,
    /// The chat: questions and answers in turn.
    pub chat: Vec<SpokenTurn>,
}

impl SetLine {
    /// The identity as such; `None` where the line was written by someone else.
    pub(crate) fn who(&self) -> Option<Identity> {
        let hex = self.identity.as_bytes();
        if hex.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Identity(bytes))
    }

    /// The answers worth learning with their questions, and where in the chat the answer stands.
    pub(crate) fn learned(&self) -> impl Iterator<Item = (usize, &str, &str)> {
        self.chat.iter().enumerate().filter(|(_, turn)| turn.learn && turn.role == Role::Assistant).map(
            |(at, turn)| {
                let question = at.checked_sub(1).and_then(|before| self.chat.get(before));
                (at, question.map_or("", |turn| turn.text.as_str()), turn.text.as_str())
            },
        )
    }
}
