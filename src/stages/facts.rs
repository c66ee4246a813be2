//! `facts`: what users say of themselves, with the words that prove it.

mod rules;
mod tools;
mod value;
mod words;

use std::collections::HashSet;

use async_trait::async_trait;
use regex::Captures;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::rules::{RULES, Rule, pattern};
use self::value::ValueReader;
use crate::pipeline::{Problem, Services, Stage, StageConfig, StageContext, StageError, Verdict};
use crate::session::{Envelope, Fact, Quote, Role, Session};
use crate::text::prose::normal;
use crate::text::reading::Readings;
use crate::text::trigger::Triggers;
use crate::text::voice::{Sentence, earnest, staged_from, stated};

/// Finds what users say of themselves: name, place, work, family, tools, projects, plans, dates. Only what lasts, and
/// only in the user's own words: not in code, quotes, pastes, questions, conditions, reported speech or role-play.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FactsSettings {
    /// Attributes that are not looked for, by their name or the part before the dot: `name`, `age`, `birthday`,
    /// `lives_in`, `from`, `time_zone`, `works_as`, `works_at`, `works_in`, `studies`, `languages`, `family`, `pet`,
    /// `uses`, `project`, `favourite`, `hobby`, `owns`, `plan`, `event`, `health`, `diet`. Default: none. Example:
    /// `disable = ["health", "family"]`.
    pub disable: Vec<String>,
    /// Facts less sure than this are dropped, from 0 (keep all) to 1. Default 0.5.
    pub min_confidence: f64,
}

/// Whether of an attribute a later value takes the earlier one's place.
#[cfg(feature = "http")]
pub(super) fn is_exclusive(attribute: &str) -> bool {
    RULES.iter().any(|rule| rule.attribute == attribute && rule.exclusive)
}

impl Default for FactsSettings {
    fn default() -> Self {
        FactsSettings { disable: Vec::new(), min_confidence: 0.5 }
    }
}

impl StageConfig for FactsSettings {
    const KIND: &'static str = "facts";

    fn build(self, _services: &Services) -> Result<Box<dyn Stage>, Vec<Problem>> {
        Facts::new(self).map(|stage| Box::new(stage) as Box<dyn Stage>)
    }
}

#[derive(Debug)]
struct Facts {
    min_confidence: f64,
    values: ValueReader,
    triggers: Triggers,
}

/// The part of an attribute before its dot.
fn group(attribute: &str) -> &str {
    attribute.split(['.', '{']).next().unwrap_or(attribute)
}

impl Facts {
    fn new(config: FactsSettings) -> Result<Self, Vec<Problem>> {
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(problems);
        }
        let broken = |error: &dyn std::fmt::Display| {
            vec![Problem::new("", format!("a built-in pattern is broken: {error}"))]
        };
        let values = ValueReader::new().map_err(|e| broken(&e))?;
        let triggers = triggers(&config.disable);
        Ok(Facts { min_confidence: config.min_confidence, values, triggers })
    }
}

impl FactsSettings {
    fn problems(&self) -> Vec<Problem> {
        let mut groups: Vec<&str> = RULES.iter().map(|rule| group(rule.attribute)).collect();
        groups.sort_unstable();
        groups.dedup();
        let mut problems = Vec::new();
        for (i, name) in self.disable.iter().enumerate() {
            if !groups.contains(&name.as_str()) && !RULES.iter().any(|rule| rule.attribute == name) {
                let problem =
                    Problem::new(format!("disable[{i}]"), format!("there is no attribute \"{name}\""));
                problems.push(problem.hint(format!("the attributes are {}", groups.join(", "))));
            }
        }
        if !(0.0..=1.0).contains(&self.min_confidence) {
            problems.push(Problem::new("min_confidence", "must be between 0 and 1"));
        }
        problems
    }
}

/// The triggers of all rules that are wanted.
fn triggers(disabled: &[String]) -> Triggers {
    let wanted =
        |rule: &Rule| !disabled.iter().any(|name| name == rule.attribute || name == group(rule.attribute));
    let rules = RULES.iter().enumerate().filter(|(_, rule)| wanted(rule));
    Triggers::new(rules.map(|(bit, rule)| (bit, rule.gate(), rule.triggers)))
}

#[async_trait]
impl Stage for Facts {
    async fn process(&self, envelope: &mut Envelope, _cx: &StageContext<'_>) -> Result<Verdict, StageError> {
        let found = self.find(&envelope.session, &envelope.readings);
        envelope.note = Some(match found.len() {
            1 => "1 fact".to_owned(),
            n => format!("{n} facts"),
        });
        envelope.learned.facts = found;
        Ok(Verdict::Continue)
    }
}

impl Facts {
    fn find(&self, session: &Session, readings: &Readings) -> Vec<Fact> {
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        for (index, message) in session.spoken_by(Role::User) {
            let hits = self.triggers.hits(&message.text);
            if hits.is_empty() {
                continue;
            }
            let mut staged = None;
            let mut hits = hits.into_iter().peekable();
            for range in readings.of(index, &message.text).sentences(&message.text) {
                while hits.next_if(|(at, _)| *at < range.start).is_some() {}
                let mut awake = 0;
                while let Some((_, bits)) = hits.next_if(|(at, _)| *at < range.end) {
                    awake |= bits;
                }
                if awake != 0 {
                    let facts = self.read(index, &message.text, range.clone(), awake);
                    // Looked for only now: few sentences say anything.
                    if facts.is_empty()
                        || *staged.get_or_insert_with(|| staged_from(&message.text)) <= range.start
                    {
                        continue;
                    }
                    found.extend(facts.into_iter().filter(|fact| {
                        fact.confidence >= self.min_confidence
                            && seen.insert((fact.attribute.clone(), fact.value.to_lowercase()))
                    }));
                }
            }
        }
        found
    }

    /// The facts of one sentence.
    fn read(&self, message: usize, text: &str, range: std::ops::Range<usize>, awake: u128) -> Vec<Fact> {
        let mut found = Vec::new();
        let words = &text[range.clone()];
        let sentence = Sentence { start: range.start, even: normal(words) };
        let even = sentence.even.as_str();
        // Most patterns match nothing, so that what is stated is worked out only behind the first that does.
        let mut part = None;
        for (number, rule) in RULES.iter().enumerate().filter(|(number, _)| awake >> number & 1 == 1) {
            let Some(pattern) = pattern(number) else { continue };
            if !pattern.is_match(even) {
                continue;
            }
            let said = *part.get_or_insert_with(|| stated(even));
            let mut from = 0;
            while let Some(captures) = pattern.captures_at(said, from) {
                let Some(whole) = captures.get(0) else { break };
                let start = whole.start() + leading_marks(whole.as_str());
                let mut end = whole.start() + 1;
                for read in self.values.read(rule, &captures, &sentence, words) {
                    end = end.max(read.span.end);
                    let quoted = sentence.span(start..read.span.end.max(start));
                    let written = sentence.span(read.span.clone());
                    let (Some(quote), Some(value)) = (text.get(quoted.clone()), text.get(written)) else {
                        continue;
                    };
                    if !earnest(said, start..read.span.end.max(start)) {
                        continue;
                    }
                    let fact = Fact {
                        attribute: attribute(rule, &captures, read.class.as_deref()),
                        value: read.text.unwrap_or_else(|| tidy(value)),
                        exclusive: rule.exclusive
                            && !said[..start].trim_end().ends_with(" of")
                            && !said.starts_with("one of"),
                        confidence: rule.confidence,
                        quote: Quote {
                            message,
                            start: quoted.start,
                            end: quoted.end,
                            text: quote.to_owned(),
                        },
                    };
                    keep_the_longer(&mut found, fact);
                }
                from = (end.max(whole.start() + 1)..=said.len())
                    .find(|at| said.is_char_boundary(*at))
                    .unwrap_or(said.len());
                if from >= said.len() {
                    break;
                }
            }
        }
        found
    }
}

/// Two rules may find the same words: what says more counts.
fn keep_the_longer(found: &mut Vec<Fact>, new: Fact) {
    let same = found.iter_mut().find(|old| {
        old.attribute == new.attribute && (old.value.contains(&new.value) || new.value.contains(&old.value))
    });
    match same {
        Some(old) if old.value.len() < new.value.len() => *old = new,
        Some(_) => {}
        None => found.push(new),
    }
}

/// Fills the `{}` of an attribute: `family.{}` and "mom" give `family.mother`.
fn attribute(rule: &Rule, captures: &Captures<'_>, class: Option<&str>) -> String {
    if !rule.attribute.contains("{}") {
        return rule.attribute.to_owned();
    }
    let caught = captures.name("rel").or(captures.name("class")).map(|caught| caught.as_str());
    let filling = match class {
        Some(class) => class.to_owned(),
        None => plain(rule, caught.unwrap_or_default()),
    };
    rule.attribute.replace("{}", &filling)
}

/// One word for a relation, an animal or a class, however it was said.
fn plain(rule: &Rule, word: &str) -> String {
    let even = match word {
        "mom" | "mum" | "mama" => "mother",
        "dad" | "papa" => "father",
        "kid" | "kids" | "child" | "children" | "baby" | "toddler" => "children",
        "siblings" => "sibling",
        "grandma" | "granny" => "grandmother",
        "grandpa" => "grandfather",
        "grandkids" | "grandchild" => "grandchildren",
        "fiancee" | "fiancé" | "fiancée" => "fiance",
        "puppy" | "puppies" => "dog",
        "kitten" | "kittens" => "cat",
        "bunny" | "bunnies" => "rabbit",
        "ponies" => "pony",
        "canaries" => "canary",
        "color" | "colors" => "colour",
        _ => word,
    };
    if group(rule.attribute) == "pet" && words::BREEDS.split(' ').any(|breed| breed.replace('_', " ") == even)
    {
        return "dog".to_owned();
    }
    let counted = matches!(group(rule.attribute), "pet" | "family") && !even.ends_with("ss");
    let single = if counted { even.strip_suffix('s').unwrap_or(even) } else { even };
    single.trim_end_matches(" of all time").replace(' ', "_")
}

/// White space becomes single blanks, marks around the value go.
fn tidy(value: &str) -> String {
    let marks = |c: char| c.is_whitespace() || matches!(c, '"' | '“' | '”' | '*' | '_' | ',' | '.' | ':');
    value.trim_matches(marks).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How many bytes of blanks and punctuation a match begins with.
fn leading_marks(matched: &str) -> usize {
    matched.len() - matched.trim_start_matches(|c: char| !c.is_alphanumeric()).len()
}

#[cfg(test)]
mod tests;
