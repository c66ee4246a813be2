//! What a question asks for.

use std::ops::Range;

use jiff::Timestamp;

use super::dates::dates;
use super::fields::fields;
use crate::memory::index::terms::Terms;
use crate::text::words::beginning;

/// Bytes of a question that are read. What is longer is a text pasted in; its beginning tells what it is about.
const READ: usize = 16 << 10;
/// Different terms of a question that count.
const TERMS_MAX: usize = 64;

/// What a word of a date counts: few say the date when they speak, and when they spoke is counted already.
const DATED: f32 = 0.5;

/// A question, read.
#[derive(Debug, Clone, Default)]
pub(super) struct Question {
    /// Its terms, each with what it counts beside its rarity.
    pub terms: Vec<(String, f32)>,
    /// The times it names, in milliseconds since 1970.
    pub times: Vec<Range<i64>>,
    /// It asks what to do: what the user wants and avoids matters, whatever its words.
    pub wants_advice: bool,
    /// It asks how things are now: what is newer counts more.
    pub wants_latest: bool,
    /// The fields of life it touches.
    pub fields: u16,
}

const ADVICE: [&str; 36] = [
    "should i",
    "should we",
    "what can i",
    "what could i",
    "what can we",
    "what could we",
    "recommend",
    "suggest",
    "any ideas",
    "ideas for",
    "idea for",
    "advice",
    "any tips",
    "tips for",
    "help me choose",
    "help me pick",
    "help me plan",
    "help me find",
    "help me decide",
    "what to ",
    "where to ",
    "which one",
    "would i like",
    "would i enjoy",
    "for me to",
    "plan a",
    "looking for",
    "pick a",
    "do i like",
    "do i want",
    "do i prefer",
    "i like",
    "we avoid",
    "good for me",
    "would be a good",
    "makes a good",
];

const LATEST: [&str; 9] = [
    "now",
    "currently",
    "these days",
    "nowadays",
    "latest",
    "most recent",
    "at the moment",
    "still",
    "today",
];

impl Question {
    /// Reads a question that is asked at `now`.
    pub(super) fn read(text: &str, now: Timestamp, terms: &mut Terms) -> Self {
        let text = beginning(text, READ);
        let dates = dates(text, now);
        let lower = text.to_lowercase();
        let mut question = Question {
            times: dates.ranges,
            wants_advice: !was_advised(&lower) && ADVICE.iter().any(|phrase| lower.contains(phrase)),
            wants_latest: LATEST.iter().any(|phrase| has_word(&lower, phrase)),
            ..Question::default()
        };
        if question.wants_advice {
            question.fields = fields(beginning(&lower, 1000));
        }
        let spent: Vec<String> = dates.spent.iter().flat_map(|word| terms.distinct(word, 2)).collect();
        let dated: Vec<String> = dates.named.iter().flat_map(|word| terms.distinct(word, 3)).collect();
        for term in terms.distinct(text, TERMS_MAX) {
            if !spent.contains(&term) {
                let weight = if dated.contains(&term) { DATED } else { 1.0 };
                question.terms.push((term, weight));
            }
        }
        question
    }
}

/// Whether it asks for advice that was given: "what did she recommend?" is a question about the past.
fn was_advised(lower: &str) -> bool {
    has_word(lower, "did") || lower.contains("recommended") || lower.contains("suggested")
}

fn has_word(text: &str, phrase: &str) -> bool {
    text.match_indices(phrase).any(|(at, _)| {
        let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
        edge(text[..at].chars().next_back()) && edge(text[at + phrase.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Question {
        Question::read(text, "2024-06-12T15:00:00Z".parse().unwrap(), &mut Terms::default())
    }

    #[test]
    fn words_that_say_when_are_not_looked_for_and_those_of_a_date_count_half() {
        let question = read("What did I tell Robert about the boiler last week?");
        let terms: Vec<_> = question.terms.iter().map(|(term, weight)| (term.as_str(), *weight)).collect();
        assert_eq!(terms, [("tell", 1.0), ("robert", 1.0), ("boiler", 1.0)]);
        let may = read("the boiler on 8 May 2023").terms;
        assert_eq!(
            may[1..],
            [("8".to_owned(), DATED), ("may".to_owned(), DATED), ("2023".to_owned(), DATED)]
        );
        assert_eq!((question.times.len(), question.wants_advice, question.wants_latest), (1, false, false));
    }

    #[test]
    fn a_wish_for_advice_and_one_for_the_latest_are_told() {
        assert!(read("What should I cook tonight?").wants_advice);
        assert!(read("Can you recommend a film?").wants_advice);
        assert!(!read("What did I cook on Friday?").wants_advice);
        assert!(!read("Which book did Tim recommend?").wants_advice);
        assert!(read("Where do I live now?").wants_latest);
        assert!(!read("What did Noor know?").wants_latest);
    }

    #[test]
    fn a_megabyte_asks_no_more_than_its_beginning() {
        let words: String = (0..200_000).map(|number| format!("w{number} ")).collect();
        assert_eq!(read(&words).terms.len(), TERMS_MAX);
    }
}
