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
    let mut words = Words::with_room(question.text.len() + answer.text.len());
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
    majority(&once(words))
}

/// Words of fewer letters seldom say what a text is about.
const LONG: usize = 4;
/// With fewer long words than this the short ones count too.
const ENOUGH: usize = 8;

/// Hashes of the words of a text, lower case; in scripts without spaces, of each pair of letters.
struct Words {
    long: Vec<u64>,
    short: Vec<u64>,
}

impl Words {
    /// Room for the words of so many bytes.
    fn with_room(bytes: usize) -> Self {
        Words { long: Vec::with_capacity(bytes / 6), short: Vec::with_capacity(bytes / 6) }
    }

    /// The words of a text of ASCII that was read before.
    fn take(&mut self, reading: &Reading) {
        // Folding, which costs no look at the text, takes `_` for another letter.
        let plain = memchr::memchr(b'_', reading.lower.as_bytes()).is_none();
        for run in &reading.runs {
            let id = if plain { run.id } else { WordId::folded(&reading.lower, &run.range()) };
            self.add(run.range().len(), id);
        }
    }

    fn read(&mut self, text: &str) {
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

/// The hashes, spread, each once. They are placed in a table at least twice as large as needed, by their own low bits.
fn once(mut hashes: Vec<u64>) -> Vec<u64> {
    let mut table = vec![0; (hashes.len() * 2).next_power_of_two()];
    let mask = table.len() - 1;
    hashes.retain_mut(|hash| {
        *hash = mix(*hash).max(1);
        let mut place = *hash as usize & mask;
        while table[place] != 0 && table[place] != *hash {
            place = (place + 1) & mask;
        }
        let new = table[place] == 0;
        table[place] = *hash;
        new
    });
    hashes
}

/// The bits that more than half of the hashes have set.
fn majority(hashes: &[u64]) -> u64 {
    let mut counters = Counters::default();
    let (eights, rest) = hashes.as_chunks();
    eights.iter().for_each(|eight| counters.add_eight(eight));
    rest.iter().for_each(|hash| counters.add(0, *hash));
    counters.above(hashes.len() as u64 / 2)
}

/// 64 counters that stand upright, so that one operation on words counts for all of them: word `n` holds bit `n` of each.
#[derive(Default)]
struct Counters([u64; 32]);

impl Counters {
    /// Adds one to each counter whose bit is set, and 2 to the power of `level` above the lowest.
    fn add(&mut self, level: usize, mut bits: u64) {
        for word in &mut self.0[level..] {
            (*word, bits) = (*word ^ bits, *word & bits);
            if bits == 0 {
                return;
            }
        }
    }

    /// Adds eight at once, by a tree of full adders (the counting of Harley and Seal: Warren, Hacker's Delight, 5-1).
    fn add_eight(&mut self, bits: &[u64; 8]) {
        let [ones, twos, fours, ..] = &mut self.0;
        let [a, b, c, d, e, f, g, h] = *bits;
        let first = [full_adder(ones, a, b), full_adder(ones, c, d)];
        let second = [full_adder(ones, e, f), full_adder(ones, g, h)];
        let (first, second) = (full_adder(twos, first[0], first[1]), full_adder(twos, second[0], second[1]));
        let eights = full_adder(fours, first, second);
        self.add(3, eights);
    }

    /// Which counters are above a number: compared bit by bit from the highest, all 64 at once.
    fn above(&self, number: u64) -> u64 {
        let (mut above, mut level_so_far) = (0, u64::MAX);
        for (level, word) in self.0.iter().enumerate().rev() {
            if number >> level & 1 == 1 {
                level_so_far &= word;
            } else {
                above |= level_so_far & word;
                level_so_far &= !word;
            }
        }
        above
    }
}

/// Adds two bits to a sum, 64 times at once; gives what is carried.
fn full_adder(sum: &mut u64, a: u64, b: u64) -> u64 {
    let half = a ^ b;
    let carry = (a & b) | (half & *sum);
    *sum ^= half;
    carry
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
            let mut words = Words::with_room(0);
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
        let (mut state, mut hashes) = (1u64, Vec::new());
        let mut counts = [0u64; 64];
        for cast in 1..=300 {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let hash = state & state.rotate_left(31) | 1;
            hashes.push(hash);
            counts.iter_mut().enumerate().for_each(|(bit, count)| *count += hash >> bit & 1);
            let expected = (0..64).filter(|bit| counts[*bit] * 2 > cast).fold(0, |bits, bit| bits | 1 << bit);
            assert_eq!(majority(&hashes), expected, "after {cast}");
        }
    }
}
