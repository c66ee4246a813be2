//! Finds many literals in a text at once, whatever the case of their ASCII letters, also where they overlap.
//!
//! Each literal is known by the three neighbouring bytes of it that come least often in texts. At each place of the
//! text a table of bits tells whether any literal has its three bytes there; no step waits for the one before, as the
//! steps of an automaton do, and so few places are looked at closely that the comparing does not count.

use std::collections::HashMap;
use std::ops::Range;

use super::word_hash::Spread;

/// Bytes a literal is known by.
const WINDOW: usize = 3;

/// The literals to find, each with its number: its place in the list that was given.
#[derive(Debug)]
pub(crate) struct Literals {
    texts: Vec<Box<[u8]>>,
    filter: Box<[u64; 1024]>,
    /// By its three bytes: the literals known by them, and where in the literal they stand.
    known_by: HashMap<u32, Vec<(usize, usize)>, Spread>,
    /// Those of fewer bytes.
    short: Vec<usize>,
}

impl Literals {
    pub(crate) fn new<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        let mut literals = Literals {
            texts: Vec::new(),
            filter: Box::new([0; 1024]),
            known_by: HashMap::default(),
            short: Vec::new(),
        };
        for (number, text) in texts.into_iter().enumerate() {
            let bytes = text.as_ref().as_bytes();
            match rarest(bytes) {
                Some((at, window)) => {
                    let (word, bit) = place(window);
                    literals.filter[word] |= 1 << bit;
                    literals.known_by.entry(window).or_default().push((number, at));
                }
                None => literals.short.push(number),
            }
            literals.texts.push(bytes.into());
        }
        literals
    }

    /// Calls back with the number of each literal and where it stands, in no order that means anything.
    pub(crate) fn each(&self, text: &str, mut found: impl FnMut(usize, Range<usize>)) {
        let bytes = text.as_bytes();
        for (at, four) in bytes.windows(WINDOW + 1).enumerate() {
            let four = [four[0], four[1], four[2], four[3]];
            self.look(bytes, at, low(u32::from_le_bytes(four)), &mut found);
        }
        if let Some(at) = bytes.len().checked_sub(WINDOW) {
            self.look(
                bytes,
                at,
                low(u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], 0])),
                &mut found,
            );
        }
        for number in &self.short {
            let length = self.texts[*number].len();
            for at in 0..(bytes.len() + 1).saturating_sub(length) {
                self.compare(bytes, *number, at, &mut found);
            }
        }
    }

    #[inline]
    fn look(&self, bytes: &[u8], at: usize, window: u32, found: &mut impl FnMut(usize, Range<usize>)) {
        let (word, bit) = place(window);
        if self.filter[word] >> bit & 1 == 1 {
            for (number, offset) in self.known_by.get(&window).into_iter().flatten() {
                if let Some(start) = at.checked_sub(*offset) {
                    self.compare(bytes, *number, start, found);
                }
            }
        }
    }

    fn compare(
        &self,
        bytes: &[u8],
        number: usize,
        start: usize,
        found: &mut impl FnMut(usize, Range<usize>),
    ) {
        let text = &self.texts[number];
        let range = start..start + text.len();
        if !text.is_empty() && bytes.get(range.clone()).is_some_and(|here| here.eq_ignore_ascii_case(text)) {
            found(number, range);
        }
    }
}

/// Three bytes without what tells small letters from capitals (and a few signs from others, which only makes the
/// filter coarser).
#[inline]
fn low(four: u32) -> u32 {
    four & 0x00FF_FFFF | 0x0020_2020
}

/// The place in the filter.
#[inline]
fn place(window: u32) -> (usize, u32) {
    let hash = window.wrapping_mul(0x9E37_79B1) >> 16;
    ((hash >> 6) as usize & 1023, hash & 63)
}

/// The window of a literal that comes least often, and where it stands.
fn rarest(bytes: &[u8]) -> Option<(usize, u32)> {
    let often = |window: &[u8]| window.iter().map(|byte| commonness(*byte)).product::<u64>();
    let (at, window) = bytes.windows(WINDOW).enumerate().min_by_key(|(_, window)| often(window))?;
    Some((at, low(u32::from_le_bytes([window[0], window[1], window[2], 0]))))
}

/// How often a byte comes in a thousand of English prose, roughly.
fn commonness(byte: u8) -> u64 {
    match byte.to_ascii_lowercase() {
        b' ' => 180,
        b'e' => 100,
        b't' | b'a' | b'o' => 65,
        b'i' | b'n' | b's' | b'r' | b'h' => 53,
        b'l' | b'd' => 33,
        b'u' | b'c' | b'm' => 22,
        b'f' | b'y' | b'w' | b'g' | b'p' | b'b' => 16,
        b'v' | b'k' | b'.' | b',' => 8,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(literals: &[String], text: &str) -> Vec<(usize, Range<usize>)> {
        let mut found = Vec::new();
        Literals::new(literals).each(text, |number, range| found.push((number, range)));
        found.sort_by_key(|(number, range)| (*number, range.start));
        found
    }

    #[test]
    fn literals_are_found_inside_words_in_any_case_and_over_one_another() {
        let literals = ["sk-", "password", "word", "@", "’s", "-u"].map(str::to_owned);
        let text = "DB_PASSWORD=sk-1 a@b it’s x-U";
        let found: Vec<_> = all(&literals, text).into_iter().map(|(_, range)| &text[range]).collect();
        assert_eq!(found, ["sk-", "PASSWORD", "WORD", "@", "’s", "-U"]);
    }

    proptest! {
        #[test]
        fn exactly_what_a_search_for_each_alone_finds(
            literals in proptest::collection::vec("[ab@’ -]{1,5}", 1..8),
            text in "[abAB@’ -]{0,40}",
        ) {
            let mut expected = Vec::new();
            for (number, literal) in literals.iter().enumerate() {
                for start in 0..text.len() {
                    let range = start..start + literal.len();
                    if text.as_bytes().get(range.clone()).is_some_and(|t| t.eq_ignore_ascii_case(literal.as_bytes())) {
                        expected.push((number, range));
                    }
                }
            }
            prop_assert_eq!(all(&literals, &text), expected);
        }
    }
}
