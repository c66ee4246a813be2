//! Orders to the assistant: what lasts, and what is about the thing at hand.

use regex::Captures;

use super::object::{EMPTY, ObjectReader, Read, SPECIFIED, WORDS, lean};
use super::rules::Rule;
use crate::session::Polarity::{Against, For};
use crate::text::phrase::{listed, phrase_len, without_filler, words};

impl ObjectReader {
    pub(super) fn order(
        &self,
        rule: &Rule,
        found: &Captures<'_>,
        object: &str,
        sentence: &str,
        specified: bool,
    ) -> Option<Read> {
        let length = phrase_len(object, WORDS + 2);
        let order = &object[..length];
        let ever = found.name("ever").map(|ever| ever.as_str());
        let negated = found.name("neg").is_some() || ever == Some("never");
        let polarity = if negated { Against } else { rule.polarity };
        let named = lean(order);
        if named.is_empty() || is_idle(order) {
            return None;
        }
        let explicit = self.lasting.is_match(sentence);
        let lasting = explicit || ever.is_some_and(|ever| ever != "only");
        let about_talk = self.manners.is_match(order);
        let strength = match (lasting, about_talk, polarity) {
            (true, true, _) => 0.9,
            (true, false, _) => 0.85,
            (false, true, Against) => 0.65,
            (false, true, For) => 0.45,
            (false, false, _) => 0.35,
        };
        let strength = rule.strength.max(strength);
        let strength = if specified && !explicit { strength * SPECIFIED } else { strength };
        let strength = if self.momentary.is_match(sentence) { strength.min(0.4) } else { strength };
        Some((vec![(polarity, named, strength)], length))
    }

    pub(super) fn exchange(
        &self,
        object: &str,
        other: &str,
        sentence: &str,
        specified: bool,
    ) -> Option<Read> {
        let length = phrase_len(other, WORDS);
        let cut = ["for ", "in ", "when ", "from "]
            .iter()
            .filter_map(|word| other[..length].find(&format!(" {word}")))
            .min();
        let other_words = without_filler(&other[..cut.unwrap_or(length)]);
        let (left, right) = (lean(object), lean(other_words));
        if left.is_empty()
            || words(object).count() > 5
            || right.is_empty()
            || listed(EMPTY, left.as_str())
            || listed(EMPTY, right.as_str())
        {
            return None;
        }
        let at_hand = |words: &str| {
            ["a ", "an ", "the ", "this ", "that "].iter().any(|article| words.starts_with(article))
        };
        let strength = if self.momentary.is_match(sentence) || at_hand(object) || at_hand(other) {
            0.4
        } else if self.lasting.is_match(sentence) {
            0.85
        } else if specified {
            0.6 * SPECIFIED
        } else {
            0.6
        };
        Some((vec![(For, left, strength), (Against, right, strength)], length))
    }
}

/// Whether an order says nothing that could last.
fn is_idle(order: &str) -> bool {
    let mut all = order.split_whitespace();
    let verb = all.next().unwrap_or_default();
    let rest: Vec<&str> = all.collect();
    let idle_verb = matches!(
        verb,
        "let"
            | "do"
            | "be"
            | "tell"
            | "say"
            | "give"
            | "make"
            | "keep"
            | "show"
            | "use"
            | "think"
            | "leave"
            | "drop"
            | "break"
            | "check"
            | "put"
    );
    match rest.as_slice() {
        [] => {
            !matches!(
                verb,
                "guess"
                    | "lecture"
                    | "hallucinate"
                    | "swear"
                    | "lie"
                    | "ask"
                    | "judge"
                    | "pretend"
                    | "interrupt"
                    | "sugarcoat"
            ) && (idle_verb || !verb.starts_with("apologi"))
                && !verb.ends_with("ing")
        }
        [only] => {
            matches!(*only, "it" | "that" | "this" | "them" | "so" | "again" | "me" | "never" | "anything")
        }
        ["me", "know", ..] | ["sure", ..] | ["me", "when", ..] | ["up", ..] => true,
        all => all.contains(&"yourself") && verb == "be",
    }
}
