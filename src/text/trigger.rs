//! The cheap test in front of expensive patterns: which rules could match at all, and where.

use std::collections::HashMap;

use super::literals::Literals;

/// What must stand around a trigger for its rule to have a chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Nothing.
    Open,
    /// A first person shortly before it or in it, or the beginning of a sentence.
    Subject,
    /// "My" or "our" shortly before it or in it.
    Own,
    /// No subject right before it.
    Order,
    /// A capital letter behind it.
    Capital,
    /// A digit behind it.
    Digit,
}

const GATES: [Gate; 6] = [Gate::Open, Gate::Subject, Gate::Own, Gate::Order, Gate::Capital, Gate::Digit];

/// How many bytes before a trigger its subject may begin.
const REACH: usize = 60;

/// All triggers of up to 128 rules.
#[derive(Debug)]
pub(crate) struct Triggers {
    literals: Literals,
    /// For each trigger, the rules it wakes as bits, by gate.
    wakes: Vec<[u128; GATES.len()]>,
}

/// Where rules woke up, in order: byte offset and the rules as bits.
pub(crate) type Hits = Vec<(usize, u128)>;

impl Triggers {
    /// Takes each rule's bit, gate and triggers. Triggers are lower case and match any case; `'` stands for the
    /// typographic apostrophe too.
    pub(crate) fn new<'a>(rules: impl Iterator<Item = (usize, Gate, &'a [&'a str])>) -> Self {
        let mut wakes: HashMap<String, [u128; GATES.len()]> = HashMap::new();
        for (bit, gate, triggers) in rules {
            for trigger in triggers {
                let curly = trigger.contains('\'').then(|| trigger.replace('\'', "’"));
                for spelling in curly.into_iter().chain([(*trigger).to_owned()]) {
                    wakes.entry(spelling).or_default()[gate as usize] |= 1 << bit;
                }
            }
        }
        let (words, wakes): (Vec<_>, Vec<_>) = wakes.into_iter().unzip();
        Triggers { literals: Literals::new(words), wakes }
    }

    /// Which rules could match where in a message.
    pub(crate) fn hits(&self, text: &str) -> Hits {
        let bytes = text.as_bytes();
        let mut hits = Vec::new();
        self.literals.each(text, |trigger, place| {
            let bits = self.wakes.get(trigger).map_or(0, |wakes| woken(wakes, bytes, place.start, place.end));
            if bits != 0 {
                hits.push((place.start, bits));
            }
        });
        hits.sort_unstable_by_key(|(at, _)| *at);
        hits
    }
}

/// The rules that a trigger at this place wakes.
fn woken(wakes: &[u128; GATES.len()], bytes: &[u8], start: usize, end: usize) -> u128 {
    let open = |(gate, bits): &(Gate, &u128)| **bits != 0 && opens(*gate, bytes, start, end);
    GATES.into_iter().zip(wakes).filter(open).fold(0, |all, (_, bits)| all | bits)
}

/// Writes out a pattern in which a blank stands for any white space, with classes of ASCII: they are much faster, and
/// what is not ASCII counts as a letter.
pub(crate) fn ascii(pattern: String) -> String {
    const CLASSES: [(&str, &str); 8] = [
        (r"\s", r"[\t\r\n\x20]"),
        (" ?", r"[\t\r\n\x20]*"),
        (" ", r"[\t\r\n\x20]+"),
        (r"\S", r"[^\t\r\n\x20]"),
        (r"[\w", r"[a-z0-9_\x{80}-\x{10FFFF}"),
        (r"\w", r"[a-z0-9_\x{80}-\x{10FFFF}]"),
        (r"\b", r"(?-u:\b)"),
        (r"\d", "[0-9]"),
    ];
    CLASSES.iter().fold(pattern, |full, (class, plain)| full.replace(class, plain))
}

fn opens(gate: Gate, bytes: &[u8], start: usize, end: usize) -> bool {
    match gate {
        Gate::Open => true,
        Gate::Subject => begins_a_sentence(bytes, start) || has_subject(bytes, start, end),
        Gate::Own => has_owner(bytes, start, end),
        Gate::Order => !behind_a_subject(bytes, start),
        // Letters beyond ASCII may be capitals.
        Gate::Capital => bytes.get(end).is_some_and(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()),
        Gate::Digit => bytes.get(end).is_some_and(u8::is_ascii_digit),
    }
}

/// Whether only punctuation and blanks part this place from the sentence before.
fn begins_a_sentence(bytes: &[u8], start: usize) -> bool {
    let before = bytes.get(..start).unwrap_or_default();
    let last = before.iter().rev().find(|byte| !matches!(byte, b' ' | b'*' | b'_' | b'-' | b'('));
    last.is_none_or(|byte| {
        matches!(byte, b'.' | b'!' | b'?' | b'\n' | b',' | b':' | b';' | b'"') || *byte >= 0x80
    })
}

/// Whether "i" or "we" stands as a word (also in "I'm") shortly before the end of the trigger.
fn has_subject(bytes: &[u8], start: usize, end: usize) -> bool {
    let from = start.saturating_sub(REACH);
    let window = bytes.get(from..end).unwrap_or_default();
    window.iter().enumerate().rev().any(|(at, byte)| {
        let length = match byte {
            b'i' | b'I' => 1,
            b'w' | b'W' if window.get(at + 1).is_some_and(|e| matches!(e, b'e' | b'E')) => 2,
            _ => return false,
        };
        let letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphabetic);
        let before = (from + at).checked_sub(1).and_then(|i| bytes.get(i));
        let behind = bytes.get(from + at + length);
        // "im", "ive" and "id" without an apostrophe count too.
        let bare = length == 1 && behind.is_some_and(|byte| matches!(byte, b'm' | b'v' | b'M' | b'V'));
        !letter(before) && (!letter(behind) || bare)
    })
}

/// Whether "my" or "our" stands as a word shortly before the end of the trigger.
fn has_owner(bytes: &[u8], start: usize, end: usize) -> bool {
    let window = bytes.get(start.saturating_sub(REACH)..end).unwrap_or_default();
    window
        .split(|byte| !byte.is_ascii_alphabetic())
        .any(|word| word.eq_ignore_ascii_case(b"my") || word.eq_ignore_ascii_case(b"our"))
}

/// Whether the word before is a subject, so that what follows is no order.
fn behind_a_subject(bytes: &[u8], start: usize) -> bool {
    let before = bytes.get(start.saturating_sub(8)..start).unwrap_or_default();
    let before = before.trim_ascii_end();
    let word = before.rsplit(|byte| !byte.is_ascii_alphabetic()).next().unwrap_or_default();
    const SUBJECTS: [&[u8]; 11] =
        [b"i", b"we", b"they", b"it", b"she", b"he", b"this", b"that", b"which", b"who", b"people"];
    SUBJECTS.iter().any(|subject| subject.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_wakes_its_rule_only_where_the_gate_is_open() {
        let rules: [(usize, Gate, &[&str]); 4] = [
            (0, Gate::Subject, &["hate"]),
            (1, Gate::Order, &["don't "]),
            (2, Gate::Capital, &["i'm "]),
            (3, Gate::Digit, &["i'm "]),
        ];
        let triggers = Triggers::new(rules.into_iter());
        for (text, expected) in [
            ("I really hate it", 0b1),
            ("We hate it", 0b1),
            ("Ok. Hate it", 0b1),
            ("Tom and Ann hate it", 0),
            ("please don’t go", 0b10),
            ("I don't go", 0),
            ("I’m Tom", 0b100),
            ("I'm 5", 0b1000),
            ("I'm tired", 0),
        ] {
            let woken = triggers.hits(text).iter().fold(0, |all, (_, bits)| all | bits);
            assert_eq!(woken, expected, "{text}");
        }
    }
}
