//! From the words that a rule matched to the value of a fact.

use std::ops::Range;

use regex::{Captures, Regex};

use super::rules::{Rule, Value};
use super::tools::{Belief, is_a_tool};
use super::words::{ABODES, LANGUAGES, NATIONS, NO_NAMES, TECHNICAL, VERBISH, WORKPLACES};
use crate::text::phrase::{listed, phrase_len, without_filler, words};
use crate::text::trigger::ascii;
use crate::text::voice::Sentence;

/// A value and where it stands in the evened sentence.
#[derive(Debug)]
pub(super) struct Read {
    /// What fills the `{}` of the attribute beside the groups of the pattern.
    pub(super) class: Option<String>,
    pub(super) span: Range<usize>,
    /// The value where it is not the words of the span.
    pub(super) text: Option<String>,
}

impl Read {
    pub(super) fn plain(span: Range<usize>) -> Self {
        Read { class: None, span, text: None }
    }
}

/// Reads the values of matches.
#[derive(Debug)]
pub(super) struct ValueReader {
    dated: Regex,
    tongue: Regex,
}

/// First words of a phrase that name nothing that lasts.
const EMPTY: &str = "\
    the this that these those it its them him her you your yours how what where why when who for up out by on in with \
    about from through over under to at as if and or but so not no there here hard well fine alone some more less \
    something anything everything nothing both either all any my real really very too together hard harder lots now \
    again abroad day night";

/// Words that end a place or an employer.
pub(super) const ENDING: &str = "\
    and with for since last this next these right now where when because but so as on at who or while after before \
    until about if i we my by than then via from ago currently originally again yet too please thanks btw lol haha \
    together during to is are was has have myself alone part full";

/// What is no place behind "live in" or "moved to".
const NO_PLACE: &str = "\
    fear peace hope constant denial exile sin hell luxury general particular need question doubt trouble love total \
    complete harmony town person it them me us you there here some different another several many each every old new";

/// What is no employer behind "work at" or "work for".
const NO_EMPLOYER: &str = "\
    home night nights least it all scale me us you him her them free living myself money now weekends speed once \
    random present hours days weeks months years others everyone first last times anyone food peanuts fun";

/// Times: what makes a plan a plan.
const DATED: &str = concat!(
    r"\b(?:january|february|march|april|june|july|august|september|october|november|december|jan|feb|mar|apr|jun|jul|aug|",
    r"sept?|oct|nov|dec|in may|on may|may \d|\d(?:st|nd|rd|th)? (?:of )?may|next may|this may|",
    r"(?:on|next|this|coming) (?:mon|tues|wednes|thurs|fri|satur|sun)day|(?:next|this|the coming) (?:week|weekend|month|year|spring|summer|",
    r"autumn|fall|winter|semester|term|quarter|christmas|easter|june|july)|in (?:the )?(?:spring|summer|autumn|fall|winter|new year)|",
    r"(?:over|for|at|before|after) (?:christmas|easter|thanksgiving|new year)|in (?:a|an|one|two|three|four|five|six|\d+|a few|a couple of) ",
    r"(?:days?|weeks?|months?|years?)|tomorrow|(?:by|in|on|until|before) (?:19|20)\d\d|(?:19|20)\d\d|\d{1,2}[/.]\d{1,2}(?:[/.]\d{2,4})?)\b",
);

impl ValueReader {
    pub(super) fn new() -> Result<Self, regex::Error> {
        let tongues = LANGUAGES.replace(' ', "|").replace('_', "[ -]");
        Ok(ValueReader {
            dated: Regex::new(&ascii(DATED.to_owned()))?,
            tongue: Regex::new(&ascii(format!(r"\b(?:{tongues})\b")))?,
        })
    }

    /// Reads one match. `original` is the sentence as it was written.
    pub(super) fn read(
        &self,
        rule: &Rule,
        found: &Captures<'_>,
        sentence: &Sentence<'_>,
        original: &str,
    ) -> Vec<Read> {
        let Some(value) = found.name("value").or(found.name("value2")) else { return Vec::new() };
        let at = value.start();
        let text = Written { even: value.as_str(), at, sentence, original };
        let one = |span: Option<Range<usize>>| span.map(Read::plain).into_iter().collect();
        match rule.value {
            Value::Exact => one(exact(&text, rule)),
            Value::Phrase(most) => one(text.phrase(most)),
            Value::Item(most) => one(text.phrase_from(most, |first| {
                matches!(first, "a" | "an" | "my" | "two" | "three" | "four" | "several")
                    || first.parse::<u8>().is_ok()
            })),
            Value::Name => one(text.name(false)),
            Value::Shy => one(text.name(true).filter(|_| !shouted(original))),
            Value::Place => one(text.place()),
            Value::Left => text
                .place()
                .map(|span| {
                    let place = text.written(span.clone());
                    Read { class: None, text: Some(format!("no longer in {place}")), span }
                })
                .into_iter()
                .collect(),
            Value::Employer => one(text.employer()),
            Value::Tools => text.tools(Belief::Capital, rule.exclusive),
            Value::Known => text.tools(Belief::Known, false),
            Value::Device => text.tools(Belief::Device, false),
            Value::Dated => one(self.dated(&text)),
            Value::Tongues => self.tongues(&text),
            Value::Years => {
                let plausible = text.even.parse::<u8>().is_ok_and(|years| (5..=110).contains(&years));
                one(plausible.then_some(value.range()))
            }
        }
    }

    fn dated(&self, text: &Written<'_>) -> Option<Range<usize>> {
        let length = dated_len(text.even);
        let when = self.dated.find(&text.even[..length])?;
        let length = without_filler(&text.even[..length.min(when.end() + 12)]).len().max(when.end());
        let end = text.even[when.end()..length].find([',', ';', ':']).map_or(length, |cut| when.end() + cut);
        let pointing =
            text.even.split_whitespace().take(5).any(|word| matches!(word, "it" | "this" | "that" | "test"));
        (!pointing || when.start() < 6).then(|| text.at..text.at + word_end(text.even, end.min(length)))
    }

    fn tongues(&self, text: &Written<'_>) -> Vec<Read> {
        let length = phrase_len_listing(text.even);
        self.tongue
            .find_iter(&text.even[..length])
            .map(|m| Read::plain(text.at + m.start()..text.at + m.end()))
            .collect()
    }
}

/// The clause that a plan or a date is told in: up to the end of the sentence or a new thought.
fn dated_len(text: &str) -> usize {
    let mut end = text.len();
    for stop in [
        "! ",
        "? ",
        "; ",
        " but ",
        " because ",
        " so i",
        " so we",
        " and i ",
        " and we ",
        " which ",
        " (",
        " - ",
        " — ",
    ] {
        end = text.find(stop).map_or(end, |at| at.min(end));
    }
    text[..end].trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '.' | '!' | ',' | '?')).len()
}

/// Up to the end of an enumeration: commas do not end it.
fn phrase_len_listing(text: &str) -> usize {
    [".", ";", "!", "?", " but ", " because ", " so ", " with my ", " at "]
        .iter()
        .filter_map(|stop| text.find(stop))
        .min()
        .unwrap_or(text.len())
}

/// Extends an offset to the end of the word it stands in.
fn word_end(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len())
}

fn exact(text: &Written<'_>, rule: &Rule) -> Option<Range<usize>> {
    let even = text.even.trim_end();
    let first = even.split_whitespace().next()?;
    let empty = matches!(
        first,
        "the" | "this" | "that" | "it" | "these" | "those" | "my" | "our" | "they" | "he" | "she"
    ) && !matches!(rule.attribute, "project" | "owns" | "pet.{}");
    let vague = rule.attribute == "project" && first == "the" && !even.contains(" about ");
    let negated =
        even.split_whitespace().any(|word| matches!(word, "not" | "no" | "never" | "this" | "that"));
    (!empty && !vague && !negated).then(|| text.at..text.at + even.len())
}

/// Whether all letters of a sentence are capitals, so that capitals tell nothing.
fn shouted(original: &str) -> bool {
    original.chars().filter(|c| c.is_alphabetic()).count() > 4 && !original.chars().any(char::is_lowercase)
}

/// The words of a value, evened, with the way to their original.
pub(super) struct Written<'a> {
    pub(super) even: &'a str,
    pub(super) at: usize,
    sentence: &'a Sentence<'a>,
    original: &'a str,
}

impl Written<'_> {
    fn written(&self, span: Range<usize>) -> &str {
        self.original.get(self.sentence.even.span(span)).unwrap_or_default()
    }

    pub(super) fn capital(&self, at: usize) -> bool {
        self.written(self.at + at..self.at + self.even.len()).chars().next().is_some_and(char::is_uppercase)
    }

    /// Whether the speaker writes without capitals, so that their absence tells nothing.
    pub(super) fn casual(&self) -> bool {
        !self.original.contains(char::is_uppercase)
    }

    fn phrase(&self, most: usize) -> Option<Range<usize>> {
        self.phrase_from(most, |first| !listed(EMPTY, first))
    }

    fn phrase_from(&self, most: usize, fits: impl Fn(&str) -> bool) -> Option<Range<usize>> {
        let length = phrase_len(self.even, most);
        let phrase = &self.even[..length];
        let first = phrase.split_whitespace().next()?;
        let pointing = phrase.split_whitespace().any(|word| matches!(word, "this" | "that" | "your" | "it"));
        (fits(first)
            && !pointing
            && !phrase.contains(['<', '{', '`'])
            && phrase.contains(char::is_alphabetic))
        .then(|| self.at..self.at + length)
    }

    /// A name of up to three capitalised words.
    fn name(&self, shy: bool) -> Option<Range<usize>> {
        let quoted = self.even.len() - self.even.trim_start_matches(['"', '“', '*', '\'']).len();
        let body = &self.even[quoted..];
        let mut end = 0;
        let mut count = 0;
        let mut rest = words(body).peekable();
        while let Some((at, word)) = rest.peek().copied() {
            let core = word.trim_end_matches(|c: char| !c.is_alphanumeric());
            let core = core.strip_suffix("'s").unwrap_or(core);
            let particle = count > 0 && listed("de la van von der den bin al el da di del dos mc st", core);
            let casual =
                !shy && count == 0 && self.casual() && !listed(VERBISH, core) && !listed(EMPTY, core);
            let fits = (self.capital(quoted + at) || particle || casual)
                && core.chars().all(|c| c.is_alphabetic() || matches!(c, '-' | '\'' | '.'))
                && !core.is_empty();
            if !fits {
                break;
            }
            if count == 3 {
                return None;
            }
            rest.next();
            count += 1;
            end = at + core.len();
            if core.len() < word.len() {
                break;
            }
        }
        let name = &body[..end];
        let first = name.split_whitespace().next()?;
        let last = name.split_whitespace().next_back()?;
        let known =
            listed(NO_NAMES, first) || listed(NO_NAMES, &name.replace(' ', "_")) || listed(TECHNICAL, first);
        let behind = &body[end..];
        let title = listed(VERBISH, first) || (shy && (listed(NATIONS, first) || first.ends_with("ing")));
        let followed = !shy || closes_a_name(behind);
        let technical = behind.split_whitespace().next().is_some_and(|word| listed(TECHNICAL, word));
        let attached = behind.starts_with(['_', '(', '/', '@', '=']) || behind.starts_with('-');
        let short = first.chars().count() < 2 && last == first;
        (!known && !title && followed && !technical && !attached && !short)
            .then(|| self.at + quoted..self.at + quoted + end)
    }

    /// Capitalised words, a known kind of place, or what somebody who writes without capitals puts here.
    fn place(&self) -> Option<Range<usize>> {
        let first = self.even.split_whitespace().next()?.trim_end_matches(|c: char| !c.is_alphanumeric());
        if listed(NO_PLACE, first) || first.is_empty() || is_a_tool(self.even) {
            return None;
        }
        let led = matches!(
            first,
            "a" | "an"
                | "the"
                | "my"
                | "our"
                | "southern"
                | "northern"
                | "eastern"
                | "western"
                | "central"
                | "rural"
                | "downtown"
                | "upstate"
        );
        if let Some(end) = self.proper(led) {
            return Some(self.at..self.at + end);
        }
        if led {
            let length = self.even_until_ending(8);
            let abode = words(&self.even[..length])
                .any(|(_, word)| listed(ABODES, word.trim_end_matches([',', '.', '!'])));
            return abode.then(|| self.at..self.at + length);
        }
        let length = self.even_until_ending(2);
        let plain =
            self.even[..length].chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '-' | ',' | '.'));
        (self.casual() && plain && length > 1).then(|| self.at..self.at + length)
    }

    /// The end of a run of capitalised words at the start (behind a lead, if there is one).
    fn proper(&self, led: bool) -> Option<usize> {
        let mut end = 0;
        let mut rest = words(self.even).peekable();
        if led {
            rest.next();
        }
        while let Some((at, word)) = rest.next() {
            let core = word.trim_end_matches(|c: char| !(c.is_alphanumeric() || c == '+'));
            let joins = end > 0
                && listed("of the de la du upon am an der and & near in", core)
                && rest.peek().is_some_and(|(next, _)| self.capital(*next))
                && core != "and";
            if !(self.capital(at) || joins) || core.is_empty() || core.contains(['<', '{']) {
                break;
            }
            end = at + core.len();
            if word.len() > core.len() {
                // "Vienna, Austria": a second part counts where it closes the phrase.
                let tail =
                    Written { even: &self.even[at + word.len()..], at: self.at + at + word.len(), ..*self };
                let comma = word.ends_with(',') && word.len() == core.len() + 1;
                let blank = tail.even.len() - tail.even.trim_start().len();
                let more = comma.then(|| tail.one_proper(blank)).flatten();
                return Some(more.map_or(end, |more| at + word.len() + more));
            }
        }
        (end > 0).then_some(end)
    }

    fn one_proper(&self, skip: usize) -> Option<usize> {
        let word = self.even.get(skip..)?.split_whitespace().next()?;
        let core = word.trim_end_matches(|c: char| !c.is_alphanumeric());
        let behind = self.even[skip + word.len()..].split_whitespace().next().unwrap_or_default();
        let closes = core.len() < word.len() || behind.is_empty() || listed(ENDING, behind);
        (self.capital(skip) && closes && !core.is_empty() && core != "i").then_some(skip + core.len())
    }

    fn even_until_ending(&self, most: usize) -> usize {
        let mut end = 0;
        for (count, (at, word)) in words(self.even).enumerate() {
            let core = word.trim_end_matches(|c: char| !c.is_alphanumeric());
            if count == most || (count > 0 && listed(ENDING, core)) || word.starts_with('(') {
                break;
            }
            end = at + core.len();
            if core.len() < word.len() {
                break;
            }
        }
        without_filler(&self.even[..end]).len()
    }

    fn employer(&self) -> Option<Range<usize>> {
        let first = self.even.split_whitespace().next()?.trim_end_matches(|c: char| !c.is_alphanumeric());
        if listed(NO_EMPLOYER, first) || first.chars().all(|c| c.is_ascii_digit()) {
            return None;
        }
        let led = matches!(first, "a" | "an" | "the" | "my" | "our");
        if let Some(end) = self.proper(led) {
            return Some(self.at..self.at + end);
        }
        if led {
            let length = self.even_until_ending(8);
            let place = words(&self.even[..length])
                .any(|(_, word)| listed(WORKPLACES, word.trim_end_matches([',', '.', '!'])));
            return place.then(|| self.at..self.at + length);
        }
        let length = self.even_until_ending(2);
        (self.casual() && length > 1 && !self.even[..length].contains(['<', '{', '/']))
            .then(|| self.at..self.at + length)
    }
}

fn closes_a_name(behind: &str) -> bool {
    let rest = behind.trim_start_matches(['"', '”', '*', '\'']);
    if rest.trim_start().starts_with(['.', ',', '!', '(', '-', '–', '—', ';', ':']) || rest.trim().is_empty()
    {
        return true;
    }
    let mut words = rest.split_whitespace();
    let first = words.next().unwrap_or_default();
    match first {
        "from" | "btw" | "here" => true,
        "and" => matches!(words.next(), Some("i" | "i'm" | "this" | "i've" | "my")),
        _ => false,
    }
}
