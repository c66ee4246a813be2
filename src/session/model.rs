use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Moment;

/// A finished chat, whatever format its file had.
///
/// Ids, names and texts come from outside: they are data, never paths, table names or commands.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Session {
    /// The chat app's own id. Where the format has none, the decoder derives one from the content.
    pub session_id: String,
    /// Whom the session belongs to; `None` where the app knows only one user.
    pub user_id: Option<String>,
    /// The chat app.
    pub app: Option<String>,
    /// The model that answered.
    pub model: Option<String>,
    /// When the chat began: as the file says, else the first message's time.
    pub start_time: Option<Moment>,
    /// When the chat ended: as the file says, else the last message's time.
    pub end_time: Option<Moment>,
    /// The app's own notes about the session, and the top-level fields no format knows.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// The turns, oldest first.
    pub messages: Vec<Message>,
}

/// One turn of a chat.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Message {
    /// The app's id of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Who speaks.
    pub role: Role,
    /// The speaker's name, where the app gives one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What was said. Parts that are not text stand as short marks such as `[image]`; empty beside tool calls.
    #[serde(rename = "content")]
    pub text: String,
    /// When it was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Moment>,
    /// What the user thought of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feedback: Option<Rating>,
    /// The app's notes about the message, tool calls, and fields no format knows.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

impl Message {
    /// A message that has a role and a text, and nothing else.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Message {
            id: None,
            role,
            name: None,
            text: text.into(),
            timestamp: None,
            feedback: None,
            metadata: Map::new(),
        }
    }
}

/// Who speaks in a [`Message`].
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The person.
    User,
    /// The model.
    Assistant,
    /// The app's instructions to the model (`developer` too).
    System,
    /// A tool's or function's reply.
    Tool,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 4] = [Role::User, Role::Assistant, Role::System, Role::Tool];

    /// The role's name in session files and in memory.db.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::System => "system",
            Role::Tool => "tool",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The user's thumb on a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rating {
    /// Liked.
    Up,
    /// Rejected.
    Down,
}

impl Session {
    /// The messages of one role with their indices.
    pub fn spoken_by(&self, role: Role) -> impl Iterator<Item = (usize, &Message)> {
        self.messages.iter().enumerate().filter(move |(_, m)| m.role == role)
    }

    /// Words of all messages, the measure the session log calls `tokens_processed`.
    pub fn words(&self) -> u64 {
        self.messages.iter().map(|message| words(&message.text)).sum()
    }
}
/// Counts where a word begins: in pieces whose count fits into a byte, so that the processor does many at once.
fn words(text: &str) -> u64 {
    const PIECE: usize = u8::MAX as usize;
    let bytes = text.as_bytes();
    let first = bytes.first().is_some_and(|byte| !byte.is_ascii_whitespace());
    let behind = bytes.get(1..).unwrap_or_default();
    let begins = |(before, byte): (&u8, &u8)| before.is_ascii_whitespace() & !byte.is_ascii_whitespace();
    let in_piece = |(before, behind): (&[u8], &[u8])| -> u8 {
        before.iter().zip(behind).map(|pair| u8::from(begins(pair))).sum()
    };
    u64::from(first) + bytes.chunks(PIECE).zip(behind.chunks(PIECE)).map(in_piece).map(u64::from).sum::<u64>()
}
