use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::session::{Polarity, Rating, Role};

/// The version of the lines.
pub const VERSION: u32 = 1;

/// A session and all that was learned from it. Times are ISO 8601, without a zone where the app gave none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionRecord {
    /// The version of the line; marks it as ours.
    pub atles_memory: u32,
    /// The chat app's id.
    pub session_id: String,
    /// Whose it is; absent for apps that know only one user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The chat app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// The model that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// BLAKE3 of the content as it was dropped, 64 hex digits.
    pub key: String,
    /// Name of the file it came in.
    pub file: String,
    /// The format it was read as.
    pub format: String,
    /// When the chat began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// When it was learned.
    pub learned_at: String,
    /// `false`: only the marks of its training examples are kept.
    pub remembered: bool,
    /// Memory items it created, earlier revisions included.
    pub items: u64,
    /// How many messages it has, kept or not.
    pub message_count: u64,
    /// ISO 639-3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// A list of `{name, score, messages}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topics: Option<Value>,
    /// A list of `{text, score}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_phrases: Option<Value>,
    /// How the user writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patterns: Option<Value>,
    /// Values replaced, by rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redactions: Option<Value>,
    /// The app's notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    /// What `exec` and `http` stages added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Value>,
    /// The turns, oldest first.
    pub messages: Vec<MessageRecord>,
    /// Facts, in the order they were found.
    pub facts: Vec<FactRecord>,
    /// Preferences, in the order they were found.
    pub preferences: Vec<PreferenceRecord>,
    /// By these later near-duplicates of its training examples are recognised.
    pub examples: Vec<ExampleMark>,
}

/// A turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageRecord {
    /// Who speaks.
    pub role: Role,
    /// What was said; empty where the words of this role are not kept.
    pub content: String,
    /// The app's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The speaker's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// What the user thought of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<Rating>,
    /// The app's notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
}

/// The words that prove a statement: bytes `start..end` of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuoteRecord {
    /// Index of the message.
    pub message: usize,
    /// The first byte.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
    /// The words; empty where the message's are not kept.
    pub text: String,
}

/// A fact, as it was stated once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactRecord {
    /// As in `lives_in`.
    pub attribute: String,
    /// As said.
    pub value: String,
    /// Whether a later value takes its place.
    pub exclusive: bool,
    /// 0 to 1.
    pub confidence: f64,
    /// When it was said.
    pub said_at: String,
    /// The proof.
    pub quote: QuoteRecord,
}

/// A preference, as it was stated once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreferenceRecord {
    /// The family of the statement.
    pub kind: String,
    /// For or against.
    pub polarity: Polarity,
    /// What it is about.
    pub object: String,
    /// 0 to 1.
    pub strength: f64,
    /// When it was said.
    pub said_at: String,
    /// The proof.
    pub quote: QuoteRecord,
}

/// The mark of a training example: 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExampleMark(pub u64);

impl From<ExampleMark> for String {
    fn from(mark: ExampleMark) -> String {
        format!("{:016x}", mark.0)
    }
}

impl TryFrom<String> for ExampleMark {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mark = digits.then(|| u64::from_str_radix(&text, 16).ok()).flatten();
        mark.map(ExampleMark).ok_or("the mark of an example has 16 hex digits")
    }
}
