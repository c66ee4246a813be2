//! The placeholders of one session: the same value gets the same one, and none is used twice.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

/// What must be remembered between the texts of one session so that the same value gets the same placeholder in all.
///
/// Values are kept as keyed hashes; only those that the words around gave away are kept as they are, to find them
/// again where they stand alone, and go with the scope.
#[derive(Clone)]
pub struct Scope {
    key: [u8; 32],
    given: HashMap<[u8; 32], String>,
    next: HashMap<String, u32>,
    reserved: HashSet<String>,
    /// How many values each rule replaced.
    pub(super) counts: BTreeMap<String, u32>,
    /// Secrets to look for wherever they stand, each with the position of its rule and its placeholder.
    pub(super) echoes: BTreeMap<String, (usize, String)>,
    /// Halves of values that were split over two messages.
    pub(super) halves: Vec<Half>,
}

/// A half of a value that was split over two messages, as it stands in one of them.
#[derive(Debug, Clone)]
pub(super) struct Half {
    pub text: String,
    /// Whether it ends its message; else it begins it.
    pub ends: bool,
    /// Bytes of the message without the blanks around it.
    pub of: usize,
    pub placeholder: String,
}

impl Scope {
    /// A fresh scope; `key` keys the hashes by which values are remembered.
    pub(super) fn new(key: [u8; 32]) -> Self {
        Scope {
            key,
            given: HashMap::new(),
            next: HashMap::new(),
            reserved: HashSet::new(),
            counts: BTreeMap::new(),
            echoes: BTreeMap::new(),
            halves: Vec::new(),
        }
    }

    /// How many values each rule replaced so far.
    pub fn counts(&self) -> &BTreeMap<String, u32> {
        &self.counts
    }

    /// Keeps the placeholders a text already holds from being given to other values.
    pub(super) fn reserve(&mut self, text: &str) {
        for range in placeholders(text) {
            if let Some(placeholder) =
                text.get(range).filter(|placeholder| !self.reserved.contains(*placeholder))
            {
                self.reserved.insert(placeholder.to_owned());
            }
        }
    }

    /// The placeholder of a value: the one it was given before, else the next of its type.
    pub(super) fn placeholder(&mut self, label: &str, value: &str) -> String {
        let hash = *blake3::keyed_hash(&self.key, canonical(label, value).as_bytes()).as_bytes();
        if let Some(given) = self.given.get(&hash) {
            return given.clone();
        }
        let next = self.next.entry(label.to_owned()).or_insert(0);
        let placeholder = loop {
            *next = next.saturating_add(1);
            let candidate = format!("<{label}_{next}>");
            if !self.reserved.contains(&candidate) {
                break candidate;
            }
        };
        self.given.insert(hash, placeholder.clone());
        placeholder
    }

    /// Counts a replacement.
    pub(super) fn count(&mut self, rule: &str) {
        match self.counts.get_mut(rule) {
            Some(count) => *count += 1,
            None => drop(self.counts.insert(rule.to_owned(), 1)),
        }
    }
}

/// The form of a value that does not change with how it is written.
fn canonical(label: &str, value: &str) -> String {
    match label {
        "EMAIL" => value.replace("%40", "@").to_lowercase(),
        "NAME" => value.to_lowercase(),
        "PHONE" | "CARD" | "SSN" => value.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect(),
        "IBAN" => value.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect(),
        _ => value.to_owned(),
    }
}

/// Where placeholders such as `<EMAIL_1>` stand in a text.
pub(super) fn placeholders(text: &str) -> impl Iterator<Item = Range<usize>> {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'<', bytes).filter_map(move |start| {
        let rest = bytes.get(start + 1..bytes.len().min(start + 64))?;
        let close = rest.iter().position(|b| *b == b'>')?;
        let inner = rest.get(..close)?;
        let (label, number) = inner.split_at(inner.iter().rposition(|b| *b == b'_')?);
        let number = number.get(1..)?;
        let named = label.first().is_some_and(u8::is_ascii_uppercase)
            && label.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_');
        (named && !number.is_empty() && number.iter().all(u8::is_ascii_digit))
            .then_some(start..start + close + 2)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_keeps_its_placeholder_and_a_taken_one_is_passed_over() {
        let mut scope = Scope::new([7; 32]);
        scope.reserve("<EMAIL_1> <b> <EMAIL_X> <_1> <EMAIL_99999999999999999999> <é_1>");
        assert_eq!(scope.placeholder("EMAIL", "a@example.org"), "<EMAIL_2>");
        assert_eq!(scope.placeholder("EMAIL", "b@example.org"), "<EMAIL_3>");
        assert_eq!(scope.placeholder("EMAIL", "A@example.org"), "<EMAIL_2>");
        assert_eq!(scope.placeholder("CARD", "4111 1111"), scope.clone().placeholder("CARD", "4111-1111"));
        assert_eq!(scope.placeholder("PHONE", "555"), "<PHONE_1>");
    }
}
