//! Splitting a text into words.

use std::ops::Range;

/// Whether a character can stand in a word.
pub(crate) fn is_word_char(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// At most so many bytes of a text, cut between characters.
pub(crate) fn beginning(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The words of a text as byte ranges: runs of letters, digits and `_`, with apostrophes and hyphens inside
/// (`don't`, `follow-up`).
pub(crate) fn words(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = skip(text, at, |c| !is_word_char(c));
        if start == text.len() {
            return None;
        }
        let mut end = skip(text, start, is_word_char);
        while let Some(joint) = joint(&text[end..]) {
            let next = skip(text, end + joint, is_word_char);
            if next == end + joint {
                break;
            }
            end = next;
        }
        at = end;
        Some(start..end)
    })
}

/// The length of an apostrophe or hyphen that a text begins with.
fn joint(text: &str) -> Option<usize> {
    match text.as_bytes().first()? {
        b'\'' | b'-' => Some(1),
        0xE2 if text.starts_with('’') => Some('’'.len_utf8()),
        _ => None,
    }
}

/// The end of the characters from `at` on for which `holds`; ASCII is not decoded.
fn skip(text: &str, mut at: usize, holds: impl Fn(char) -> bool) -> usize {
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        let c = if byte.is_ascii() {
            char::from(*byte)
        } else {
            let Some(c) = text[at..].chars().next() else { return at };
            c
        };
        if !holds(c) {
            return at;
        }
        at += c.len_utf8();
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_their_apostrophes_and_hyphens_and_lose_their_punctuation() {
        let text = "Don’t 'stop' the follow-up -- Ünlü's x_1, ok? 你好";
        let found: Vec<&str> = words(text).map(|range| &text[range]).collect();
        assert_eq!(found, ["Don’t", "stop", "the", "follow-up", "Ünlü's", "x_1", "ok", "你好"]);
        assert_eq!(words("' - …").count(), 0);
    }
}
