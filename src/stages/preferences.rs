//! `preferences`: what the user states to like, dislike or want of the assistant, with the words that prove it.

mod object;
mod order;
mod rules;
mod signals;

use std::collections::HashMap;
use std::ops::Range;

use async_trait::async_trait;
use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::object::{ObjectReader, Statement};
use self::rules::{RULES, Rule, pattern};
use self::signals::{SIGNALS, SignalReader};
use crate::pipeline::{Problem, Services, Stage, StageConfig, StageContext, StageError, Verdict};
use crate::session::{Envelope, Polarity, Preference, Quote, Role, Session};
use crate::text::prose::normal;
use crate::text::reading::Readings;
use crate::text::trigger::{Gate, Hits, Triggers};
use crate::text::voice::{Sentence, earnest, ordered, staged_from, stated};

/// Finds what the user states to like, dislike or want of the assistant, in the user's own words: not in code,
/// quotes, pastes, questions, conditions, reported speech or role-play.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PreferencesSettings {
    /// Families that are not looked for: `like`, `dislike`, `prefer`, `avoid`, `only`, `habit`, `refuse`, `favourite`,
    /// `diet`, `instruction`. Default: none. Example: `disable = ["habit", "like"]`.
    pub disable: Vec<String>,
    /// Statements less sure than this are dropped, from 0 (keep all) to 1. Default 0.5. What is asked for one answer
    /// only ("don't use a loop here") has less than 0.5.
    pub min_strength: f64,
    /// Whether to note what kind of answers the user asks for, as `prefers_detailed_explanations`,
    /// `prefers_code_examples` and `prefers_concise_responses`. Default true.
    pub signals: bool,
    /// Further statements to look for, as `[[stage.pattern]]`.
    pub pattern: Vec<PreferencePattern>,
}

/// A statement of your own to look for.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreferencePattern {
    /// The kind of preference to record. Example: `"editor"`.
    pub kind: String,
    /// `for` or `against`.
    pub polarity: PatternPolarity,
    /// A regular expression, matched without regard to case on each sentence of the user; its group named `object` is
    /// what the preference is about. Example: `'I swear by (?P<object>\w+)'`.
    pub regex: String,
}

/// `for` or `against`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PatternPolarity {
    /// Liked or wanted.
    For,
    /// Disliked or unwanted.
    Against,
}

impl Default for PreferencesSettings {
    fn default() -> Self {
        PreferencesSettings { disable: Vec::new(), min_strength: 0.5, signals: true, pattern: Vec::new() }
    }
}

/// Strength of a match of a user's own pattern.
const OWN_STRENGTH: f64 = 0.8;
/// A message of more bytes than this specifies a task: what it orders is about that task unless it says otherwise.
const SPECIFICATION: usize = 800;
/// Strength of a signal by the number of messages that give it.
const SIGNAL_STRENGTH: [f64; 3] = [0.5, 0.7, 0.85];

impl StageConfig for PreferencesSettings {
    const KIND: &'static str = "preferences";

    fn build(self, _services: &Services) -> Result<Box<dyn Stage>, Vec<Problem>> {
        Preferences::new(self).map(|stage| Box::new(stage) as Box<dyn Stage>)
    }
}

#[derive(Debug)]
struct Preferences {
    min_strength: f64,
    objects: ObjectReader,
    signals: Option<SignalReader>,
    own: Vec<(String, Polarity, Regex)>,
    triggers: Triggers,
}

impl Preferences {
    fn new(config: PreferencesSettings) -> Result<Self, Vec<Problem>> {
        let mut problems = config.problems();
        let own = config.compile_patterns(&mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let fixed = || -> Result<_, Box<dyn std::error::Error>> {
            let signals = config.signals.then(SignalReader::new).transpose()?;
            Ok((ObjectReader::new()?, signals, triggers(&config)))
        };
        let (objects, signals, triggers) = fixed()
            .map_err(|error| vec![Problem::new("", format!("a built-in pattern is broken: {error}"))])?;
        Ok(Preferences { min_strength: config.min_strength, objects, signals, own, triggers })
    }
}

impl PreferencesSettings {
    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut families: Vec<&str> = RULES.iter().map(|rule| rule.kind).collect();
        families.sort_unstable();
        families.dedup();
        for (i, family) in self.disable.iter().enumerate() {
            if !families.contains(&family.as_str()) {
                let problem =
                    Problem::new(format!("disable[{i}]"), format!("there is no family \"{family}\""));
                problems.push(problem.hint(format!("the families are {}", families.join(", "))));
            }
        }
        if !(0.0..=1.0).contains(&self.min_strength) {
            problems.push(Problem::new("min_strength", "must be between 0 and 1"));
        }
        problems
    }

    fn compile_patterns(&self, problems: &mut Vec<Problem>) -> Vec<(String, Polarity, Regex)> {
        let mut own = Vec::new();
        for (i, pattern) in self.pattern.iter().enumerate() {
            let key = || format!("pattern[{i}].regex");
            let polarity = match pattern.polarity {
                PatternPolarity::For => Polarity::For,
                PatternPolarity::Against => Polarity::Against,
            };
            match RegexBuilder::new(&pattern.regex).case_insensitive(true).build() {
                Ok(regex) if regex.capture_names().flatten().any(|name| name == "object") => {
                    own.push((pattern.kind.clone(), polarity, regex));
                }
                Ok(_) => problems.push(
                    Problem::new(key(), "has no group named `object`")
                        .hint("write (?P<object>…) around what the preference is about"),
                ),
                Err(error) => problems.push(
                    Problem::new(key(), format!("is no regular expression: {error}"))
                        .hint("put it in single quotes, so that TOML leaves backslashes alone"),
                ),
            }
        }
        own
    }
}

/// The triggers of all rules that are wanted, and behind them those of the signals.
fn triggers(config: &PreferencesSettings) -> Triggers {
    let wanted =
        RULES.iter().enumerate().filter(|(_, rule)| !config.disable.iter().any(|kind| kind == rule.kind));
    let signals = SIGNALS.iter().enumerate().filter(|_| config.signals);
    Triggers::new(
        wanted
            .map(|(bit, rule)| (bit, rule.gate(), rule.triggers))
            .chain(signals.map(|(number, signal)| (RULES.len() + number, Gate::Open, signal.triggers))),
    )
}

#[async_trait]
impl Stage for Preferences {
    async fn process(&self, envelope: &mut Envelope, _cx: &StageContext<'_>) -> Result<Verdict, StageError> {
        let found = self.find(&envelope.session, &envelope.readings);
        envelope.note = Some(match found.len() {
            1 => "1 preference".to_owned(),
            n => format!("{n} preferences"),
        });
        envelope.learned.preferences = found;
        Ok(Verdict::Continue)
    }
}

/// The first words that give a signal, and how many messages do.
type Signalled = [Option<(&'static str, Quote, usize)>; SIGNALS.len()];

/// A sentence of the user and what woke up in it.
struct Said<'a> {
    /// Index of the message.
    message: usize,
    text: &'a str,
    words: &'a str,
    sentence: Sentence<'a>,
    awake: u128,
}

impl Said<'_> {
    /// The quote of a span of the evened sentence.
    fn quote(&self, span: Range<usize>) -> Option<Quote> {
        let span = self.sentence.span(span);
        let text = self.text.get(span.clone())?.to_owned();
        Some(Quote { message: self.message, start: span.start, end: span.end, text })
    }
}

impl Preferences {
    fn find(&self, session: &Session, readings: &Readings) -> Vec<Preference> {
        let mut found = Found::default();
        let mut signalled: Signalled = Default::default();
        for (index, message) in session.spoken_by(Role::User) {
            let hits = self.triggers.hits(&message.text);
            if !hits.is_empty() || !self.own.is_empty() {
                let reading = readings.of(index, &message.text);
                let sentences = reading.sentences(&message.text);
                self.read_message(index, &message.text, sentences, &hits, &mut found, &mut signalled);
            }
        }
        let signals = signalled.into_iter().flatten().map(|(name, quote, count)| Preference {
            kind: "signal".to_owned(),
            polarity: Polarity::For,
            object: name.to_owned(),
            strength: SIGNAL_STRENGTH[(count - 1).min(SIGNAL_STRENGTH.len() - 1)],
            quote,
        });
        let mut found = found.preferences;
        found.extend(signals);
        found.retain(|preference| preference.strength >= self.min_strength);
        found
    }

    fn read_message(
        &self,
        message: usize,
        text: &str,
        sentences: &[Range<usize>],
        hits: &Hits,
        found: &mut Found,
        signalled: &mut Signalled,
    ) {
        let mut staged = None;
        let mut given = [false; SIGNALS.len()];
        let mut hits = hits.iter().peekable();
        for range in sentences {
            while hits.next_if(|(at, _)| *at < range.start).is_some() {}
            let mut awake = 0;
            while let Some((_, bits)) = hits.next_if(|(at, _)| *at < range.end) {
                awake |= bits;
            }
            if awake == 0 && self.own.is_empty() {
                continue;
            }
            let words = &text[range.clone()];
            let said = Said {
                message,
                text,
                words,
                sentence: Sentence { start: range.start, even: normal(words) },
                awake,
            };
            self.note_signals(&said, &mut given, signalled);
            for (rule, statement) in self.statements(&said) {
                // Looked for only now: few sentences state anything.
                let acted = *staged.get_or_insert_with(|| staged_from(text)) <= range.start;
                let Some(quote) = said.quote(statement.span).filter(|_| !acted || rule.is_order()) else {
                    continue;
                };
                for (polarity, object, strength) in statement.about {
                    found.add(Preference {
                        kind: rule.kind.to_owned(),
                        polarity,
                        object,
                        strength,
                        quote: quote.clone(),
                    });
                }
            }
            self.match_own(&said, found);
        }
    }

    fn note_signals(&self, said: &Said<'_>, given: &mut [bool; SIGNALS.len()], signalled: &mut Signalled) {
        let Some(reader) = self.signals.as_ref().filter(|_| said.text.len() <= SPECIFICATION) else { return };
        for (number, (given, signalled)) in given.iter_mut().zip(signalled).enumerate() {
            if said.awake >> (RULES.len() + number) & 1 == 0 || *given {
                continue;
            }
            let Some((name, span)) = reader.find(number, said.sentence.even.as_str()) else { continue };
            *given = true;
            match signalled {
                Some((_, _, count)) => *count += 1,
                empty => *empty = said.quote(span).map(|quote| (name, quote, 1)),
            }
        }
    }

    fn match_own(&self, said: &Said<'_>, found: &mut Found) {
        for (kind, polarity, regex) in &self.own {
            let Some(captures) = regex.captures(said.words) else { continue };
            let (Some(whole), Some(object)) = (captures.get(0), captures.name("object")) else { continue };
            let start = said.sentence.start + whole.start();
            found.add(Preference {
                kind: kind.clone(),
                polarity: *polarity,
                object: object.as_str().to_lowercase(),
                strength: OWN_STRENGTH,
                quote: Quote {
                    message: said.message,
                    start,
                    end: start + whole.len(),
                    text: whole.as_str().to_owned(),
                },
            });
        }
    }

    /// What one sentence states; where rules compete for the same words, the strongest counts.
    fn statements(&self, said: &Said<'_>) -> Vec<(&'static Rule, Statement)> {
        let even = said.sentence.even.as_str();
        // Most patterns match nothing, so that what is stated is worked out only behind the first that does.
        let mut part = None;
        let specified = said.text.len() > SPECIFICATION;
        let mut all: Vec<(&'static Rule, Statement)> = Vec::new();
        for (number, rule) in RULES.iter().enumerate().filter(|(number, _)| said.awake >> number & 1 == 1) {
            let Some(pattern) = pattern(number) else { continue };
            if !pattern.is_match(even) {
                continue;
            }
            let part = *part.get_or_insert_with(|| stated(even));
            let text = if rule.is_order() && asks_the_assistant(even) { even } else { part };
            self.matches(rule, pattern, text, said, specified, &mut all);
        }
        let strength =
            |statement: &Statement| statement.about.iter().map(|about| about.2).fold(0.0, f64::max);
        // Of two that are equally sure, the one that says more.
        all.sort_by(|(_, a), (_, b)| {
            strength(b).total_cmp(&strength(a)).then(b.about.len().cmp(&a.about.len()))
        });
        let mut kept: Vec<(&'static Rule, Statement)> = Vec::new();
        for (rule, statement) in all {
            let span = &statement.span;
            if !kept.iter().any(|(_, other)| other.span.start < span.end && span.start < other.span.end) {
                kept.push((rule, statement));
            }
        }
        kept.sort_by_key(|(_, statement)| statement.span.start);
        kept
    }

    /// All matches of one rule in a text that begins the sentence.
    fn matches(
        &self,
        rule: &'static Rule,
        pattern: &Regex,
        text: &str,
        said: &Said<'_>,
        specified: bool,
        all: &mut Vec<(&'static Rule, Statement)>,
    ) {
        let capital = |at: usize| {
            let there = said.sentence.even.original(at);
            said.words.get(there..).and_then(|rest| rest.chars().next()).is_some_and(char::is_uppercase)
        };
        let mut from = 0;
        while from < text.len() {
            let Some(captures) = pattern.captures_at(text, from) else { break };
            let Some(whole) = captures.get(0) else { break };
            let statement = self.objects.read(rule, &captures, text, &capital, specified);
            let end = statement.as_ref().map_or(0, |statement| statement.span.end).max(whole.start() + 1);
            from = (end..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
            let Some(statement) = statement else { continue };
            let meant = if rule.is_order() { ordered } else { earnest };
            if meant(text, statement.span.clone()) {
                all.push((rule, statement));
            }
        }
    }
}

/// "Can you always …": an order in the form of a question.
fn asks_the_assistant(even: &str) -> bool {
    ["can you ", "could you ", "would you ", "will you "].iter().any(|ask| even.starts_with(ask))
}

/// What was found, each statement once.
#[derive(Default)]
struct Found {
    preferences: Vec<Preference>,
    places: HashMap<(String, Polarity, String), usize>,
}

impl Found {
    /// Keeps the strongest proof of each statement.
    fn add(&mut self, new: Preference) {
        let key = (new.kind.clone(), new.polarity, new.object.clone());
        let place = *self.places.entry(key).or_insert(self.preferences.len());
        match self.preferences.get_mut(place) {
            Some(old) if old.strength < new.strength => *old = new,
            Some(_) => {}
            None => self.preferences.push(new),
        }
    }
}

#[cfg(test)]
mod tests;
