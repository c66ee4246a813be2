//! `training_data`: questions and answers of the session as lines that a model can be trained on.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use regex::RegexSet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pipeline::{Problem, Services, Stage, StageConfig, StageContext, StageError, Verdict};
use crate::session::{Effect, Envelope, Learned, Rating, Role, Session};
use crate::text::reading::Readings;
use crate::training::examples::{Exchange, Format, Turn, exchanges};
use crate::training::{OwnExamples, Said, SeenExamples, quality, signature_of};

/// Writes each good answer of the assistant, with what led to it, as a line of training data.
///
/// Skipped, and counted by reason: answers without a question, empty answers (nothing but tool calls or marks such
/// as `[image]`), error messages and bare stack traces, refusals, answers the user rejected (a thumb down, or the
/// next turn corrects or rejects them, which the `patterns` stage finds), examples that redaction hollowed out or
/// that held a private key, examples too short or too long, and near-duplicates within the session and over the
/// whole corpus.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingDataSettings {
    /// Layout of a line: `alpaca`, `messages` or `sharegpt`.
    pub format: Format,
    /// How many turns before the question stand beside it, at most. A question and its answer are two turns and
    /// stay together. 0: none.
    pub max_context_turns: usize,
    /// How many characters these turns have, at most. Turns are kept whole, the nearest first.
    pub max_context_chars: usize,
    /// Whether the app's system message stands first in the context, where it fits in `max_context_chars`.
    pub include_system: bool,
    /// Questions with fewer characters are skipped.
    pub min_question_chars: usize,
    /// Questions with more characters are skipped.
    pub max_question_chars: usize,
    /// Answers with fewer characters are skipped.
    pub min_answer_chars: usize,
    /// Answers with more characters are skipped.
    pub max_answer_chars: usize,
    /// Examples are skipped when more than this share of their words are placeholders of redaction, such as
    /// `<EMAIL_1>`. From 0 (any placeholder) to 1 (never).
    pub max_placeholder_share: f64,
    /// Regexes: an answer that matches one is skipped. For refusals and errors of your own app that the built-in
    /// rules do not know. Example: `["(?i)^quota exceeded"]`.
    pub skip_answers: Vec<String>,
}

impl Default for TrainingDataSettings {
    fn default() -> Self {
        TrainingDataSettings {
            format: Format::Alpaca,
            max_context_turns: 4,
            max_context_chars: 1_000,
            include_system: false,
            min_question_chars: 4,
            max_question_chars: 8_000,
            min_answer_chars: 16,
            max_answer_chars: 16_000,
            max_placeholder_share: 0.2,
            skip_answers: Vec::new(),
        }
    }
}

impl StageConfig for TrainingDataSettings {
    const KIND: &'static str = "training_data";

    fn build(self, services: &Services) -> Result<Box<dyn Stage>, Vec<Problem>> {
        let mut problems = Vec::new();
        for (name, min, max) in [
            ("question", self.min_question_chars, self.max_question_chars),
            ("answer", self.min_answer_chars, self.max_answer_chars),
        ] {
            if min > max {
                let message = format!("no {name} has at least {min} and at most {max} characters");
                problems.push(Problem::new(format!("max_{name}_chars"), message));
            }
        }
        if !(0.0..=1.0).contains(&self.max_placeholder_share) {
            let message = format!("{} is not a share", self.max_placeholder_share);
            problems.push(Problem::new("max_placeholder_share", message).hint("write a number from 0 to 1"));
        }
        for (n, pattern) in self.skip_answers.iter().enumerate() {
            if let Err(error) = regex::Regex::new(pattern) {
                problems.push(Problem::new(format!("skip_answers[{n}]"), error.to_string()));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let skip_answers = RegexSet::new(&self.skip_answers)
            .map_err(|error| vec![Problem::new("skip_answers", error.to_string())])?;
        Ok(Box::new(TrainingData { skip_answers, seen: Arc::clone(&services.examples), config: self }))
    }
}

struct TrainingData {
    config: TrainingDataSettings,
    skip_answers: RegexSet,
    seen: Arc<SeenExamples>,
}

/// Why an answer gives no example. The order is that of the note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Skip {
    NearDuplicate,
    Refusal,
    Error,
    Rejected,
    Redacted,
    Matched,
    TooShort,
    TooLong,
    Empty,
    NoQuestion,
}

impl Skip {
    /// One and several, for the note.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Skip::NearDuplicate => ("near-duplicate", "near-duplicates"),
            Skip::Refusal => ("refusal", "refusals"),
            Skip::Error => ("error answer", "error answers"),
            Skip::Rejected => ("rejected by the user", "rejected by the user"),
            Skip::Redacted => ("hollowed out by redaction", "hollowed out by redaction"),
            Skip::Matched => ("matched by skip_answers", "matched by skip_answers"),
            Skip::TooShort => ("too short", "too short"),
            Skip::TooLong => ("too long", "too long"),
            Skip::Empty => ("empty answer", "empty answers"),
            Skip::NoQuestion => ("answer without a question", "answers without a question"),
        }
    }
}

/// An exchange that was answered, and what was found about it.
struct Judged<'a> {
    exchange: Exchange<'a>,
    chars: usize,
    private_key: bool,
    /// Nothing is said by the answer: it does not belong into the context of later ones either.
    silent: bool,
    skip: Option<Skip>,
}

/// An exchange with a signature no earlier one of the session is near to.
struct Candidate {
    index: usize,
    signature: u64,
}

#[async_trait]
impl Stage for TrainingData {
    async fn process(&self, envelope: &mut Envelope, cx: &StageContext<'_>) -> Result<Verdict, StageError> {
        let judged = self.judge(&envelope.session, &envelope.learned);
        let mut skipped = BTreeMap::new();
        for skip in judged.iter().filter_map(|one| one.skip) {
            *skipped.entry(skip).or_insert(0) += 1;
        }
        let unique = distinct(&judged, &envelope.session, &envelope.readings);
        let good = judged.iter().filter(|one| one.skip.is_none()).count();
        let signatures: Vec<u64> = unique.iter().map(|one| one.signature).collect();
        let ours: Vec<bool> = if cx.dry_run {
            self.seen.near_duplicates(&envelope.identity, &signatures).into_iter().map(|near| !near).collect()
        } else {
            self.seen.reserve(&envelope.identity, &envelope.key, &signatures)
        };
        let kept: Vec<Candidate> =
            unique.into_iter().zip(ours).filter_map(|(one, ours)| ours.then_some(one)).collect();
        if kept.len() < good {
            skipped.insert(Skip::NearDuplicate, good - kept.len());
        }

        let lines = self.lines(&envelope.session, &judged, &kept)?;
        envelope.note = Some(note(kept.len(), &skipped));
        envelope.effects.push(Effect::TrainingData {
            lines,
            examples: kept.len(),
            signatures: kept.iter().map(|one| one.signature).collect(),
            answers: kept
                .iter()
                .filter_map(|one| Some(judged.get(one.index)?.exchange.answered.clone()))
                .collect(),
        });
        Ok(Verdict::Continue)
    }
}

impl TrainingData {
    fn judge<'a>(&self, session: &'a Session, learned: &Learned) -> Vec<Judged<'a>> {
        let disputed = disputed(learned);
        let mut exchanges = exchanges(session);
        let mut judged = Vec::with_capacity(exchanges.len());
        let mut reply = 0..0;
        // From the last to the first: the turn after an answer may reject it.
        while let Some(exchange) = exchanges.pop() {
            let asked = exchange.asked.clone();
            if !exchange.answered.is_empty() {
                let answers = session.messages.get(exchange.answered.clone()).unwrap_or_default();
                let rated =
                    |rating| answers.iter().any(|m| m.role == Role::Assistant && m.feedback == Some(rating));
                let corrected = disputed.iter().any(|index| reply.contains(index));
                let rejected = rated(Rating::Down) || (corrected && !rated(Rating::Up));
                judged.push(self.judge_one(exchange, rejected));
            }
            reply = asked;
        }
        judged.reverse();
        judged
    }

    fn judge_one<'a>(&self, exchange: Exchange<'a>, rejected: bool) -> Judged<'a> {
        let (question, answer) = (&*exchange.question, &*exchange.answer);
        let (asked, answered) = (question.chars().count(), answer.chars().count());
        let silent = !quality::has_text(answer);
        let private_key = quality::has_private_key(question) || quality::has_private_key(answer);
        let skip = if !quality::has_text(question) {
            Some(Skip::NoQuestion)
        } else if silent {
            Some(Skip::Empty)
        } else if quality::is_error(answer) {
            Some(Skip::Error)
        } else if quality::is_refusal(answer) {
            Some(Skip::Refusal)
        } else if rejected {
            Some(Skip::Rejected)
        } else if private_key || self.is_hollow(question, answer) {
            Some(Skip::Redacted)
        } else if self.skip_answers.is_match(answer) {
            Some(Skip::Matched)
        } else if asked < self.config.min_question_chars || answered < self.config.min_answer_chars {
            Some(Skip::TooShort)
        } else if asked > self.config.max_question_chars || answered > self.config.max_answer_chars {
            Some(Skip::TooLong)
        } else {
            None
        };
        Judged { chars: asked + answered, private_key, silent, skip, exchange }
    }

    /// Whether too much of what was said is placeholders now.
    fn is_hollow(&self, question: &str, answer: &str) -> bool {
        let placeholders = quality::placeholders(question) + quality::placeholders(answer);
        if placeholders == 0 {
            return false;
        }
        let words = question.split_whitespace().count() + answer.split_whitespace().count();
        placeholders as f64 > self.config.max_placeholder_share * words as f64
    }

    fn lines(
        &self,
        session: &Session,
        judged: &[Judged<'_>],
        kept: &[Candidate],
    ) -> Result<String, StageError> {
        let system = self.system(session);
        let room = kept
            .iter()
            .filter_map(|one| judged.get(one.index))
            .map(|one| one.chars + self.config.max_context_chars);
        let mut out = Vec::with_capacity(room.sum());
        for Candidate { index, .. } in kept {
            let Some((Judged { exchange, .. }, before)) = judged.get(..=*index).and_then(<[_]>::split_last)
            else {
                continue;
            };
            let context = self.context(system, before);
            self.config
                .format
                .write(&mut out, &context, &exchange.question, &exchange.answer)
                .map_err(broken)?;
        }
        String::from_utf8(out).map_err(broken)
    }

    fn system<'a>(&self, session: &'a Session) -> Option<&'a str> {
        let (_, message) = session.spoken_by(Role::System).next().filter(|_| self.config.include_system)?;
        Some(message.text.trim())
            .filter(|text| !text.is_empty() && text.chars().count() <= self.config.max_context_chars)
            .filter(|text| !quality::has_private_key(text))
    }

    /// The turns before a question that fit, oldest first. They go back no further than a private key.
    fn context<'a>(&self, system: Option<&'a str>, before: &'a [Judged<'a>]) -> Vec<Turn<'a>> {
        let mut room = self.config.max_context_chars - system.map_or(0, |text| text.chars().count());
        let mut turns = Vec::new();
        for one in before.iter().rev() {
            if one.silent || one.exchange.asked.is_empty() {
                continue;
            }
            if one.private_key || one.chars > room || turns.len() + 2 > self.config.max_context_turns {
                break;
            }
            room -= one.chars;
            let good =
                !matches!(one.skip, Some(Skip::Refusal | Skip::Error | Skip::Rejected | Skip::Matched));
            turns.push(Turn { role: Role::Assistant, text: &one.exchange.answer, good });
            turns.push(Turn { role: Role::User, text: &one.exchange.question, good: true });
        }
        turns.extend(system.map(|text| Turn { role: Role::System, text, good: true }));
        turns.reverse();
        turns
    }
}

/// The user's messages that correct or reject what was said before them.
fn disputed(learned: &Learned) -> Vec<usize> {
    let feedback = learned.patterns.iter().flat_map(|patterns| &patterns.feedback);
    feedback
        .filter(|one| matches!(one.kind.as_str(), "correction" | "rejection"))
        .map(|one| one.quote.message)
        .collect()
}

/// The exchanges that are not skipped, each once.
fn distinct(judged: &[Judged<'_>], session: &Session, readings: &Readings) -> Vec<Candidate> {
    let said = |text, messages: &Range<usize>| {
        let alone = session.messages.get(messages.start).is_some_and(|message| message.text.trim() == text);
        Said { text, reading: readings.known(messages.start).filter(|_| alone) }
    };
    let mut own = OwnExamples::default();
    let good = judged.iter().enumerate().filter(|(_, one)| one.skip.is_none());
    good.filter_map(|(index, Judged { exchange, .. })| {
        let question = said(&exchange.question, &exchange.asked);
        let signature = signature_of(question, said(&exchange.answer, &exchange.answered));
        own.add(signature).then_some(Candidate { index, signature })
    })
    .collect()
}

/// `7 examples, skipped 2 near-duplicates, 1 refusal`.
fn note(examples: usize, skipped: &BTreeMap<Skip, usize>) -> String {
    let mut note = match examples {
        0 => "no examples".to_owned(),
        1 => "1 example".to_owned(),
        n => format!("{n} examples"),
    };
    for (n, (skip, count)) in skipped.iter().enumerate() {
        let (one, several) = skip.words();
        let start = if n == 0 { ", skipped" } else { "," };
        let _ = write!(note, "{start} {count} {}", if *count == 1 { one } else { several });
    }
    note
}

fn broken(error: impl std::error::Error + Send + Sync + 'static) -> StageError {
    StageError::Permanent {
        message: "the examples could not be written as JSON".into(),
        hint: None,
        source: Some(Box::new(error)),
    }
}

#[cfg(test)]
#[path = "training_data_tests.rs"]
mod tests;
