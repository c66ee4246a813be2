//! Finds many literals in a text at once, whatever the case of their ASCII letters, also where they overlap.
//!
//! Each literal is known by two windows of four neighbouring bytes that come seldom in texts: one that begins at an even
//! place of it and one that begins at an odd place. So it is enough to look at every second place of the text, where a
//! table of bits tells whether any literal has its window there. No step waits for the one before, as the steps of an
//! automaton do, and so few places are looked at closely that the comparing does not count.

use std::collections::HashMap;
use std::ops::Range;

use memchr::memchr2_iter;

use super::word_hash::Spread;

/// Bits of the filter: 16 KiB, which stay in the processor's nearest cache.
const FILTER_BITS: u32 = 17;
const FILTER_WORDS: usize = 1 << (FILTER_BITS - 6);
/// Bytes of the shortest literal that has windows.
const SHORTEST: usize = 3;

/// The literals to find, each with its number: its place in the list that was given.
#[derive(Debug)]
pub(crate) struct Literals {
    texts: Vec<Box<[u8]>>,
    filter: Box<[u64; FILTER_WORDS]>,
    /// By its four bytes: the literals known by them, and where in the literal they stand.
    known_by: HashMap<u32, Vec<(usize, isize)>, Spread>,
    /// Those of one or two bytes, which are looked for one by one.
    short: Vec<usize>,
}

impl Literals {
    pub(crate) fn new<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        let mut literals = Literals {
            texts: Vec::new(),
            filter: Box::new([0; FILTER_WORDS]),
            known_by: HashMap::default(),
            short: Vec::new(),
        };
        for (number, text) in texts.into_iter().enumerate() {
            let bytes = text.as_ref().as_bytes();
            if bytes.len() < SHORTEST {
                literals.short.push(number);
            } else {
                for odd in [false, true] {
                    literals.know(number, &Window::rarest(bytes, odd));
                }
            }
            literals.texts.push(bytes.into());
        }
        literals
    }

    fn know(&mut self, number: usize, window: &Window) {
        for four in window.all() {
            let (word, bit) = place(four);
            self.filter[word] |= 1 << bit;
            self.known_by.entry(four).or_default().push((number, window.at));
        }
    }

    /// Calls back with the number of each literal and where it stands, in no order that means anything.
    pub(crate) fn each(&self, text: &str, mut found: impl FnMut(usize, Range<usize>)) {
        let bytes = text.as_bytes();
        for (index, two) in bytes.as_chunks::<2>().0.windows(2).enumerate() {
            let [[a, b], [c, d]] = [two[0], two[1]];
            let window = low([a, b, c, d]);
            if self.may_be_known(window) {
                self.look(bytes, 2 * index, window, &mut found);
            }
        }
        // A literal that ends with the text may have all but the last byte of its window there.
        if let [before @ .., a, b, c] = bytes
            && before.len().is_multiple_of(2)
        {
            self.look(bytes, before.len(), low([*a, *b, *c, 0]), &mut found);
        }
        for number in &self.short {
            self.search(bytes, *number, &mut found);
        }
    }

    /// Whether any literal stands in a text.
    pub(crate) fn any(&self, text: &str) -> bool {
        let mut any = false;
        self.each(text, |_, _| any = true);
        any
    }

    /// Whether the filter has a window; of those that belong to no literal it has a few.
    #[inline]
    fn may_be_known(&self, window: u32) -> bool {
        let (word, bit) = place(window);
        self.filter[word] >> bit & 1 == 1
    }

    /// Compares the literals that a window belongs to with what stands there.
    #[inline(never)]
    fn look(&self, bytes: &[u8], at: usize, window: u32, found: &mut impl FnMut(usize, Range<usize>)) {
        for (number, offset) in self.known_by.get(&window).into_iter().flatten() {
            if let Some(start) = at.checked_add_signed(-offset) {
                self.compare(bytes, *number, start, found);
            }
        }
    }

    fn search(&self, bytes: &[u8], number: usize, found: &mut impl FnMut(usize, Range<usize>)) {
        if let [first, ..] = *self.texts[number] {
            for at in memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), bytes) {
                self.compare(bytes, number, at, found);
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
        if bytes.get(range.clone()).is_some_and(|here| here.eq_ignore_ascii_case(text)) {
            found(number, range);
        }
    }
}

/// Four bytes without what tells small letters from capitals (and a few signs from others, which only makes the filter
/// coarser).
#[inline]
fn low(four: [u8; 4]) -> u32 {
    u32::from_le_bytes(four) | 0x2020_2020
}

/// The place in the filter.
#[inline]
fn place(window: u32) -> (usize, u32) {
    let hash = window.wrapping_mul(0x9E37_79B1) >> (32 - FILTER_BITS);
    ((hash >> 6) as usize, hash & 63)
}

/// Four neighbouring bytes by which a literal is known.
struct Window {
    /// Where it begins in the literal, which may be one byte in front of it.
    at: isize,
    /// The bytes; one beyond the literal may be any.
    four: [Option<u8>; 4],
}

impl Window {
    /// Of the windows that begin at even, or at odd, places of a literal the one that comes least often.
    fn rarest(literal: &[u8], odd: bool) -> Self {
        let byte = |at: isize| literal.get(usize::try_from(at).ok()?).copied();
        let window = |at: isize| Window { at, four: [0, 1, 2, 3].map(|step| byte(at + step)) };
        let last = literal.len() as isize - 3;
        let all = (-1..=last).filter(|at| (at & 1 == 1) == odd).map(window);
        // There is one at -1 and one at 0, since no literal that is asked for is shorter than three bytes.
        all.min_by_key(Window::commonness).unwrap_or_else(|| window(0))
    }

    /// How often it comes, beside others.
    fn commonness(&self) -> u64 {
        self.four.iter().map(|byte| byte.map_or(1000, commonness)).product()
    }

    /// It with each byte that the one beyond the literal can be.
    fn all(&self) -> impl Iterator<Item = u32> {
        let any = if self.four.contains(&None) { 0..=u8::MAX } else { 0..=0 };
        let mut all: Vec<u32> = any.map(|byte| low(self.four.map(|known| known.unwrap_or(byte)))).collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter()
    }
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
