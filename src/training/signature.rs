/// A 64-bit SimHash of a question and its answer. Case, punctuation and white space do not count. Examples with
/// nearly the same words have signatures that differ in few bits; [`SeenExamples`](super::SeenExamples) calls up
/// to 3 the same.
///
/// Signatures are kept in the state store: a change of this function needs the stored ones recomputed.
///
/// Each word votes once, however often it stands there: otherwise the frequent words of the language make long
/// texts alike that have nothing else in common.
pub fn signature(question: &str, answer: &str) -> u64 {
    let mut words = Vec::with_capacity((question.len() + answer.len()) / 5);
    each_word(question, |word| words.push(mix(word)));
    each_word(answer, |word| words.push(mix(word)));
    if words.is_empty() {
        // Nothing but marks and emoji: only the very same text is the same.
        return mix([question, "\0", answer].iter().fold(SEED, |hash, text| text.bytes().fold(hash, step)));
    }
    words.sort_unstable();
    words.dedup();
    let mut votes = Votes::default();
    words.iter().for_each(|word| votes.add(*word));
    votes.majority()
}

const SEED: u64 = 0xcbf2_9ce4_8422_2325;

/// One step of FNV-1a.
fn step(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
}

/// Spreads a hash over all 64 bits (the finaliser of MurmurHash3).
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// Hands out a hash of each word, lower case; in scripts without spaces, of each pair of letters.
fn each_word(text: &str, mut take: impl FnMut(u64)) {
    let mut word: Option<u64> = None;
    let mut lone: Option<char> = None;
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            word = Some(step(word.unwrap_or(SEED), (c as u8).to_ascii_lowercase()));
        } else if !c.is_ascii() && c.is_alphanumeric() {
            if is_a_word_itself(c) {
                word.take().into_iter().for_each(&mut take);
                take(letter(lone.replace(c).map_or(SEED, |before| letter(SEED, before)), c));
                continue;
            }
            word = Some(c.to_lowercase().fold(word.unwrap_or(SEED), letter));
        } else {
            word.take().into_iter().for_each(&mut take);
        }
        lone = None;
    }
    word.into_iter().for_each(take);
}

fn letter(hash: u64, c: char) -> u64 {
    c.encode_utf8(&mut [0; 4]).bytes().fold(hash, step)
}

/// Letters of scripts that put no space between words (Thai, Lao, Khmer, Burmese, Chinese, Japanese, and Korean
/// with them).
fn is_a_word_itself(c: char) -> bool {
    matches!(c, '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{2e80}'..)
}

/// Counts, for each of the 64 bits, how many hashes have it set. The counters stand upright: plane `n` holds bit
/// `n` of all 64 counters, so that one addition with carry counts all of them.
#[derive(Default)]
struct Votes {
    planes: Vec<u64>,
    cast: u64,
}

impl Votes {
    fn add(&mut self, hash: u64) {
        self.cast += 1;
        let mut carry = hash;
        for plane in &mut self.planes {
            if carry == 0 {
                return;
            }
            let both = *plane & carry;
            *plane ^= carry;
            carry = both;
        }
        if carry != 0 {
            self.planes.push(carry);
        }
    }

    /// The bits that more than half of the hashes have set.
    fn majority(&self) -> u64 {
        let count =
            |bit: u32| self.planes.iter().rev().fold(0u64, |sum, plane| sum << 1 | (plane >> bit & 1));
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
    fn stored_signatures_stay_valid() {
        assert_eq!(
            signature("What is the capital of France?", "Paris — 首都 is Paris."),
            5_308_774_690_445_818_651
        );
    }

    #[test]
    fn the_upright_counters_count() {
        let mut votes = Votes::default();
        for hash in [0b0111, 0b0011, 0b0001, 0b1001, 0b0001] {
            votes.add(hash);
        }
        assert_eq!(votes.majority(), 0b0001);
        votes.add(0b0010);
        votes.add(0b0010);
        assert_eq!(votes.majority(), 0b0011);
    }
}
