//! A hash for words: several times quicker than the standard one. Its 64 bits stand for the word: two different ones do
//! not meet in practice. Maps by it are seeded per process, so that nobody can write a session whose words all fall
//! into one place of them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher, RandomState};
use std::ops::Range;
use std::sync::LazyLock;

const MIX: u64 = 0xA076_1D64_78BD_642F;

static SEED: LazyLock<u64> = LazyLock::new(|| std::hash::BuildHasher::hash_one(&RandomState::new(), 0_u8));

/// A map from words, given by their [`WordId`]s.
pub(crate) type WordMap<V> = HashMap<WordId, V, BuildHasherDefault<Given>>;

/// Builds hashers for maps with other small keys: quick, and seeded as well.
pub(crate) type Spread = BuildHasherDefault<Given>;

/// The hash of a word: always the same for the same word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WordId(u64);

impl WordId {
    /// Of a word.
    pub(crate) fn of(word: &str) -> Self {
        Self::within(word, &(0..word.len()))
    }

    /// Of a word in a text.
    #[inline]
    pub(crate) fn within(text: &str, range: &Range<usize>) -> Self {
        hash(text, range, 0)
    }

    /// Of a word of ASCII letters and digits in a text, the same for its capitals and its small letters.
    #[inline]
    pub(crate) fn folded(text: &str, range: &Range<usize>) -> Self {
        hash(text, range, 0x2020_2020_2020_2020)
    }

    /// As a number.
    #[inline]
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// 15 bits of it, for small tables.
    #[inline]
    pub(crate) fn bits(self) -> usize {
        (self.0 >> 20 & 0x7FFF) as usize
    }
}

/// A set of numbers of 15 bits: tells most words from those that are looked for, at the cost of a bit each.
#[derive(Debug)]
pub(crate) struct Filter([u64; 512]);

impl Filter {
    /// One that has nothing.
    pub(crate) fn new() -> Self {
        Filter([0; 512])
    }

    pub(crate) fn insert(&mut self, bits: usize) {
        self.0[bits >> 6 & 511] |= 1 << (bits & 63);
    }

    /// Whether the number, or one that shares its place, was inserted.
    #[inline]
    pub(crate) fn contains(&self, bits: usize) -> bool {
        self.0[bits >> 6 & 511] >> (bits & 63) & 1 == 1
    }
}

/// What is known of some words. Of most other words a bit tells that they are none of them.
#[derive(Debug)]
pub(crate) struct WordList<V> {
    filter: Filter,
    known: WordMap<V>,
}

impl<V> WordList<V> {
    /// What is known of a word, if it is on the list.
    #[inline]
    pub(crate) fn get(&self, word: WordId) -> Option<&V> {
        if self.filter.contains(word.bits()) { self.known.get(&word) } else { None }
    }
}

impl<V> From<WordMap<V>> for WordList<V> {
    fn from(known: WordMap<V>) -> Self {
        let mut filter = Filter::new();
        known.keys().for_each(|word| filter.insert(word.bits()));
        WordList { filter, known }
    }
}

/// Takes eight bytes a step, each with the bits of `fold` set. Most words take one step, whatever their length: what
/// stands behind them is read along and cut off.
#[inline]
fn hash(text: &str, range: &Range<usize>, fold: u64) -> WordId {
    let length = range.len();
    match text.as_bytes().get(range.start..).and_then(|rest| rest.first_chunk::<8>()) {
        Some(eight) if length <= 8 => {
            WordId(mix(length as u64, cut(u64::from_le_bytes(*eight) | fold, length)))
        }
        _ => hash_any(text, range, fold),
    }
}

/// The same for long words, and for those near the end of their text.
#[inline(never)]
fn hash_any(text: &str, range: &Range<usize>, fold: u64) -> WordId {
    let bytes = text.as_bytes().get(range.start..).unwrap_or_default();
    let mut left = range.len().min(bytes.len());
    let (mut hash, mut at) = (left as u64, 0);
    loop {
        let eight = fold
            | match bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
                Some(eight) => u64::from_le_bytes(*eight),
                None => bytes[at..].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
            };
        if left <= 8 {
            return WordId(mix(hash, cut(eight, left)));
        }
        hash = mix(hash, eight);
        (at, left) = (at + 8, left - 8);
    }
}

/// The first bytes of eight.
#[inline]
fn cut(eight: u64, length: usize) -> u64 {
    // Two shifts, since one by all 64 bits cannot be written.
    eight & !(u64::MAX << (4 * length) << (4 * length))
}

#[inline]
fn mix(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ word) * u128::from(MIX);
    (product as u64) ^ ((product >> 64) as u64)
}

impl Hash for WordId {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// Spreads a [`WordId`], or another small key, over a map.
#[derive(Debug, Default)]
pub(crate) struct Given(u64);

impl Hasher for Given {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = mix(self.0, u64::from(*byte));
        }
    }

    #[inline]
    fn write_u64(&mut self, hash: u64) {
        self.0 = mix(*SEED, hash);
    }

    #[inline]
    fn write_u32(&mut self, key: u32) {
        self.0 = mix(*SEED ^ u64::from(key), MIX);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn what_looks_alike_falls_apart_in_the_low_and_in_the_high_bits() {
        let short = (0..4096).map(|n| WordId::of(&format!("{n:x}")));
        let long = (0..4096).map(|n| WordId::of(&format!("a rather long word {n:04}")));
        let kinds: [Vec<WordId>; 2] = [short.collect(), long.collect()];
        for words in kinds {
            let place = |word: &WordId| Spread::default().hash_one(word);
            let low: HashSet<u64> = words.iter().map(|word| place(word) & 0xFFFF).collect();
            let high: HashSet<u64> = words.iter().map(|word| place(word) >> 48).collect();
            // 4,096 random values out of 65,536 leave about 3,970 distinct ones.
            assert!(low.len() > 3800 && high.len() > 3800, "{} {}", low.len(), high.len());
        }
    }

    #[test]
    fn a_word_has_one_number_wherever_it_stands_and_the_folded_one_whatever_its_case() {
        let text = "Straightforward straightforward a1";
        let [one, two, short] = [0..15, 16..31, 32..34];
        assert_ne!(WordId::within(text, &one), WordId::within(text, &two));
        assert_eq!(WordId::within(text, &two), WordId::of("straightforward"));
        assert_eq!(WordId::folded(text, &one), WordId::of("straightforward"));
        assert_eq!(WordId::folded(text, &short), WordId::of("a1"));
        assert_ne!(WordId::of("a"), WordId::of("a\0"));
    }
}
