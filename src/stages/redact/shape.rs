//! Shapes of tokens: literals and runs of characters of one class, matched without a regex.

/// The first `most` bytes of a text, cut before a character that does not fit.
pub(super) fn first_bytes(text: &str, most: usize) -> &str {
    (0..4).find_map(|less| text.get(..text.len().min(most).saturating_sub(less))).unwrap_or_default()
}

/// The last `most` bytes of a text, cut behind a character that does not fit.
pub(super) fn last_bytes(text: &str, most: usize) -> &str {
    (0..4).find_map(|less| text.get(text.len().saturating_sub(most) + less..)).unwrap_or_default()
}

/// A set of ASCII characters, one bit of [`CLASSES`] each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Class(u8);

/// `0-9`
pub(super) const DIGIT: Class = Class(1);
/// `A-Z a-z 0-9`
pub(super) const ALNUM: Class = Class(4);
/// `0-9 a-f A-F`
pub(super) const HEX: Class = Class(8);
/// `A-Z a-z 0-9 _ -`, the base64 of URLs
pub(super) const URL64: Class = Class(16);
/// `A-Z a-z 0-9 + / = _ -`, either base64
pub(super) const BASE64: Class = Class(32);
/// `A-Z 2-7`
pub(super) const BASE32: Class = Class(64);
/// `A-Z a-z 0-9 _ - . ~ + / =`, what a bearer token may hold
pub(super) const BEARER: Class = Class(128);

const CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 128 {
        let byte = at as u8;
        let mut bits = 0;
        if byte.is_ascii_digit() {
            bits |= 1;
        }
        if byte.is_ascii_alphabetic() {
            bits |= 2;
        }
        if byte.is_ascii_alphanumeric() {
            bits |= 4 | 16 | 32 | 128;
        }
        if byte.is_ascii_hexdigit() {
            bits |= 8;
        }
        if matches!(byte, b'_' | b'-') {
            bits |= 16 | 32 | 128;
        }
        if matches!(byte, b'+' | b'/' | b'=') {
            bits |= 32 | 128;
        }
        if byte.is_ascii_uppercase() || matches!(byte, b'2'..=b'7') {
            bits |= 64;
        }
        if matches!(byte, b'.' | b'~') {
            bits |= 128;
        }
        table[at] = bits;
        at += 1;
    }
    table
};

impl Class {
    /// Whether the byte belongs to the class.
    #[inline]
    pub(super) fn has(self, byte: u8) -> bool {
        CLASSES[byte as usize] & self.0 != 0
    }

    /// Where the run of this class that begins at `at` ends.
    pub(super) fn run(self, bytes: &[u8], at: usize) -> usize {
        let rest = bytes.get(at..).unwrap_or_default();
        at + rest.iter().position(|b| !self.has(*b)).unwrap_or(rest.len())
    }

    /// Where the run of this class that ends before `end` begins, looking back at most `most` bytes. Never begins
    /// inside an escape such as `\n` or `%3D`, so that what stays before it still reads.
    pub(super) fn run_back(self, bytes: &[u8], end: usize, most: usize) -> usize {
        let mut start = end;
        while start > 0 && end - start < most && bytes.get(start - 1).is_some_and(|b| self.has(*b)) {
            start -= 1;
        }
        past_escape(bytes, start).min(end)
    }
}

/// One piece of a token behind its anchor.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// These characters.
    Is(&'static str),
    /// So many characters of a class, at least and at most.
    Run(Class, usize, usize),
}

/// At least `n`: as the last part it takes the whole run, so that nothing of a longer token stays behind.
pub(super) const fn run(class: Class, n: usize) -> Part {
    Part::Run(class, n, usize::MAX)
}

/// Exactly `n`.
pub(super) const fn just(class: Class, n: usize) -> Part {
    Part::Run(class, n, n)
}

/// Where the shape that begins at `at` ends, if it is there and no letter or digit follows.
pub(super) fn end_of(bytes: &[u8], mut at: usize, shape: &[Part]) -> Option<usize> {
    for part in shape {
        match *part {
            Part::Is(literal) => {
                if !bytes.get(at..)?.starts_with(literal.as_bytes()) {
                    return None;
                }
                at += literal.len();
            }
            Part::Run(class, least, most) => {
                let until = bytes.len().min(at.saturating_add(most));
                let end = class.run(bytes.get(..until)?, at);
                if end < at + least {
                    return None;
                }
                at = end;
            }
        }
    }
    let open = bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
    (!open).then_some(at)
}

/// What must stand before a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Anything: the prefix speaks for itself.
    Free,
    /// No letter or digit.
    Word,
    /// No letter, digit or character that joins words or base64: `_ - / + .`
    Alone,
}

impl Left {
    /// Whether a token may begin at `at`.
    pub(super) fn allows(self, bytes: &[u8], at: usize) -> bool {
        let Some(before) = at.checked_sub(1).and_then(|i| bytes.get(i)) else { return true };
        match self {
            Left::Free => true,
            Left::Word => !before.is_ascii_alphanumeric() || escape_ends(bytes, at),
            Left::Alone => {
                let joins =
                    before.is_ascii_alphanumeric() || matches!(before, b'_' | b'-' | b'/' | b'+' | b'.');
                !joins || escape_ends(bytes, at)
            }
        }
    }
}

/// Whether an escape (`\n`, `\u0022`, `\x22`, `%3D`) ends just before `at`.
fn escape_ends(bytes: &[u8], at: usize) -> bool {
    let back = |n: usize| at.checked_sub(n).and_then(|i| bytes.get(i)).copied().unwrap_or(b' ');
    let hex = |n: usize| (1..=n).all(|i| back(i).is_ascii_hexdigit());
    (matches!(back(1), b'n' | b'r' | b't' | b'b' | b'f' | b'/') && back(2) == b'\\')
        || (hex(2) && (back(3) == b'%' || (back(3) == b'x' && back(4) == b'\\')))
        || (hex(4) && back(5) == b'u' && back(6) == b'\\')
}

/// Moves a start that stands inside an escape behind it.
pub(super) fn past_escape(bytes: &[u8], start: usize) -> usize {
    let hex = |from: usize, n: usize| {
        bytes.get(from..from + n).is_some_and(|run| run.iter().all(u8::is_ascii_hexdigit))
    };
    let before = bytes.get(..start).unwrap_or_default();
    let slashes = before.iter().rev().take_while(|b| **b == b'\\').count();
    match (slashes % 2, before.last(), bytes.get(start)) {
        (1, _, Some(b'u')) if hex(start + 1, 4) => start + 5,
        (1, _, Some(b'x')) if hex(start + 1, 2) => start + 3,
        (1, _, Some(b)) if b.is_ascii_alphanumeric() => start + 1,
        (_, Some(b'%'), _) if hex(start, 2) => start + 2,
        _ => start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_takes_the_whole_run_and_refuses_what_goes_on() {
        let shape = [just(HEX, 4), Part::Is("."), run(HEX, 2)];
        assert_eq!(end_of(b"abcd.0123 x", 0, &shape), Some(9));
        assert_eq!(end_of(b"abcd.0", 0, &shape), None);
        assert_eq!(end_of(b"abcd.01z", 0, &shape), None);
        assert_eq!(end_of(b"abcde.01", 0, &shape), None);
        assert_eq!(end_of(b"abcd", 9, &shape), None);
    }

    #[test]
    fn an_escape_is_an_edge_and_is_never_cut() {
        for text in [r"\nTOKEN", r"%3DTOKEN", r"\u0022TOKEN", r"\x22TOKEN"] {
            let at = text.find("TOKEN").unwrap();
            assert!(Left::Alone.allows(text.as_bytes(), at), "{text}");
            assert_eq!(ALNUM.run_back(text.as_bytes(), text.len(), 64), at, "{text}");
        }
        assert!(!Left::Word.allows(b"nTOKEN", 1));
    }
}
