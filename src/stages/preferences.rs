//! `preferences`: what the user states to like, dislike or want of the assistant, with the words that prove it.

mod object;
mod rules;
mod signals;

use std::collections::HashMap;
use std::ops::Range;

use aho_corasick::AhoCorasick;
use async_trait::async_trait;
use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::object::{ObjectReader, Statement};
use self::rules::{RULES, written_out};
use self::signals::{SIGNALS, SignalReader};
use crate::pipeline::{Problem, Services, Stage, StageConfig, StageContext, StageError, Verdict};
use crate::session::{Envelope, Polarity, Preference, Quote, Role, Session};
use crate::text::prose::{normal, sentences};
use crate::text::voice::{Sentence, earnest, staged_from, stated};

/// Finds what the user states to like, dislike or want of the assistant, in the user's own words: not in code,
/// quotes, pastes, questions, conditions, reported speech or role-play.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PreferencesConfig {
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

impl Default for PreferencesConfig {
    fn default() -> Self {
        PreferencesConfig { disable: Vec::new(), min_strength: 0.5, signals: true, pattern: Vec::new() }
    }
}

/// Strength of a match of a user's own pattern.
const OWN_STRENGTH: f64 = 0.8;
/// A message of more bytes than this specifies a task: what it orders is about that task unless it says otherwise.
const SPECIFICATION: usize = 800;
/// Strength of a signal by the number of messages that give it.
const SIGNAL_STRENGTH: [f64; 3] = [0.5, 0.7, 0.85];

impl StageConfig for PreferencesConfig {
    const KIND: &'static str = "preferences";

    fn build(self, _services: &Services) -> Result<Box<dyn Stage>, Vec<Problem>> {
        Preferences::new(self).map(|stage| Box::new(stage) as Box<dyn Stage>)
    }
}

#[derive(Debug)]
struct Preferences {
    min_strength: f64,
    /// By their number in [`RULES`]; `None` where disabled.
    rules: Vec<Option<Regex>>,
    objects: ObjectReader,
    signals: Option<SignalReader>,
    own: Vec<(String, Polarity, Regex)>,
    triggers: AhoCorasick,
    /// The bits of each trigger: rules from 0, signals behind them.
    wakes: Vec<u128>,
}

impl Preferences {
    fn new(config: PreferencesConfig) -> Result<Self, Vec<Problem>> {
        let mut problems = config.problems();
        let own = config.compile_patterns(&mut problems);
        let fixed = || -> Result<_, String> {
            let compile = |rule: &rules::Rule| {
                let wanted = !config.disable.iter().any(|family| family == rule.kind);
                wanted.then(|| Regex::new(&written_out(rule.pattern))).transpose()
            };
            let rules =
                RULES.iter().map(compile).collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
            let objects = ObjectReader::new().map_err(|e| e.to_string())?;
            let signals = config.signals.then(SignalReader::new).transpose().map_err(|e| e.to_string())?;
            let (triggers, wakes) = triggers(&rules, config.signals).map_err(|e| e.to_string())?;
            Ok((rules, objects, signals, triggers, wakes))
        };
        match fixed() {
            Ok((rules, objects, signals, triggers, wakes)) if problems.is_empty() => Ok(Preferences {
                min_strength: config.min_strength,
                rules,
                objects,
                signals,
                own,
                triggers,
                wakes,
            }),
            Ok(_) => Err(problems),
            Err(error) => Err(vec![Problem::new("", format!("a built-in pattern is broken: {error}"))]),
        }
    }
}

impl PreferencesConfig {
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

/// One automaton over the triggers of all rules, with the rules each wakes.
fn triggers(
    rules: &[Option<Regex>],
    signals: bool,
) -> Result<(AhoCorasick, Vec<u128>), aho_corasick::BuildError> {
    let mut wakes: HashMap<String, u128> = HashMap::new();
    let mut wake = |trigger: &str, bit: usize| {
        *wakes.entry(trigger.to_owned()).or_default() |= 1 << bit;
        if trigger.contains('\'') {
            *wakes.entry(trigger.replace('\'', "’")).or_default() |= 1 << bit;
        }
    };
    for (bit, rule) in
        RULES.iter().enumerate().filter(|(bit, _)| rules.get(*bit).is_some_and(Option::is_some))
    {
        rule.triggers.iter().for_each(|trigger| wake(trigger, bit));
    }
    for (number, signal) in SIGNALS.iter().enumerate().filter(|_| signals) {
        signal.triggers.iter().for_each(|trigger| wake(trigger, RULES.len() + number));
    }
    let (words, wakes): (Vec<_>, Vec<_>) = wakes.into_iter().unzip();
    let automaton = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .kind(Some(aho_corasick::AhoCorasickKind::DFA))
        .build(words)?;
    Ok((automaton, wakes))
}

#[async_trait]
impl Stage for Preferences {
    async fn process(&self, envelope: &mut Envelope, _cx: &StageContext<'_>) -> Result<Verdict, StageError> {
        let found = self.find(&envelope.session);
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

impl Preferences {
    fn find(&self, session: &Session) -> Vec<Preference> {
        let mut found = Found::default();
        let mut signalled: Signalled = Default::default();
        for (index, message) in session.spoken_by(Role::User) {
            let hits: Vec<(usize, u128)> = self
                .triggers
                .find_overlapping_iter(&message.text)
                .filter_map(|hit| Some((hit.start(), *self.wakes.get(hit.pattern().as_usize())?)))
                .collect();
            if hits.is_empty() && self.own.is_empty() {
                continue;
            }
            self.read_message(index, &message.text, &hits, &mut found, &mut signalled);
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
        index: usize,
        text: &str,
        hits: &[(usize, u128)],
        found: &mut Found,
        signalled: &mut Signalled,
    ) {
        let mut staged = None;
        let mut next = 0;
        let mut given = [false; SIGNALS.len()];
        let mut sorted: Vec<(usize, u128)> = hits.to_vec();
        sorted.sort_unstable_by_key(|(at, _)| *at);
        for range in sentences(text) {
            while sorted.get(next).is_some_and(|(at, _)| *at < range.start) {
                next += 1;
            }
            let mut awake = 0;
            while let Some((_, bits)) = sorted.get(next).filter(|(at, _)| *at < range.end) {
                awake |= bits;
                next += 1;
            }
            if awake == 0 && self.own.is_empty() {
                continue;
            }
            let words = &text[range.clone()];
            let sentence = Sentence { start: range.start, even: normal(words) };
            let quote = |span: Range<usize>| {
                text.get(span.clone()).map(|words| Quote {
                    message: index,
                    start: span.start,
                    end: span.end,
                    text: words.to_owned(),
                })
            };
            for number in 0..SIGNALS.len() {
                let reader = self
                    .signals
                    .as_ref()
                    .filter(|_| text.len() <= SPECIFICATION && awake >> (RULES.len() + number) & 1 == 1);
                let signal = reader.and_then(|reader| reader.find(number, sentence.even.as_str()));
                if let Some((name, span)) = signal.filter(|_| !std::mem::replace(&mut given[number], true)) {
                    match &mut signalled[number] {
                        Some((_, _, count)) => *count += 1,
                        empty => *empty = quote(sentence.span(span)).map(|quote| (name, quote, 1)),
                    }
                }
            }
            let acted = *staged.get_or_insert_with(|| staged_from(text)) <= range.start;
            let scene = Scene { acted, specified: text.len() > SPECIFICATION };
            for (kind, statement) in self.statements(&sentence, words, awake, scene) {
                let Some(quote) = quote(sentence.span(statement.span)) else { continue };
                for (polarity, object, strength) in statement.about {
                    found.add(Preference {
                        kind: kind.to_owned(),
                        polarity,
                        object,
                        strength,
                        quote: quote.clone(),
                    });
                }
            }
            for (kind, polarity, regex) in &self.own {
                let object = regex.captures(words).and_then(|found| {
                    Some((found.get(0)?.range(), found.name("object")?.as_str().to_lowercase()))
                });
                if let Some((span, object)) = object
                    && let Some(quote) = quote(range.start + span.start..range.start + span.end)
                {
                    found.add(Preference {
                        kind: kind.clone(),
                        polarity: *polarity,
                        object,
                        strength: OWN_STRENGTH,
                        quote,
                    });
                }
            }
        }
    }

    /// What one sentence states, strongest first where rules compete for the same words.
    fn statements(
        &self,
        sentence: &Sentence<'_>,
        words: &str,
        awake: u128,
        scene: Scene,
    ) -> Vec<(&'static str, Statement)> {
        let even = sentence.even.as_str();
        let said = stated(even);
        let capital = |at: usize| {
            let there = sentence.even.original(at);
            words.get(there..).and_then(|rest| rest.chars().next()).is_some_and(char::is_uppercase)
        };
        let mut all: Vec<(usize, Statement)> = Vec::new();
        for (number, rule) in RULES.iter().enumerate().filter(|(number, _)| awake >> number & 1 == 1) {
            let Some(Some(pattern)) = self.rules.get(number) else { continue };
            let order = rule.kind == "instruction";
            let text = if order && asks_the_assistant(even) { even } else { said };
            if text.is_empty() || (scene.acted && !order) {
                continue;
            }
            let mut from = 0;
            while let Some(captures) = pattern.captures_at(text, from) {
                let Some(whole) = captures.get(0) else { break };
                let statement = self.objects.read(rule, &captures, text, &capital, scene.specified);
                from = statement
                    .as_ref()
                    .map_or(0, |statement| statement.span.end)
                    .max(whole.start() + 1)
                    .max(from + 1);
                while !text.is_char_boundary(from) {
                    from += 1;
                }
                if let Some(statement) = statement
                    && earnest(&text[..statement.span.start], &text[statement.span.end..])
                {
                    all.push((number, statement));
                }
                if from >= text.len() {
                    break;
                }
            }
        }
        let strength = |statement: &Statement| {
            statement.about.iter().map(|(_, _, strength)| *strength).fold(0.0, f64::max)
        };
        all.sort_by(|(_, a), (_, b)| strength(b).total_cmp(&strength(a)));
        let mut kept: Vec<(&'static str, Statement)> = Vec::new();
        for (number, statement) in all {
            let clash = kept.iter().any(|(_, other)| {
                other.span.start < statement.span.end && statement.span.start < other.span.end
            });
            if !clash && let Some(rule) = RULES.get(number) {
                kept.push((rule.kind, statement));
            }
        }
        kept.sort_by_key(|(_, statement)| statement.span.start);
        kept
    }
}

/// What a sentence stands in.
#[derive(Clone, Copy)]
struct Scene {
    /// Behind words that begin a role-play.
    acted: bool,
    /// In a message long enough to specify a task.
    specified: bool,
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
