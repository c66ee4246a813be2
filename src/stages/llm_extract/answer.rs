//! What the model answers, and what of it holds.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::prompt::Part;
use crate::session::{Learned, Polarity, Role, Session};
use crate::stages::facts::is_exclusive;
use crate::text::words::words;

/// Entries of one answer that are looked at.
const ENTRIES_MAX: usize = 100;
/// Words that a quote has at least: one word proves nothing.
const QUOTE_WORDS: usize = 2;
/// Bytes of a value.
const VALUE_MAX: usize = 200;

/// An answer that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// It is not the JSON that was asked for.
    Unreadable,
    /// It is the schema, not an answer by it.
    Echo,
}

/// A fact or preference, proven by its quote. The message counts from the first message of the part that the user said,
/// so that it holds wherever the part stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Found {
    /// Index in [`Part::said`].
    nth: usize,
    quote: String,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Fact { attribute: String, value: String },
    Preference { polarity: Polarity, object: String },
}

/// What of an answer is proven, and how many entries were not.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Proven {
    pub found: Vec<Found>,
    pub unproven: usize,
}

/// The text of the model in a server's answer.
pub(super) fn content(body: &[u8]) -> Result<String, Broken> {
    let body: Value = serde_json::from_slice(body).map_err(|_| Broken::Unreadable)?;
    let text = body.pointer("/message/content").or_else(|| body.pointer("/choices/0/message/content"));
    Ok(text.and_then(Value::as_str).ok_or(Broken::Unreadable)?.to_owned())
}

/// Reads what the model wrote, and keeps what its quotes prove.
pub(super) fn read(text: &str, part: &Part, session: &Session) -> Result<Proven, Broken> {
    let answer = object(text).ok_or(Broken::Unreadable)?;
    let lists = [answer.get("facts"), answer.get("preferences")];
    if lists.iter().all(Option::is_none) {
        let echo = ["properties", "$schema", "required"].iter().any(|key| answer.get(key).is_some());
        return Err(if echo { Broken::Echo } else { Broken::Unreadable });
    }
    // The schema's own value for a list is an object with its `items`.
    if lists.iter().flatten().any(|list| list.get("items").is_some() || list.get("type").is_some()) {
        return Err(Broken::Echo);
    }
    let mut proven = Proven::default();
    for (list, read) in lists.into_iter().zip([fact as fn(&Value) -> Option<What>, preference]) {
        let entries = match list {
            None | Some(Value::Null) => continue,
            Some(Value::Array(entries)) => entries,
            Some(_) => return Err(Broken::Unreadable),
        };
        for entry in entries.iter().take(ENTRIES_MAX) {
            match read(entry).and_then(|what| prove(entry, what, part, session)) {
                Some(found) if !proven.found.contains(&found) => proven.found.push(found),
                Some(_) => {}
                None => proven.unproven += 1,
            }
        }
    }
    Ok(proven)
}

/// The JSON object in a text: behind what the model thought aloud, and out of the fence it put around it.
fn object(text: &str) -> Option<Value> {
    let text = text.rsplit_once("</think>").map_or(text, |(_, answer)| answer);
    let start = text.find('{')?;
    let end = text.rfind('}')?;
    let value: Value = serde_json::from_str(text.get(start..=end)?).ok()?;
    value.is_object().then_some(value)
}

fn fact(entry: &Value) -> Option<What> {
    let attribute: String = string(entry, "attribute")?.to_lowercase().replace([' ', '-'], "_");
    Some(What::Fact { attribute, value: string(entry, "value")?.to_owned() })
}

fn preference(entry: &Value) -> Option<What> {
    let polarity = match string(entry, "polarity")?.to_lowercase().as_str() {
        "for" => Polarity::For,
        "against" => Polarity::Against,
        _ => return None,
    };
    Some(What::Preference { polarity, object: string(entry, "object")?.to_lowercase() })
}

fn string<'a>(entry: &'a Value, key: &str) -> Option<&'a str> {
    let text = entry.get(key)?.as_str()?.trim();
    (!text.is_empty() && text.len() <= VALUE_MAX).then_some(text)
}

/// The entry, if its quote stands in the user's message it names, and the message speaks of its value.
fn prove(entry: &Value, what: What, part: &Part, session: &Session) -> Option<Found> {
    let number = usize::try_from(entry.get("message")?.as_u64()?).ok()?;
    let nth = part.said.iter().position(|said| *said == number)?;
    let quote = entry.get("quote")?.as_str()?.trim();
    let message = session.messages.get(number).filter(|message| message.role == Role::User)?;
    let verbatim = message.text.contains(quote) && words(quote).take(QUOTE_WORDS).count() == QUOTE_WORDS;
    let spoken_of = match &what {
        What::Fact { value, .. } => shares_a_word(value, &message.text),
        What::Preference { object, .. } => shares_a_word(object, &message.text),
    };
    (verbatim && spoken_of).then(|| Found { nth, quote: quote.to_owned(), what })
}

/// Whether a text holds a word of a value, or what one begins with: `cats` speaks of a `cat`.
fn shares_a_word(value: &str, text: &str) -> bool {
    let text = text.to_lowercase();
    let value = value.to_lowercase();
    let spoken: Vec<&str> = words(&text).map(|range| &text[range]).collect();
    words(&value).map(|range| &value[range]).any(|word| {
        spoken.iter().any(|other| {
            let same = word.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
            let shorter = word.chars().count().min(other.chars().count());
            same == shorter && (word == *other || shorter >= 3)
        })
    })
}

/// What is new beside what the rules found, as lists for a patch: facts and preferences.
#[derive(Debug, Default)]
pub(super) struct Additions {
    pub facts: Vec<Value>,
    pub preferences: Vec<Value>,
    /// Found by the rules, or in an earlier part, already.
    pub known: usize,
}

impl Additions {
    /// Adds what was found in a part.
    pub(super) fn add(&mut self, found: Vec<Found>, part: &Part, learned: &Learned, confidence: f64) {
        for Found { nth, quote, what } in found {
            let Some(number) = part.said.get(nth) else { continue };
            let quote = json!({"message": number, "text": quote});
            match what {
                What::Fact { attribute, value } => {
                    let same = |fact: (&str, &str)| fact.0 == attribute && is_same(fact.1, &value);
                    let by_rules = learned.facts.iter().any(|fact| same((&fact.attribute, &fact.value)));
                    if by_rules || self.facts.iter().any(|fact| same(pair(fact, "attribute", "value"))) {
                        self.known += 1;
                        continue;
                    }
                    self.facts.push(json!({"attribute": attribute, "value": value, "confidence": confidence,
                        "exclusive": is_exclusive(&attribute), "quote": quote}));
                }
                What::Preference { polarity, object } => {
                    let same = |it: (&str, &str)| it.0 == polarity.as_str() && is_same(it.1, &object);
                    let by_rules =
                        learned.preferences.iter().any(|it| same((it.polarity.as_str(), &it.object)));
                    if by_rules || self.preferences.iter().any(|it| same(pair(it, "polarity", "object"))) {
                        self.known += 1;
                        continue;
                    }
                    let kind = if polarity == Polarity::For { "like" } else { "dislike" };
                    self.preferences.push(json!({"kind": kind, "polarity": polarity, "object": object,
                        "strength": confidence, "quote": quote}));
                }
            }
        }
    }
}

fn pair<'a>(entry: &'a Value, first: &str, second: &str) -> (&'a str, &'a str) {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
    (text(first), text(second))
}

/// Whether two values say the same: one is the other with more words around it (`Bern`, `Bern, Switzerland`).
fn is_same(one: &str, other: &str) -> bool {
    let read = |text: &str| -> Vec<String> {
        let text = text.to_lowercase();
        words(&text).map(|range| text[range].to_owned()).filter(|word| !ARTICLES.contains(&&**word)).collect()
    };
    let (one, other) = (read(one), read(other));
    let within = |short: &[String], long: &[String]| {
        !short.is_empty() && long.windows(short.len()).any(|window| window == short)
    };
    within(&one, &other) || within(&other, &one)
}

const ARTICLES: [&str; 4] = ["a", "an", "the", "my"];
