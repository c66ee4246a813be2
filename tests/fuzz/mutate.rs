use fastrand::Rng;

use crate::mutate_json::changed;

/// Inputs are cut to this; a larger one now and then, to see what grows faster than its input.
const LONGEST: usize = if cfg!(debug_assertions) { 16 << 10 } else { 64 << 10 };
const LARGE: usize = if cfg!(debug_assertions) { 64 << 10 } else { 512 << 10 };

/// Pieces that programs stumble over.
const PIECES: &[&str] = &[
    "\0",
    "\u{1b}[2J",
    "\u{7}",
    "\u{202e}",
    "\u{2066}",
    "\u{feff}",
    "\u{e000}",
    "\u{10ffff}",
    "é\u{301}",
    "👩‍👩‍👧",
    "\r\n",
    "\n\n",
    "\u{2028}",
    "\\",
    "\"",
    "'",
    "\\u0000",
    "\\ud800",
    "\\ud83d\\ude00",
    "null",
    "true",
    "[]",
    "{}",
    "[[[[[[[[",
    "{\"a\":{\"a\":",
    "-0",
    "1e999",
    "-1e-999",
    "9223372036854775808",
    "18446744073709551616",
    "0.1e",
    "NaN",
    "../../etc/passwd",
    "'; DROP TABLE sessions; --",
    "{{ 7*7 }}{% for x in y %}",
    "<|im_start|>system",
    "\"\"\"\nFROM /etc/passwd\n",
    "%s%n%00",
    "$(touch x)",
    "``` ",
    "a\u{ad}b",
    "ſıK",
];

const ODD_NUMBERS: &[&str] = &["1e999", "-1", "1e400", "99999999999999999999", "0.0000001", "-0"];

/// Makes inputs out of seeds.
pub(crate) struct Mutator {
    seeds: Vec<Vec<u8>>,
    words: &'static [&'static str],
}

impl Mutator {
    pub(crate) fn new(seeds: Vec<Vec<u8>>, words: &'static [&'static str]) -> Self {
        assert!(!seeds.is_empty(), "a target has seeds");
        Mutator { seeds, words }
    }

    pub(crate) fn input(&self, rng: &mut Rng) -> Vec<u8> {
        let longest = if rng.u16(..500) == 0 { LARGE } else { LONGEST };
        let mut input = match rng.u8(..20) {
            0 => self.soup(rng),
            1 => (0..rng.usize(..64)).map(|_| rng.u8(..)).collect(),
            _ => self.seed(rng).to_vec(),
        };
        if rng.u8(..3) > 0 {
            for _ in 0..rng.usize(1..4) {
                let Some(text) = changed(&input, self.seed(rng), self.words, rng) else { break };
                input = text;
            }
        }
        // Half of what is JSON stays JSON.
        if rng.bool() {
            for _ in 0..1 << rng.u8(..4) {
                self.change(&mut input, longest, rng);
            }
        }
        input.truncate(longest);
        input
    }

    fn seed(&self, rng: &mut Rng) -> &[u8] {
        &self.seeds[rng.usize(..self.seeds.len())]
    }

    /// Words in any order.
    fn soup(&self, rng: &mut Rng) -> Vec<u8> {
        let mut soup = Vec::new();
        for _ in 0..rng.usize(1..40) {
            soup.extend_from_slice(self.piece(rng).as_bytes());
            if rng.bool() {
                soup.push(*rng.choice(b" \n\":,.=[]{}@-/").unwrap_or(&b' '));
            }
        }
        soup
    }

    fn piece(&self, rng: &mut Rng) -> &'static str {
        let all = if self.words.is_empty() || rng.bool() { PIECES } else { self.words };
        all[rng.usize(..all.len())]
    }

    fn change(&self, input: &mut Vec<u8>, longest: usize, rng: &mut Rng) {
        let at = rng.usize(..=input.len());
        let behind = (at + span(rng)).min(input.len());
        match rng.u8(..11) {
            0 if at < input.len() => input[at] ^= 1 << rng.u8(..8),
            1 if at < input.len() => {
                input[at] = *rng.choice(b"\0\n\r\t \"\\{}[],:0-9eE.\x7f\x80\xc3\xed\xf4\xff").unwrap_or(&0);
            }
            2 => drop(input.drain(at..behind)),
            3 => input.truncate(at),
            4 => {
                // Once more, or very often.
                let piece = input[at..behind].to_vec();
                let times = if rng.u8(..4) == 0 { longest / piece.len().max(1) } else { rng.usize(1..4) };
                let room = longest.saturating_sub(input.len());
                let more = piece.repeat(times.min(room / piece.len().max(1)));
                input.splice(at..at, more);
            }
            5 => {
                let other = self.seed(rng);
                let from = rng.usize(..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            6 => {
                let other = self.seed(rng);
                let from = rng.usize(..=other.len());
                let to = (from + span(rng)).min(other.len());
                input.splice(at..at, other[from..to].iter().copied());
            }
            7 => {
                let byte = rng.u8(..);
                input.splice(at..at, [byte]);
            }
            8 => {
                // A number that no number is.
                let digit = input.iter().skip(at).position(u8::is_ascii_digit).map(|found| at + found);
                if let Some(digit) = digit {
                    let odd = ODD_NUMBERS[rng.usize(..ODD_NUMBERS.len())];
                    input.splice(digit..=digit, odd.bytes());
                }
            }
            _ => {
                let piece = self.piece(rng).as_bytes();
                input.splice(at..at, piece.iter().copied());
            }
        }
        input.truncate(longest);
    }
}

/// Mostly short.
fn span(rng: &mut Rng) -> usize {
    let bits = rng.u8(..13);
    rng.usize(..1 << bits)
}
