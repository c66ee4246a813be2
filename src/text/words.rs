//! Splitting a text into words.

use std::ops::Range;

use super::word_hash::WordId;

/// Whether a character can stand in a word.
pub(crate) fn is_word_char(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Appends a text in lower case, with every letter at the offset it had: one whose lower case is longer or shorter in
/// UTF-8 (`İ`) is left as it is.
pub(crate) fn fold_case(text: &str, folded: &mut String) {
    let from = folded.len();
    let mut rest = text;
    while !rest.is_ascii() {
        let (plain, other) = rest.split_at(rest.bytes().take_while(u8::is_ascii).count());
        let (other, behind) = other.split_at(other.bytes().take_while(|byte| !byte.is_ascii()).count());
        folded.push_str(plain);
        folded.extend(other.chars().map(lower));
        rest = behind;
    }
    folded.push_str(rest);
    if let Some(added) = folded.get_mut(from..) {
        added.make_ascii_lowercase();
    }
}

fn lower(c: char) -> char {
    let mut lowered = c.to_lowercase();
    match (lowered.next(), lowered.next()) {
        (Some(small), None) if small.len_utf8() == c.len_utf8() => small,
        _ => c,
    }
}

/// A run of letters, digits and `_` in a text.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    // A long text has a million of them, so each is kept small.
    start: u32,
    end: u32,
    pub(crate) id: WordId,
}

impl Run {
    fn new(text: &str, range: &Range<usize>) -> Self {
        Run { start: range.start as u32, end: range.end as u32, id: WordId::within(text, range) }
    }

    /// Where it stands, in bytes.
    #[inline]
    pub(crate) fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// All runs of letters, digits and `_` of a text, as far as its first 4 GiB go.
pub(crate) fn runs(text: &str) -> Vec<Run> {
    let text = beginning(text, u32::MAX as usize);
    let mut found = Vec::with_capacity(text.len() / 5 + 1);
    if text.is_ascii() {
        each_byte_run(text, |range| found.push(Run::new(text, &range)));
    } else {
        each_byte_run(text, |range| parts_of_run(text, range, &mut found));
    }
    found
}

/// Signs beyond ASCII may part a run.
fn parts_of_run(text: &str, range: Range<usize>, found: &mut Vec<Run>) {
    if text.as_bytes()[range.clone()].is_ascii() {
        return found.push(Run::new(text, &range));
    }
    let (here, mut end) = (&text[..range.end], range.start);
    while end < range.end {
        let start = skip(here, end, false);
        end = skip(here, start, true);
        if start < end {
            found.push(Run::new(text, &(start..end)));
        }
    }
}

/// Calls back with each run of letters, digits, `_` and whatever is not ASCII.
#[inline]
pub(crate) fn each_byte_run(text: &str, mut found: impl FnMut(Range<usize>)) {
    // Words are short: a branch a byte would be mispredicted twice a word. So 64 bytes are judged at once, and the
    // edges picked from the bits.
    let (blocks, rest) = text.as_bytes().as_chunks::<64>();
    let mut last = [b' '; 64];
    last[..rest.len()].copy_from_slice(rest);
    let (mut start, mut inside) = (0, false);
    for (index, block) in blocks.iter().chain([&last]).enumerate() {
        let mask = word_mask(block);
        let mut edges = mask ^ (mask << 1 | u64::from(inside));
        while edges != 0 {
            let at = index * 64 + edges.trailing_zeros() as usize;
            edges &= edges - 1;
            if inside {
                found(start..at);
            }
            (start, inside) = (at, !inside);
        }
    }
    if inside {
        found(start..text.len());
    }
}

/// One bit a byte: letters, digits, `_` and all that is not ASCII.
fn word_mask(block: &[u8; 64]) -> u64 {
    let mut judged = [0; 64];
    for (judged, byte) in judged.iter_mut().zip(block) {
        let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
        *judged = u8::from(letter | (byte.wrapping_sub(b'0') < 10) | (*byte == b'_') | (*byte >= 0x80));
    }
    let (eights, _) = judged.as_chunks::<8>();
    eights.iter().rev().fold(0, |mask, eight| {
        // Brings the lowest bits of eight bytes together in the highest byte.
        mask << 8 | u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56
    })
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
        let start = skip(text, at, false);
        if start == text.len() {
            return None;
        }
        let mut end = skip(text, start, true);
        while let Some(joint) = joint(&text[end..]) {
            let next = skip(text, end + joint, true);
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

/// By byte: whether it is an ASCII character of a word.
const WORD_BYTES: [bool; 256] = {
    let mut bytes = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        bytes[byte] = byte as u8 == b'_' || (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    bytes
};

/// The first offset from `at` on where no character of a word stands (`inside`), or where one does.
fn skip(text: &str, mut at: usize, inside: bool) -> usize {
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        if byte.is_ascii() {
            if WORD_BYTES[usize::from(*byte)] != inside {
                return at;
            }
            at += 1;
            continue;
        }
        match text.get(at..).and_then(|rest| rest.chars().next()) {
            Some(c) if is_word_char(c) == inside => at += c.len_utf8(),
            _ => return at,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_those_that_reading_letter_by_letter_finds() {
        let text = "Plain words, a_b x1.  Ünlü—’quoted’ 你好。ok… ".repeat(9) + "and an end";
        for cut in (0..text.len()).filter(|cut| text.is_char_boundary(*cut)) {
            let text = &text[cut..];
            let expected: Vec<&str> =
                text.split(|c| !is_word_char(c)).filter(|run| !run.is_empty()).collect();
            let found: Vec<Run> = runs(text);
            assert_eq!(found.iter().map(|run| &text[run.range()]).collect::<Vec<_>>(), expected);
            assert!(found.iter().all(|run| run.id == WordId::of(&text[run.range()])));
        }
    }

    #[test]
    fn folding_lowers_every_letter_and_moves_none() {
        let text = "İstanbul ÜBER Straße ΣΑΣ ’QUOTED’ ẞ Ⱥ End";
        let mut folded = String::from("KEPT ");
        fold_case(text, &mut folded);
        assert_eq!(folded, "KEPT İstanbul über straße σασ ’quoted’ ẞ Ⱥ end");
        assert_eq!(folded.len(), "KEPT ".len() + text.len());
    }

    #[test]
    fn words_keep_their_apostrophes_and_hyphens_and_lose_their_punctuation() {
        let text = "Don’t 'stop' the follow-up -- Ünlü's x_1, ok? 你好";
        let found: Vec<&str> = words(text).map(|range| &text[range]).collect();
        assert_eq!(found, ["Don’t", "stop", "the", "follow-up", "Ünlü's", "x_1", "ok", "你好"]);
        assert_eq!(words("' - …").count(), 0);
    }
}
