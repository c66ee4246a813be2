use serde::Serialize;

use crate::session::Role;

/// Something remembered that matters to a question, and where it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hit {
    /// The chat app's id of the session.
    pub session_id: String,
    /// The chat app's id of the message, where it gave one.
    pub message_id: Option<String>,
    /// Index of the message in the session.
    pub message_index: u32,
    /// A turn, or a statement in one.
    pub kind: Kind,
    /// Whose memory it is; absent for apps that know only one user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Who said it.
    pub role: Role,
    /// By which name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
    /// When it was said, ISO 8601; without a zone where the app gave none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The words themselves: bytes `span` of the message.
    pub text: String,
    /// Where the words stand in the message.
    pub span: Span,
    /// Higher is better; comparable within one answer only.
    pub score: f64,
    /// What is stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<Statement>,
    /// What the score is made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<Parts>,
    /// When it was said, in milliseconds since 1970.
    #[serde(skip)]
    pub(crate) at_ms: i64,
    /// Row of the message.
    #[serde(skip)]
    pub(crate) row: i64,
}

/// What a [`Hit`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// What was said.
    Turn,
    /// Something the user said of themselves, that holds now.
    Fact,
    /// What the user wants or avoids now.
    Preference,
}

/// Bytes `start..end` of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
}

/// What a fact or preference states.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Statement {
    /// A fact.
    Fact {
        /// As in `lives_in`.
        attribute: String,
        /// As said.
        value: String,
    },
    /// A preference.
    Preference {
        /// What it is about.
        object: String,
        /// `for` or `against`.
        polarity: String,
        /// 0 to 1.
        strength: f64,
    },
}

/// What a score is made of: `(turn + neighbours + session + meaning + statement) × time × recency ×
/// role`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Parts {
    /// BM25 of the turn's own words and its speaker's name.
    pub turn: f64,
    /// From the turns beside it.
    pub neighbours: f64,
    /// From the whole session.
    pub session: f64,
    /// From standing close to the question in meaning.
    #[serde(skip_serializing_if = "is_nothing")]
    pub meaning: f64,
    /// What the statement adds: its own words, or that it answers a wish for advice.
    pub statement: f64,
    /// Factor for being said at the time asked about.
    pub time: f64,
    /// Factor for being recent.
    pub recency: f64,
    /// Factor for who said it.
    pub role: f64,
}

/// Without the vectors of words the lane is not there, and not told of.
fn is_nothing(part: &f64) -> bool {
    *part == 0.0
}

impl Parts {
    /// The score.
    pub(super) fn total(&self) -> f64 {
        let sum = self.turn + self.neighbours + self.session + self.meaning + self.statement;
        sum * self.time * self.recency * self.role
    }
}
