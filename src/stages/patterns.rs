//! `patterns`: how the user writes and what they think of the answers.

mod complexity;
mod feedback;
mod vocabulary;

use std::collections::BTreeMap;
use std::ops::Range;

use async_trait::async_trait;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pipeline::{Problem, Services, Stage, StageConfig, StageContext, StageError, Verdict};
use crate::session::{Envelope, Patterns, Role, Session};
use crate::text::prose::is_question;
use crate::text::reading::{Reading, Readings};
use crate::text::stop_words::is_stop_word;
use crate::text::word_hash::WordId;
use complexity::Complexity;
use feedback::{Judge, Said};

/// So many words at the beginning of two turns are compared.
const COMPARED: u32 = 60;

/// Describes the style of the user in this session: length of messages, shares of messages with questions, code and
/// courtesy, complexity, the hours they write at, and the turns in which they judge the assistant.
///
/// Only the user's own prose counts; code, quotes and pastes do not. Complexity and feedback are read in English only.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PatternsSettings {
    /// Whether turns that judge the assistant's answer are recorded: thanks and praise, corrections, rejections,
    /// rephrased requests, and requests for clarification. Default true.
    pub feedback: bool,
    /// From fewer words of the user no complexity is told. Default 30.
    pub min_words: u32,
}

impl Default for PatternsSettings {
    fn default() -> Self {
        PatternsSettings { feedback: true, min_words: 30 }
    }
}

impl StageConfig for PatternsSettings {
    const KIND: &'static str = "patterns";

    fn build(self, _: &Services) -> Result<Box<dyn Stage>, Vec<Problem>> {
        let judge = if self.feedback {
            Some(Judge::new().map_err(|error| vec![Problem::new("feedback", error.to_string())])?)
        } else {
            None
        };
        Ok(Box::new(PatternsStage { judge, min_words: self.min_words, zone: None }))
    }
}

struct PatternsStage {
    judge: Option<Judge>,
    min_words: u32,
    /// The zone in which hours are told; `None` for the machine's.
    zone: Option<TimeZone>,
}

#[async_trait]
impl Stage for PatternsStage {
    async fn process(&self, envelope: &mut Envelope, _: &StageContext<'_>) -> Result<Verdict, StageError> {
        let english = envelope.learned.language.as_deref().is_none_or(|language| language == "eng");
        let patterns = self.read(&envelope.session, &envelope.readings, english);
        envelope.note = Some(format!(
            "{} messages of the user, {} judgements",
            patterns.messages,
            patterns.feedback.len()
        ));
        envelope.learned.patterns = Some(patterns);
        Ok(Verdict::Continue)
    }
}

impl PatternsStage {
    fn read(&self, session: &Session, readings: &Readings, english: bool) -> Patterns {
        let mut words = 0;
        let (mut asking, mut coding, mut polite) = (0, 0, 0);
        let mut patterns = Patterns { active_hours: self.hours(session), ..Patterns::default() };
        let mut complexity = Complexity::default();
        let mut judging = self.judge.as_ref().filter(|_| english).map(|judge| judge.listen());
        for (index, message) in session.messages.iter().enumerate() {
            let text = message.text.as_str();
            if message.role == Role::Assistant
                && let Some(judging) = &mut judging
            {
                judging.answered(text);
            }
            if message.role != Role::User {
                continue;
            }
            let reading = readings.of(index, text);
            let said = reading.sentences(text);
            let prose = Prose::read(&reading, said);
            patterns.messages += 1;
            words += prose.words;
            asking += u32::from(said.iter().any(|sentence| is_question(&text[sentence.clone()])));
            coding += u32::from(!reading.code.is_empty());
            polite += u32::from(prose.polite);
            complexity.add(&prose, said.len());
            if let Some(judging) = &mut judging {
                patterns.feedback.extend(judging.replied(
                    index,
                    Said { text, lower: &reading.lower, sentences: said },
                    prose.telling,
                ));
            }
        }
        let share = |count: u32| f64::from(count) / patterns.messages.max(1) as f64;
        patterns.mean_words = share(words);
        patterns.question_share = share(asking);
        patterns.code_share = share(coding);
        patterns.politeness = share(polite);
        patterns.complexity =
            complexity.level().filter(|_| english && words >= self.min_words.max(1)).map(str::to_owned);
        patterns
    }

    fn hours(&self, session: &Session) -> BTreeMap<i8, u32> {
        let mut hours = BTreeMap::new();
        let mut zone = self.zone.clone();
        for moment in session.spoken_by(Role::User).filter_map(|(_, message)| message.timestamp) {
            let zone = zone.get_or_insert_with(TimeZone::system);
            *hours.entry(moment.local_hour(zone)).or_insert(0) += 1;
        }
        hours
    }
}

/// What the words of one message tell.
#[derive(Default)]
struct Prose {
    words: u32,
    /// Words of eight letters or more.
    long: u32,
    /// Words that people use who know a field.
    terms: u32,
    polite: bool,
    /// Sentences that say the user is new to the matter.
    novice: u32,
    /// Of the first words, those that are no function words, each once, sorted.
    telling: Vec<WordId>,
}

impl Prose {
    /// Reads the sentences of a message.
    fn read(reading: &Reading, said: &[Range<usize>]) -> Self {
        let lower = reading.lower.as_str();
        let mut prose = Prose::default();
        let mut hinted = None;
        let mut sentences = said.iter().peekable();
        let bytes = lower.as_bytes();
        for run in &reading.runs {
            let place = run.range();
            while sentences.next_if(|sentence| sentence.end <= place.start).is_some() {}
            let spoken = sentences.peek().filter(|sentence| sentence.start <= place.start);
            let Some(sentence) = spoken else { continue };
            // What stands behind an apostrophe belongs to the word before it.
            let tail = match bytes[..place.start].last() {
                Some(byte) if byte.is_ascii() => *byte == b'\'',
                _ => bytes[..place.start].ends_with("’".as_bytes()),
            };
            prose.words += u32::from(!tail);
            if prose.words <= COMPARED && !is_stop_word(run.id) {
                prose.telling.push(run.id);
            }
            prose.long += u32::from(place.len() >= 8);
            match vocabulary::meaning(run.id) {
                Some(vocabulary::Meaning::Polite) => prose.polite = true,
                Some(vocabulary::Meaning::Term) => prose.terms += 1,
                // Only a sentence with such a word is worth a closer look, and once.
                Some(vocabulary::Meaning::Hint) if hinted.replace(sentence.start) != Some(sentence.start) => {
                    prose.novice += u32::from(vocabulary::is_novice(&lower[(*sentence).clone()]));
                }
                Some(vocabulary::Meaning::Hint) => {}
                None => {}
            }
        }
        prose.telling.sort_unstable();
        prose.telling.dedup();
        prose
    }
}

#[cfg(test)]
mod tests;
