//! Which part of a long message answers.

use std::collections::HashSet;
use std::ops::Range;

use crate::memory::index::terms::Terms;
use crate::text::words::{beginning, words};

/// Messages up to so many bytes are given whole.
const WHOLE: usize = 1200;
/// Bytes of a piece; the passage is the best two together.
const PIECE: usize = 300;
/// Bytes of a message that are looked through.
const LOOKED_AT: usize = 1 << 20;

/// The bytes of a message to show: all, or the part that has most of the question's terms.
pub(super) fn passage(text: &str, question: &HashSet<&str>, terms: &mut Terms) -> Range<usize> {
    if text.len() <= WHOLE {
        return 0..text.len();
    }
    let pieces = pieces(beginning(text, LOOKED_AT));
    let held: Vec<HashSet<String>> = pieces
        .iter()
        .map(|piece| {
            let mut held = HashSet::new();
            terms.read(&text[piece.clone()], |term| {
                if question.contains(term) && !held.contains(term) {
                    held.insert(term.to_owned());
                }
            });
            held
        })
        .collect();
    let worth = |at: usize| match held.get(at + 1) {
        Some(next) => held[at].union(next).count() * 4 + held[at].len(),
        None => held[at].len() * 4,
    };
    // The first of the best.
    let best = (0..pieces.len()).rev().max_by_key(|at| worth(*at)).unwrap_or(0);
    let start = pieces.get(best).map_or(0, |piece| piece.start);
    let end = pieces.get(best + 1).or(pieces.get(best)).map_or(0, |piece| piece.end);
    start..end
}

/// Pieces that begin and end with a word.
fn pieces(text: &str) -> Vec<Range<usize>> {
    let mut pieces: Vec<Range<usize>> = Vec::new();
    for word in words(text) {
        match pieces.last_mut() {
            Some(piece) if word.end - piece.start <= PIECE => piece.end = word.end,
            _ => pieces.push(word.start..cut(text, &word)),
        }
    }
    pieces
}

/// The end of a word, or of as much of it as a piece may hold.
fn cut(text: &str, word: &Range<usize>) -> usize {
    word.start + beginning(&text[word.clone()], PIECE).len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_message_the_part_with_the_questions_words_is_shown() {
        let filler = "Lorem ipsum dolor sit amet, consectetur elit. ".repeat(60);
        let text = format!("{filler}Her brother keeps bees in Graz. {filler}");
        let question = HashSet::from(["brother", "bee"]);
        let range = passage(&text, &question, &mut Terms::default());
        assert!(text[range.clone()].contains("brother keeps bees in Graz") && range.len() <= 2 * PIECE + 2);
        assert_eq!(passage("short", &question, &mut Terms::default()), 0..5);
        let unbroken = "漢".repeat(9000);
        assert!(!unbroken[passage(&unbroken, &question, &mut Terms::default())].is_empty());
        assert_eq!(passage(&" ".repeat(5000), &question, &mut Terms::default()), 0..0);
    }
}
