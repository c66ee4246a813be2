//! From the words that a rule matched to the objects they are about.

use std::ops::Range;

use regex::{Captures, Regex};

use super::rules::{LASTING, MANNERS, MOMENTARY, Rule, Shape, written_out};
use crate::session::Polarity::{self, Against, For};
use crate::text::phrase::{enumeration, listed, phrase_len, without_filler, words};

/// What one match of a rule states.
#[derive(Debug)]
pub(super) struct Statement {
    /// Its span in the evened sentence.
    pub(super) span: Range<usize>,
    /// Polarity, object and strength of each thing it is about.
    pub(super) about: Vec<(Polarity, String, f64)>,
}

/// Reads the objects of matches.
#[derive(Debug)]
pub(super) struct ObjectReader {
    pub(super) manners: Regex,
    pub(super) lasting: Regex,
    pub(super) momentary: Regex,
}

/// Where the evened sentence has a capital letter in its original.
pub(super) type Capital<'a> = &'a dyn Fn(usize) -> bool;

/// Within the specification of a task, orders are about that task: their strength is multiplied by this.
pub(super) const SPECIFIED: f64 = 0.5;

/// Longest object, in words.
pub(super) const WORDS: usize = 10;

/// First words that name nothing, or something only this conversation knows.
pub(super) const EMPTY: &str = "\
    it this that these those them him her you us me myself yourself what how where who why nothing \
    everything one ones it's when if whatever either neither anything something so more most less being \
    is are was were has had will and or but because about than best not he she they there here option \
    version choice number variant answer up down out still straight on by near at next behind your yours \
    such both having idea which would could can i we then just also only";

/// Verbs behind "to" that make a phrase of talk, not of taste: "I hate to say", "I like to think".
const TALK: &str = "\
    say think know see hear bother admit ask add thank mention point tell inform disagree believe break \
    imagine interrupt try understand note start begin get have lose disappoint accept give let go make \
    keep";

/// Verbs behind "refuse to" that refuse no thing.
const REFUSALS: &str = "believe accept give think let be go say answer admit acknowledge do stop leave";

/// What "the …" can name without pointing at something in the conversation.
const KNOWN: &str = "\
    sea ocean beach mountains mountain outdoors countryside city rain snow cold heat dark sun woods \
    forest desert gym theatre theater opera cinema dentist metric imperial smell taste sound feeling \
    oxford window aisle middle night morning mornings news internet metro subway train bus passive \
    command terminal quiet silence winter summer autumn spring weekend coast north south piano guitar \
    water";

/// Words that point at something in the conversation.
const POINTING: &str = "this these those you your yours it them him her his hers their theirs its";

/// Words that tie a liking to the moment.
const PASSING: &str = "today tonight here yesterday tomorrow currently instead again moment";

/// Words that are no name behind "call me".
const NO_NAME: &str = "\
    crazy back when later tomorrow if at on after before in to a an stupid naive paranoid out old the by \
    whatever as again now today tonight this any over up or and";

/// Leading words without meaning of their own.
const LEADING: [&str; 20] = [
    "using ",
    "use ",
    "the use of ",
    "to ",
    "a ",
    "an ",
    "the ",
    "my ",
    "our ",
    "your ",
    "any ",
    "all ",
    "some ",
    "having ",
    "give me ",
    "giving me ",
    "providing ",
    "of ",
    "too many ",
    "so many ",
];

impl ObjectReader {
    pub(super) fn new() -> Result<Self, regex::Error> {
        let read = |pattern: &str| Regex::new(&written_out(pattern));
        Ok(ObjectReader { manners: read(MANNERS)?, lasting: read(LASTING)?, momentary: read(MOMENTARY)? })
    }

    /// Reads one match in an evened sentence.
    pub(super) fn read(
        &self,
        rule: &Rule,
        found: &Captures<'_>,
        sentence: &str,
        capital: Capital<'_>,
        specified: bool,
    ) -> Option<Statement> {
        let whole = found.get(0)?;
        let object = found.name("object")?;
        let start = whole.start() + leading_marks(whole.as_str());
        let at = object.start();
        let (about, end) = match rule.shape {
            Shape::Thing => things(rule, object.as_str(), &|offset| capital(at + offset))?,
            Shape::Versus => versus(rule, object.as_str(), &|offset| capital(at + offset))?,
            Shape::Subject => {
                let subject = thing(object.as_str(), rule, &|offset| capital(at + offset), false)?;
                let short = words(object.as_str()).count() <= 6;
                (short.then(|| vec![(rule.polarity, subject, rule.strength)])?, whole.end() - at)
            }
            Shape::Fixed => {
                let named = fixed(rule, object.as_str())?;
                let strength = self.by_wording(rule, sentence, specified);
                (
                    vec![(rule.polarity, named, strength)],
                    whole.as_str().trim_end().len() - (at - whole.start()),
                )
            }
            Shape::Order => self.order(rule, found, object.as_str(), sentence, specified)?,
            Shape::Exchange => {
                let other = found.name("other")?;
                let (about, length) = self.exchange(object.as_str(), other.as_str(), sentence, specified)?;
                (about, other.start() - at + length)
            }
            Shape::Address => {
                let length = phrase_len(object.as_str(), 3);
                let name = object.as_str()[..length].trim_matches(['"', '“', '”', '\'', ' ']);
                let first = name.split_whitespace().next()?;
                (!listed(NO_NAME, first)).then(|| (vec![(For, name.to_owned(), rule.strength)], length))?
            }
        };
        let verb = &sentence[start..at];
        let hedged = ["kind of ", "sort of ", "kinda "].iter().any(|hedge| verb.contains(hedge));
        let factor = match hedged {
            true => 0.8,
            false if verb.starts_with("we ") => 0.9,
            false => 1.0,
        };
        let about =
            about.into_iter().map(|(polarity, object, strength)| (polarity, object, strength * factor));
        Some(Statement { span: start..at + end, about: about.collect() })
    }

    /// The strength of a fixed phrase: that of an order falls if it is about the thing at hand, and grows if it lasts.
    fn by_wording(&self, rule: &Rule, sentence: &str, specified: bool) -> f64 {
        if !rule.is_order() {
            return rule.strength;
        }
        match (self.lasting.is_match(sentence), self.momentary.is_match(sentence)) {
            (true, false) => rule.strength.max(0.85),
            (false, true) => rule.strength.min(0.4),
            (false, false) if specified => rule.strength * SPECIFIED,
            _ => rule.strength,
        }
    }
}

/// What is stated, and the length of its words from where the object begins.
pub(super) type Read = (Vec<(Polarity, String, f64)>, usize);

fn things(rule: &Rule, text: &str, capital: Capital<'_>) -> Option<Read> {
    if let Some(read) = conduct(rule, text) {
        return Some(read);
    }
    let items = enumeration(text);
    if items.len() > 1 {
        let offset = |item: &str| item.as_ptr() as usize - text.as_ptr() as usize;
        let named: Vec<_> = items
            .iter()
            .filter_map(|item| thing(item, rule, &|at| capital(offset(item) + at), false))
            .map(|named| (rule.polarity, named, rule.strength))
            .collect();
        let end = items.last().map(|item| offset(item) + item.len())?;
        return (named.len() == items.len()).then_some((named, end));
    }
    let length = phrase_len(text, WORDS);
    let phrase = &text[..length];
    let named = thing(phrase, rule, capital, false)?;
    let passing = words(phrase).any(|(_, word)| listed(PASSING, word));
    let strength = if passing { rule.strength * 0.4 } else { rule.strength };
    Some((vec![(rule.polarity, named, strength)], length))
}

/// "I like it when you show the code first": about what somebody does.
fn conduct(rule: &Rule, text: &str) -> Option<Read> {
    let skip = ["it when ", "when ", "it if ", "that "].iter().find(|lead| text.starts_with(**lead))?.len();
    let rest = &text[skip..];
    let by_you = rest.starts_with("you ") && !text.starts_with("that ");
    let by_others =
        ["people ", "someone ", "others ", "everyone ", "somebody "].iter().any(|who| rest.starts_with(who));
    let deed = if by_you { &rest[4..] } else { rest };
    if !(by_you || (by_others && rule.polarity == Against)) || words(deed).count() < 2 {
        return None;
    }
    let length = phrase_len(rest, WORDS + 2);
    Some((vec![(rule.polarity, rest[..length].to_owned(), rule.strength.min(0.7))], skip + length))
}

const OVERS: [&str; 7] =
    [" rather than ", " instead of ", " better than ", " more than ", " over ", " versus ", " vs "];

fn versus(rule: &Rule, text: &str, capital: Capital<'_>) -> Option<Read> {
    let length = phrase_len(text, WORDS + 6);
    let phrase = &text[..length];
    if let Some(rest) = phrase.strip_prefix("not ") {
        let named = lean(rest);
        let first = named.split_whitespace().next().unwrap_or_default();
        let empty = named.is_empty() || listed(EMPTY, first) || listed(TALK, first) || points(&named);
        return (!empty).then(|| (vec![(Against, named, 0.75)], length));
    }
    let split = OVERS
        .iter()
        .filter_map(|over| phrase.split_once(over))
        .min_by_key(|(left, _)| left.len())
        .or_else(|| by_to(phrase, capital));
    let Some((left, right)) = split else {
        if rule.pattern.contains("better") {
            return None;
        }
        return things(rule, text, capital);
    };
    let left = thing(left, rule, capital, true)?;
    let mut about = vec![(For, left.clone(), rule.strength)];
    let cut = [" for ", " when ", " any day", " any time", " in ", " at "]
        .iter()
        .filter_map(|word| right.find(word))
        .min();
    let right = without_filler(&right[..cut.unwrap_or(right.len())]);
    // "short answers to long ones": the second stands for the first's noun.
    let right = match (right.strip_suffix(" ones").or(right.strip_suffix(" one")), left.rsplit(' ').next()) {
        (Some(quality), Some(noun)) => format!("{quality} {noun}"),
        _ => right.to_owned(),
    };
    if let Some(right) = thing(&right, rule, &|_| true, true) {
        about.push((Against, right, rule.strength));
    }
    Some((about, length))
}

/// Splits "tea to coffee", but neither "going to the gym" nor "code to be clean".
fn by_to<'a>(phrase: &'a str, capital: Capital<'_>) -> Option<(&'a str, &'a str)> {
    let at = phrase.rfind(" to ").filter(|_| !phrase.starts_with("to "))?;
    let (left, right) = (&phrase[..at], &phrase[at + 4..]);
    let last = left.rsplit(' ').next().unwrap_or_default();
    let moves = [
        "going",
        "travelling",
        "traveling",
        "flying",
        "driving",
        "walking",
        "commuting",
        "talking",
        "listening",
        "speaking",
        "moving",
        "sticking",
        "writing",
        "access",
        "close",
        "next",
        "up",
        "way",
    ];
    let first = right.split(' ').next().unwrap_or_default();
    let verb = ["be", "have", "do", "go", "use", "see", "get", "make", "keep", "stay", "come", "take"]
        .contains(&first);
    let gerund = first.ends_with("ing") && left.contains("ing");
    ((!verb || capital(at + 4)) && (gerund || !moves.contains(&last))).then_some((left, right))
}

/// The name of a thing, unless the phrase names nothing that would mean something in another conversation.
fn thing(phrase: &str, rule: &Rule, capital: Capital<'_>, contrasted: bool) -> Option<String> {
    let phrase = phrase.trim();
    if !phrase
        .starts_with(|c: char| c.is_alphanumeric() || matches!(c, '"' | '“' | '`' | '\'' | '*' | '_' | '.'))
    {
        return None;
    }
    let mut all = words(phrase);
    let (_, first) = all.next()?;
    let first = first.trim_end_matches([',', '.']);
    let second = all.next();
    let second_word = second.map_or("", |(_, word)| word);
    let ordinal = |word: &str| {
        matches!(
            word,
            "first"
                | "second"
                | "third"
                | "last"
                | "former"
                | "latter"
                | "next"
                | "other"
                | "previous"
                | "current"
                | "new"
                | "old"
        )
    };
    let empty = match first {
        "to" if rule.kind == "refuse" => true,
        "to" => {
            listed(TALK, second_word)
                || (second_word == "be" && rule.polarity == For)
                || (second_word == "be" && rule.triggers.contains(&"hate"))
        }
        "the" if contrasted => ordinal(second_word) || second_word.is_empty(),
        "the" => {
            let proper = second.is_some_and(|(at, _)| capital(at)) && rule.kind != "dislike";
            !(proper || listed(KNOWN, second_word))
        }
        _ if rule.kind == "refuse" => {
            listed(REFUSALS, first) || (second.is_none() && first != "drive" && first != "fly")
        }
        _ => listed(EMPTY, first),
    };
    let never_food = rule.kind == "diet"
        && matches!(
            first,
            "much"
                | "enough"
                | "well"
                | "too"
                | "very"
                | "a"
                | "until"
                | "before"
                | "after"
                | "with"
                | "for"
                | "in"
                | "that"
                | "breakfast"
                | "lunch"
                | "dinner"
        );
    if empty || never_food || points(phrase) || phrase.contains('<') {
        return None;
    }
    let named = lean(phrase);
    let letters = named.chars().filter(|c| c.is_alphabetic()).count();
    let head = named.split_whitespace().next().unwrap_or_default();
    (letters > 1 && !listed(EMPTY, head)).then_some(named)
}

fn points(phrase: &str) -> bool {
    // "people who think they …" names its own.
    let own = phrase.contains(" who ") || phrase.contains(" that ");
    words(phrase)
        .filter(|(_, word)| !(own && matches!(*word, "it" | "their" | "them")))
        .any(|(_, word)| listed(POINTING, word.trim_end_matches([',', '.'])))
}

fn fixed(rule: &Rule, object: &str) -> Option<String> {
    let named = lean(object);
    let vague = matches!(
        named.as_str(),
        "big"
            | "huge"
            | "great"
            | "real"
            | "true"
            | "such"
            | "massive"
            | "food"
            | "skin"
            | "known"
            | "an"
            | "number one"
    );
    let pointing = points(&named)
        || named.split_whitespace().any(|word| matches!(word, "that" | "no" | "not" | "fault"));
    let person =
        rule.kind == "like" && words(&named).any(|(_, word)| matches!(word, "ceiling" | "exhaust" | "your"));
    (!named.is_empty() && !vague && !pointing && !person).then_some(named)
}

/// Cuts leading words without meaning; white space becomes single blanks.
pub(super) fn lean(phrase: &str) -> String {
    let mut rest = phrase.trim_matches(|c: char| {
        c.is_whitespace() || matches!(c, '"' | '“' | '”' | '\'' | '`' | '*' | '_' | ',' | '.' | ':')
    });
    while let Some(cut) = LEADING.iter().find_map(|lead| rest.strip_prefix(lead)) {
        rest = cut.trim_start();
    }
    if LEADING.iter().any(|lead| lead.trim_end() == rest) {
        return String::new();
    }
    rest.split_whitespace().collect::<Vec<_>>().join(" ").replace('`', "")
}

/// How many bytes of blanks and punctuation a match begins with.
fn leading_marks(matched: &str) -> usize {
    matched.len() - matched.trim_start_matches(|c: char| !c.is_alphanumeric()).len()
}
