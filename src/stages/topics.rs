//! `topics`: what a session is about, by a taxonomy of words and regexes, and by the phrases that stand out in it.

mod key_phrases;
mod taxonomy;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pipeline::{Problem, Services, Stage, StageConfig, StageContext, StageError, Verdict};
use crate::session::{Envelope, Role, Session};
use crate::text::language;
use crate::text::reading::{Reading, Readings};
use crate::text::words::Run;
use taxonomy::Taxonomy;

/// What a message of the user counts, an assistant's counting 1.
const USER: f64 = 2.0;

/// Finds what a session is about: topics of a taxonomy, each with its share and the messages that prove it, and the
/// phrases that stand out. Also records the language of the user's words.
///
/// Reads what the user and the assistant said; instructions of the app and replies of tools do not count. A topic's
/// score is its share of the evidence of all topics found: every word weighs less the more topics list it, repeating
/// it within a message counts ever less, and a message of the user counts twice as much as one of the assistant.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TopicsSettings {
    /// The taxonomy. Topics given here take the place of all default ones; `topic = []` looks for none.
    pub topic: Vec<TopicRule>,
    /// So many different words must be found for a topic; a weak word counts as half, a strong one or a regex is
    /// enough alone. Default 2.
    pub min_evidence: u32,
    /// A topic with a smaller share of the session's evidence is left out, 0 to 1. Default 0.1.
    pub min_score: f64,
    /// Most topics a session is given. Default 5.
    pub max_topics: usize,
    /// Whether phrases of one to three words that stand out are recorded too. Default true.
    pub key_phrases: bool,
    /// Most key phrases a session is given. Default 8.
    pub max_key_phrases: usize,
}

/// One topic of the taxonomy: a `[[stage.topic]]`.
///
/// Words and phrases are found as whole words whatever their case ("class" is not found in "classic"); in a phrase, one
/// blank stands between two words. A `*` at the end lets the word go on: `recipe*` also finds "recipes".
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TopicRule {
    /// Its name, as memory and logs give it.
    pub name: String,
    /// Words and phrases that are evidence, as in `["oven", "tablespoon*", "olive oil"]`.
    pub words: Vec<String>,
    /// Words that many talks hold anyway, as in `["dinner", "meal"]`: each counts half.
    pub weak: Vec<String>,
    /// Words and phrases that prove the topic alone, as in `["recipe", "sourdough"]`.
    pub strong: Vec<String>,
    /// Regular expressions that prove the topic alone, matched against each whole message. `(?-u:\b)` is much quicker
    /// than `\b` where a text has letters beyond ASCII.
    pub regex: Vec<String>,
    /// Whether words inside code count. Default false.
    pub code: bool,
}

/// The default taxonomy, as it stands in the default pipeline.toml too.
const DEFAULT_TAXONOMY: &str = include_str!("topics.default.toml");

/// How the default taxonomy is written: as in pipeline.toml, but with one stage.
#[derive(Deserialize)]
struct Fragment {
    stage: FragmentStage,
}

#[derive(Deserialize)]
struct FragmentStage {
    topic: Vec<TopicRule>,
}

fn default_taxonomy() -> Result<Vec<TopicRule>, toml::de::Error> {
    toml::from_str(DEFAULT_TAXONOMY).map(|fragment: Fragment| fragment.stage.topic)
}

impl Default for TopicsSettings {
    fn default() -> Self {
        TopicsSettings {
            // The text is part of the program, and a test reads it.
            topic: default_taxonomy().unwrap_or_default(),
            min_evidence: 2,
            min_score: 0.1,
            max_topics: 5,
            key_phrases: true,
            max_key_phrases: 8,
        }
    }
}

impl StageConfig for TopicsSettings {
    const KIND: &'static str = "topics";

    fn build(self, _: &Services) -> Result<Box<dyn Stage>, Vec<Problem>> {
        let mut problems = Vec::new();
        if !(0.0..=1.0).contains(&self.min_score) {
            problems.push(Problem::new("min_score", "is a share").hint("a number from 0 to 1"));
        }
        match Taxonomy::compile(&self.topic) {
            Ok(taxonomy) if problems.is_empty() => Ok(Box::new(Topics { taxonomy, settings: self })),
            Ok(_) => Err(problems),
            Err(more) => {
                problems.extend(more);
                Err(problems)
            }
        }
    }
}

struct Topics {
    taxonomy: Taxonomy,
    settings: TopicsSettings,
}

#[async_trait]
impl Stage for Topics {
    async fn process(&self, envelope: &mut Envelope, _: &StageContext<'_>) -> Result<Verdict, StageError> {
        let Envelope { session, learned, readings, .. } = envelope;
        if learned.language.is_none() {
            learned.language = language::language(session);
        }
        let read = read(session, readings);
        let turns = turns(session, &read);
        let mut tally = self.taxonomy.tally();
        for turn in &turns {
            tally.add(turn, if turn.by_user { USER } else { 1.0 });
        }
        let settings = &self.settings;
        learned.topics = tally.topics(settings.min_evidence, settings.min_score, settings.max_topics);
        if settings.key_phrases {
            learned.key_phrases = key_phrases::key_phrases(&turns, settings.max_key_phrases);
        }
        let (topics, phrases) = (learned.topics.len(), learned.key_phrases.len());
        envelope.note = Some(format!("{topics} topics, {phrases} key phrases"));
        Ok(Verdict::Continue)
    }
}

/// What the user or the assistant said.
struct Turn<'a> {
    /// Index of the message.
    index: usize,
    by_user: bool,
    /// The speaker's name, in lower case.
    name: Option<String>,
    written: &'a str,
    /// The same in lower case, every letter at the same offset.
    lower: &'a str,
    /// The runs of letters and digits in it.
    runs: &'a [Run],
    /// Where code is.
    code: &'a [Range<usize>],
}

fn is_turn(role: Role) -> bool {
    matches!(role, Role::User | Role::Assistant)
}

/// The readings of all turns.
fn read(session: &Session, readings: &Readings) -> Vec<Arc<Reading>> {
    let turns = session.messages.iter().enumerate().filter(|(_, message)| is_turn(message.role));
    turns.map(|(index, message)| readings.of(index, &message.text)).collect()
}

fn turns<'a>(session: &'a Session, readings: &'a [Arc<Reading>]) -> Vec<Turn<'a>> {
    let turns = session.messages.iter().enumerate().filter(|(_, message)| is_turn(message.role));
    turns
        .zip(readings)
        .map(|((index, message), reading)| Turn {
            index,
            by_user: message.role == Role::User,
            name: message.name.as_ref().map(|name| name.to_lowercase()),
            written: &message.text,
            lower: &reading.lower,
            runs: &reading.runs,
            code: &reading.code,
        })
        .collect()
}

#[cfg(test)]
mod tests;
