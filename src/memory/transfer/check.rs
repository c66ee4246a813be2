//! Whether a line can be stored. What comes in may have been written by anybody.

use serde::Deserialize;
use serde_json::Value;

use super::record::{QuoteRecord, SessionRecord, VERSION};
use crate::memory::MESSAGES_MAX;
use crate::session::Moment;

#[derive(Deserialize)]
struct Topic {
    #[serde(rename = "name")]
    _name: String,
    #[serde(rename = "score")]
    _score: f64,
    #[serde(rename = "messages")]
    _messages: Vec<usize>,
}

#[derive(Deserialize)]
struct KeyPhrase {
    #[serde(rename = "text")]
    _text: String,
    #[serde(rename = "score")]
    _score: f64,
}

type Counts = std::collections::BTreeMap<String, u32>;

/// Reads one line of an export.
///
/// # Errors
/// Says what is wrong with it.
pub fn parse(line: &[u8]) -> Result<SessionRecord, String> {
    let record: SessionRecord = serde_json::from_slice(line).map_err(|problem| {
        // Where in the line; which line it is, the caller knows.
        problem.to_string().replace("line 1 column", "column")
    })?;
    check(&record)?;
    Ok(record)
}

fn check(record: &SessionRecord) -> Result<(), String> {
    if record.atles_memory != VERSION {
        return Err(format!("version {} is not known, only {VERSION}", record.atles_memory));
    }
    key(&record.key).ok_or("`key` is not 64 hex digits")?;
    for (what, count) in [
        ("messages", record.messages.len()),
        ("facts", record.facts.len()),
        ("preferences", record.preferences.len()),
        ("examples", record.examples.len()),
    ] {
        if count > MESSAGES_MAX {
            return Err(format!("{count} {what} are more than the {MESSAGES_MAX} of one session"));
        }
    }
    if i64::try_from(record.items).is_err() || i64::try_from(record.message_count).is_err() {
        return Err("`items` or `message_count` is too large".into());
    }
    let times = [("start_time", &record.start_time), ("end_time", &record.end_time)];
    for (name, text) in times.into_iter().filter_map(|(name, time)| Some((name, time.as_ref()?))) {
        time(name, text)?;
    }
    time("learned_at", &record.learned_at)?;
    for (number, message) in record.messages.iter().enumerate() {
        if let Some(text) = &message.timestamp {
            time(&format!("messages[{number}].timestamp"), text)?;
        }
        object(&format!("messages[{number}].metadata"), message.metadata.as_ref())?;
    }
    for (number, fact) in record.facts.iter().enumerate() {
        statement(&format!("facts[{number}]"), &fact.quote, fact.confidence, &fact.said_at, record)?;
    }
    for (number, it) in record.preferences.iter().enumerate() {
        statement(&format!("preferences[{number}]"), &it.quote, it.strength, &it.said_at, record)?;
    }
    shape::<Vec<Topic>>("topics", record.topics.as_ref())?;
    shape::<Vec<KeyPhrase>>("key_phrases", record.key_phrases.as_ref())?;
    shape::<Counts>("redactions", record.redactions.as_ref())?;
    object("patterns", record.patterns.as_ref())?;
    object("metadata", record.metadata.as_ref())?;
    object("extra", record.extra.as_ref())
}

/// The 32 bytes of a key.
pub(super) fn key(hex: &str) -> Option<[u8; 32]> {
    let (pairs, []) = hex.as_bytes().as_chunks::<2>() else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |pair: &[u8; 2]| u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok();
    pairs.iter().map(byte).collect::<Option<Vec<u8>>>()?.try_into().ok()
}

fn time(name: &str, text: &str) -> Result<(), String> {
    Moment::parse(text).map(drop).ok_or_else(|| format!("`{name}` is no time"))
}

/// A statement counts only with words that prove it, here as everywhere.
fn statement(
    name: &str,
    quote: &QuoteRecord,
    share: f64,
    said_at: &str,
    record: &SessionRecord,
) -> Result<(), String> {
    if !(0.0..=1.0).contains(&share) {
        return Err(format!("`{name}` is not sure between 0 and 1"));
    }
    time(&format!("{name}.said_at"), said_at)?;
    let Some(message) = record.messages.get(quote.message) else {
        return Err(format!("`{name}` is proven by message {}, which is not there", quote.message));
    };
    let not_kept = message.content.is_empty() && quote.text.is_empty();
    if !not_kept && message.content.get(quote.start..quote.end) != Some(quote.text.as_str()) {
        return Err(format!("the words that prove `{name}` do not stand in message {}", quote.message));
    }
    Ok(())
}

fn object(name: &str, value: Option<&Value>) -> Result<(), String> {
    match value {
        Some(value) if !value.is_object() => Err(format!("`{name}` is no object")),
        _ => Ok(()),
    }
}

fn shape<T: for<'a> Deserialize<'a>>(name: &str, value: Option<&Value>) -> Result<(), String> {
    let fits = value.is_none_or(|value| T::deserialize(value).is_ok());
    if fits { Ok(()) } else { Err(format!("`{name}` has not the form of an export")) }
}
