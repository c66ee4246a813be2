use crate::text::reading::Reading;
use crate::text::word_hash::WordId;
use crate::text::words::each_byte_run;

/// A 64-bit SimHash of a question and its answer. Case, punctuation and white space do not count. Examples with
/// nearly the same words have signatures that differ in few bits; [`SeenExamples`](super::SeenExamples) calls up
/// to 3 the same.
///
/// Each word votes once, however often it stands there, and the short ones only where there are few others: otherwise
/// the frequent words of the language make long texts alike that have nothing else in common, and whoever looks for
/// near signatures finds half the corpus in one place.
///
/// Signatures are kept in the state store: a change of this function needs the stored ones recomputed.
pub fn signature(question: &str, answer: &str) -> u64 {
    signature_of(Said { text: question, reading: None }, Said { text: answer, reading: None })
}

/// A question or an answer, and what is known of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said<'a> {
    pub(crate) text: &'a str,
    /// Of this text, but for white space around it.
    pub(crate) reading: Option<&'a Reading>,
}

/// The same [`signature`], where the words may have been read before.
pub(crate) fn signature_of(question: Said<'_>, answer: Said<'_>) -> u64 {
    let mut words = Words::default();
    for said in [question, answer] {
        match said.reading.filter(|_| said.text.is_ascii()) {
            Some(reading) => words.take(reading),
            None => words.read(said.text),
        }
    }
    let words = words.voting();
    if words.is_empty() {
        // Nothing but marks and emoji: only the very same text is the same.
        return mix([question.text, "\0", answer.text].iter().fold(1, |hash, text| {
            text.bytes().fold(hash, |hash, byte| mix(hash.rotate_left(8) ^ u64::from(byte)))
        }));
    }
    let mut votes = Votes::default();
    each_once(words.iter().map(|word| mix(*word)), |word| votes.add(word));
    votes.majority()
}

/// Words of fewer letters seldom say what a text is about.
const LONG: usize = 4;
/// With fewer long words than this the short ones count too.
const ENOUGH: usize = 8;

/// Hashes of the words of a text, lower case; in scripts without spaces, of each pair of letters.
#[derive(Default)]
struct Words {
    long: Vec<u64>,
    short: Vec<u64>,
}

impl Words {
    fn make_room(&mut self, text: &str) {
        self.long.reserve(text.len() / 8);
        self.short.reserve(text.len() / 8);
    }

    /// The words of a text of ASCII that was read before.
    fn take(&mut self, reading: &Reading) {
        self.make_room(&reading.lower);
        // Folding, which costs no look at the text, takes `_` for another letter.
        let plain = memchr::memchr(b'_', reading.lower.as_bytes()).is_none();
        for run in &reading.runs {
            let id = if plain { run.id } else { WordId::folded(&reading.lower, &run.range) };
            self.add(run.range.len(), id);
        }
    }

    fn read(&mut self, text: &str) {
        self.make_room(text);
        let ascii = text.is_ascii();
        each_byte_run(text, |range| match text.get(range.clone()) {
            Some(run) if !ascii && !run.is_ascii() => self.read_beyond_ascii(run),
            _ => self.add(range.len(), WordId::folded(text, &range)),
        });
    }

    /// The same for a run that holds other letters, or marks, beside those of ASCII.
    fn read_beyond_ascii(&mut self, run: &str) {
        let mut word = String::new();
        let mut before: Option<char> = None;
        for c in run.chars() {
            let lone = c.is_alphanumeric() && is_a_word_itself(c);
            if c.is_alphanumeric() && !lone {
                word.extend(c.to_lowercase());
            } else if !word.is_empty() {
                self.add(word.len(), WordId::of(&word));
                word.clear();
            }
            if lone {
                self.long.push(hash(&before.into_iter().chain([c]).collect::<String>()));
            }
            before = lone.then_some(c);
        }
        if !word.is_empty() {
            self.add(word.len(), WordId::of(&word));
        }
    }

    fn add(&mut self, bytes: usize, word: WordId) {
        if bytes < LONG { self.short.push(word.number()) } else { self.long.push(word.number()) }
    }

    /// Those that have a vote.
    fn voting(self) -> Vec<u64> {
        let Words { mut long, mut short } = self;
        if long.len() < ENOUGH {
            long.append(&mut short);
        }
        long
    }
}

fn hash(word: &str) -> u64 {
    WordId::of(word).number()
}

/// Spreads a hash over all 64 bits (the finaliser of MurmurHash3).
const fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// Letters of scripts that put no space between words (Thai, Lao, Khmer, Burmese, Chinese, Japanese, and Korean
/// with them).
fn is_a_word_itself(c: char) -> bool {
    matches!(c, '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{2e80}'..)
}

/// Hands out each hash the first time it comes. They are placed in a table at least twice as large as needed, by
/// their own low bits.
fn each_once(hashes: impl ExactSizeIterator<Item = u64>, mut take: impl FnMut(u64)) {
    let mut table = vec![0; (hashes.len() * 2).next_power_of_two()];
    let mask = table.len() - 1;
    for hash in hashes.map(|hash| hash.max(1)) {
        let mut place = hash as usize & mask;
        while table[place] != 0 && table[place] != hash {
            place = (place + 1) & mask;
        }
        if table[place] == 0 {
            table[place] = hash;
            take(hash);
        }
    }
}

/// Counts, for each of the 64 bits, how many hashes have it set: 64 counters that stand upright, so that one
/// operation on words counts for all of them. Level `n` holds bit `n` of the counters; what arrives there waits
/// for a second to be added with it, so that each level is touched half as often as the one below.
#[derive(Default)]
struct Votes {
    levels: Vec<Level>,
    cast: u64,
}

#[derive(Default)]
struct Level {
    sum: u64,
    waiting: Option<u64>,
}

impl Votes {
    fn add(&mut self, hash: u64) {
        self.cast += 1;
        let mut carry = hash;
        for level in &mut self.levels {
            let Some(other) = level.waiting.take() else {
                level.waiting = Some(carry);
                return;
            };
            // A full adder, 64 times at once.
            let half = carry ^ other;
            carry = (carry & other) | (half & level.sum);
            level.sum ^= half;
        }
        self.levels.push(Level { sum: 0, waiting: Some(carry) });
    }

    /// The bits that more than half of the hashes have set.
    fn majority(&self) -> u64 {
        let count = |bit: u32| {
            let votes = |word: u64| word >> bit & 1;
            self.levels
                .iter()
                .rev()
                .fold(0, |sum, level| sum * 2 + votes(level.sum) + level.waiting.map_or(0, votes))
        };
        (0..64).filter(|bit| count(*bit) * 2 > self.cast).fold(0, |bits, bit| bits | 1 << bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(a: &str, b: &str) -> u32 {
        (signature("What is it?", a) ^ signature("What is it?", b)).count_ones()
    }

    #[test]
    fn case_marks_and_spacing_do_not_count() {
        assert_eq!(apart("Yes: **use** a `HashMap`!", "yes, use\n\n a hashmap"), 0);
        assert_eq!(apart("ÄRGER über Öl", "ärger — über öl."), 0);
    }

    #[test]
    fn a_long_answer_with_one_word_more_is_nearly_the_same_and_another_answer_is_not() {
        let frequent = "the and to of a in is it you that for on are with as I ".repeat(40);
        let answer: String = (0..300).map(|n| format!("word{} ", n * 7919 % 211)).collect();
        let other: String = (300..600).map(|n| format!("word{n} ")).collect();
        assert!(apart(&answer, &format!("{answer} indeed")) <= 3);
        assert!(apart(&(frequent.clone() + &answer), &(frequent + &other)) > 10);
    }

    #[test]
    fn words_are_the_same_whatever_stands_beside_them() {
        let words = |text: &str| {
            let mut words = Words::default();
            words.read(text);
            let mut all = words.voting();
            all.sort_unstable();
            all
        };
        let mut expected: Vec<u64> = ["use", "the", "café", "24", "uhr", "東", "東京", "ok"].map(hash).into();
        expected.sort_unstable();
        assert_eq!(words("Use the CAFÉ (24 Uhr) 東京 ok"), expected);
        assert_eq!(words("“Use”—the… café“24”Uhr 東京ok"), expected);
        assert_eq!(words("—use,the,café,24,uhr,東京!ok—"), expected);
        assert_eq!(words(" ,— "), [0; 0]);
    }

    #[test]
    fn short_answers_and_words_without_spaces_are_told_apart() {
        let answers = ["Paris.", "Rome.", "42", "43", "东京是日本的首都", "大阪是日本的城市", ""];
        for (n, a) in answers.iter().enumerate() {
            for b in &answers[n + 1..] {
                assert!(apart(a, b) > 3, "{a} / {b}");
            }
        }
    }

    #[test]
    fn without_words_only_the_same_text_is_the_same() {
        assert_eq!(signature("🎉", "?!"), signature("🎉", "?!"));
        assert!((signature("🎉", "?!") ^ signature("🎉", "!?")).count_ones() > 3);
    }

    #[test]
    fn what_was_read_before_has_the_same_signature() {
        let texts = ["Call `read_line` TWICE, x1 and", " a_b_c \n", "“Use” é a_b", "plain words only", ""];
        for (question, answer) in texts.iter().flat_map(|a| texts.map(|b| (*a, b))) {
            let readings = [question, answer].map(Reading::of);
            let said = |at: usize, text| Said { text, reading: readings.get(at) };
            assert_eq!(
                signature_of(said(0, question.trim()), said(1, answer.trim())),
                signature(question.trim(), answer.trim())
            );
        }
    }

    #[test]
    fn stored_signatures_stay_valid() {
        assert_eq!(
            signature("What is the capital of France?", "Paris — 首都 is Paris."),
            8_424_347_962_402_911_879
        );
    }

    #[test]
    fn the_upright_counters_count() {
        let (mut votes, mut state) = (Votes::default(), 1u64);
        let mut counts = [0u64; 64];
        for cast in 1..=300 {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let hash = state & state.rotate_left(31) | 1;
            votes.add(hash);
            counts.iter_mut().enumerate().for_each(|(bit, count)| *count += hash >> bit & 1);
            let expected = (0..64).filter(|bit| counts[*bit] * 2 > cast).fold(0, |bits, bit| bits | 1 << bit);
            assert_eq!(votes.majority(), expected, "after {cast}");
        }
    }
}
