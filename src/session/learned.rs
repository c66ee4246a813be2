use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What the stages found in one session. Filled by the extracting stages, stored by the effect stages, shown to
/// `when` expressions as `learned` and to `exec` and `http` programs in the envelope.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Learned {
    /// Language of the user's words as an ISO 639-3 code, where enough was said to tell.
    pub language: Option<String>,
    /// How many values each redaction rule replaced.
    pub redactions: BTreeMap<String, u32>,
    /// Topics that the taxonomy found, best first.
    pub topics: Vec<Topic>,
    /// Phrases that stand out in this session, best first.
    pub key_phrases: Vec<KeyPhrase>,
    /// What the user said they like, dislike or want of the assistant.
    pub preferences: Vec<Preference>,
    /// The style of the user in this session.
    pub patterns: Option<Patterns>,
    /// What the user said of themselves.
    pub facts: Vec<Fact>,
    /// What `exec` and `http` stages added, by stage name.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

/// A verbatim piece of a message: the proof of what was learned. `start..end` are byte offsets into the text of
/// message number `message` as it stands after redaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// Index of the message in the session.
    pub message: usize,
    /// Byte offset of the first byte.
    pub start: usize,
    /// Byte offset behind the last byte.
    pub end: usize,
    /// The words themselves.
    pub text: String,
}

/// One topic of the taxonomy in `pipeline.toml`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Topic {
    /// Its name in the taxonomy.
    pub name: String,
    /// Share of the session's topic evidence, 0 to 1.
    pub score: f64,
    /// Indices of the messages that prove it.
    pub messages: Vec<usize>,
}

/// A phrase of one to three words that stands out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeyPhrase {
    /// The phrase, lower case.
    pub text: String,
    /// Weight within the session, higher is more telling.
    pub score: f64,
}

/// Whether a preference is for or against its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Polarity {
    /// Liked, wanted, always.
    For,
    /// Disliked, avoided, never.
    Against,
}

impl Polarity {
    /// The name in memory.db.
    pub fn as_str(self) -> &'static str {
        match self {
            Polarity::For => "for",
            Polarity::Against => "against",
        }
    }
}

/// Something the user stated, or keeps asking for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Preference {
    /// The family of the statement: `like`, `avoid`, `instruction`, `diet`, … or `signal` for the ATLES signals.
    pub kind: String,
    /// For or against.
    pub polarity: Polarity,
    /// What it is about, normalised: lower case, no leading article; for a signal its name.
    pub object: String,
    /// How sure the rule is, 0 to 1.
    pub strength: f64,
    /// The words that prove it.
    pub quote: Quote,
}

/// How the user writes, in this session.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Patterns {
    /// Messages of the user.
    pub messages: usize,
    /// Mean words per user message.
    pub mean_words: f64,
    /// Share of user messages that ask something, 0 to 1.
    pub question_share: f64,
    /// Share of user messages that carry code, 0 to 1.
    pub code_share: f64,
    /// Share of user messages with please, thanks and the like, 0 to 1.
    pub politeness: f64,
    /// `beginner`, `intermediate` or `advanced`; `None` where too little was said.
    pub complexity: Option<String>,
    /// Turns in which the user judged the assistant.
    pub feedback: Vec<Feedback>,
    /// User messages by hour of the day, where messages carry times.
    pub active_hours: BTreeMap<i8, u32>,
}

/// A user turn that judges the assistant's turn before it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Feedback {
    /// `positive`, `correction`, `rejection`, `rephrase` or `clarification`.
    pub kind: String,
    /// The words that prove it.
    pub quote: Quote,
}

/// Something the user said of themselves.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fact {
    /// What is stated: `name`, `lives_in`, `works_as`, `works_at`, `family.sister`, `pet`, `uses`, `favourite.colour`, …
    pub attribute: String,
    /// The value, as said.
    pub value: String,
    /// Whether a later value of the same attribute takes this one's place (a home), or both hold (two hobbies).
    pub exclusive: bool,
    /// How sure the rule is, 0 to 1.
    pub confidence: f64,
    /// The words that prove it.
    pub quote: Quote,
}
