//! The entries of a patch, as given and as accepted.

use serde::Deserialize;
use serde_json::Value;

use crate::session::{Fact, Polarity, Preference, Quote, Session, Topic};

/// Characters of a fact's value, a preference's object or a topic's name.
const MAX_VALUE: usize = 500;
/// Bytes of the name of an attribute or a kind.
const MAX_NAME: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenQuote {
    message: usize,
    text: String,
    #[serde(default)]
    start: Option<usize>,
    #[serde(default)]
    end: Option<usize>,
}

/// The quote, if its words stand in the message it names: at the offsets given, else where they come first.
fn quote(given: GivenQuote, session: &Session) -> Option<Quote> {
    let GivenQuote { message, text, start, end } = given;
    let said = session.messages.get(message)?.text.as_str();
    if text.trim().is_empty() {
        return None;
    }
    let at = start
        .filter(|start| said.get(*start..).is_some_and(|rest| rest.starts_with(&text)))
        .filter(|start| end.is_none_or(|end| end == start + text.len()))
        .or_else(|| said.find(&text))?;
    Some(Quote { message, start: at, end: at + text.len(), text })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenFact {
    attribute: String,
    value: String,
    #[serde(default)]
    exclusive: bool,
    #[serde(default = "middling")]
    confidence: f64,
    quote: GivenQuote,
}

/// The fact, if it is valid and its quote verbatim.
pub(super) fn fact(value: Value, session: &Session) -> Option<Fact> {
    let given = GivenFact::deserialize(value).ok()?;
    let GivenFact { attribute, value, exclusive, confidence, quote: words } = given;
    (is_name(&attribute) && is_value(&value) && is_share(confidence)).then_some(())?;
    Some(Fact { attribute, value, exclusive, confidence, quote: quote(words, session)? })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenPreference {
    kind: String,
    polarity: Polarity,
    object: String,
    #[serde(default = "middling")]
    strength: f64,
    quote: GivenQuote,
}

/// The preference, if it is valid and its quote verbatim.
pub(super) fn preference(value: Value, session: &Session) -> Option<Preference> {
    let given = GivenPreference::deserialize(value).ok()?;
    let GivenPreference { kind, polarity, object, strength, quote: words } = given;
    (is_name(&kind) && is_value(&object) && is_share(strength)).then_some(())?;
    Some(Preference { kind, polarity, object, strength, quote: quote(words, session)? })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenTopic {
    name: String,
    #[serde(default = "middling")]
    score: f64,
    messages: Vec<usize>,
}

/// The topic, if it is valid and proven by messages there are.
pub(super) fn topic(value: Value, session: &Session) -> Option<Topic> {
    let GivenTopic { name, score, mut messages } = GivenTopic::deserialize(value).ok()?;
    messages.sort_unstable();
    messages.dedup();
    let proven = messages.last().is_some_and(|last| *last < session.messages.len());
    (is_value(&name) && is_share(score) && proven).then_some(Topic { name, score, messages })
}

/// What `confidence`, `strength` and `score` are when they are not given.
fn middling() -> f64 {
    0.5
}

fn is_share(number: f64) -> bool {
    (0.0..=1.0).contains(&number)
}

fn is_value(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().nth(MAX_VALUE).is_none()
}

/// Names such as `favourite.colour`: lower-case ASCII letters, digits, `_` and `.`, a letter first.
fn is_name(text: &str) -> bool {
    let rest = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_' || c == b'.';
    text.len() <= MAX_NAME && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.bytes().all(rest)
}
