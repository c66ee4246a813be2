//! Takes a JSON text apart into the values of its outermost list, one at a time.
//!
//! Only one value is held, however long the text. Nothing is checked but where a value ends; whoever reads the value
//! finds its mistakes.

use std::io::{self, Read};

/// Bytes read at a time.
const CHUNK: usize = 256 << 10;
/// The key around the list of conversations in exports that wrap it.
const WRAPPER: &[u8] = b"\"conversations\"";

/// One value of the list.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Element<'a> {
    /// Its JSON text.
    Value(&'a [u8]),
    /// It is larger than what is held, and was passed over.
    TooLarge,
    /// The text ends within it.
    Torn,
}

/// Where in the text the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    /// Between the values of a list; `wrapped`: the list is a value of an object.
    List {
        wrapped: bool,
    },
    /// In the rest of the object around a list.
    Rest,
    /// Between values that stand one after the other, as in JSONL.
    Top,
}

/// The values of the outermost list of a text; of a text that is no list, the values it consists of.
pub(super) struct Elements<R> {
    input: R,
    chunk: Vec<u8>,
    at: usize,
    place: Place,
    value: Vec<u8>,
    largest: usize,
    /// Bytes read so far.
    pub(super) bytes: u64,
}

/// How the reading of a value ended.
enum Ended {
    Whole,
    TooLarge,
    Torn,
    /// It is an object around a list of conversations, whose values come next.
    Wrapper,
}

impl<R: Read> Elements<R> {
    /// Holds values of at most `largest` bytes.
    pub(super) fn new(input: R, largest: usize) -> Self {
        Elements {
            input,
            chunk: Vec::new(),
            at: 0,
            place: Place::Start,
            value: Vec::new(),
            largest,
            bytes: 0,
        }
    }

    /// Whether the values are those of a list.
    pub(super) fn in_list(&self) -> bool {
        matches!(self.place, Place::List { .. })
    }

    /// The next value.
    ///
    /// # Errors
    /// If the input cannot be read.
    pub(super) fn next(&mut self) -> io::Result<Option<Element<'_>>> {
        loop {
            let Some(byte) = self.peek()? else {
                let torn = self.in_list() || self.place == Place::Rest;
                self.place = Place::Top;
                return Ok(torn.then_some(Element::Torn));
            };
            match (byte, self.place) {
                (b' ' | b'\t' | b'\n' | b'\r' | b',', _) | (0xEF | 0xBB | 0xBF, Place::Start) => self.at += 1,
                (b'[', Place::Start) => {
                    self.at += 1;
                    self.place = Place::List { wrapped: false };
                }
                (_, Place::Start) => self.place = Place::Top,
                (b']', Place::List { wrapped }) => {
                    self.at += 1;
                    self.place = if wrapped { Place::Rest } else { Place::Top };
                }
                (_, Place::Rest) => {
                    // Of the object around the list nothing more is wanted.
                    self.value.clear();
                    if !matches!(self.scan(1, false)?, Ended::Torn) {
                        self.place = Place::Top;
                    }
                }
                (_, Place::List { .. } | Place::Top) => match self.scan(0, true)? {
                    Ended::Whole => return Ok(Some(Element::Value(&self.value))),
                    Ended::TooLarge => return Ok(Some(Element::TooLarge)),
                    Ended::Torn => {
                        self.place = Place::Top;
                        return Ok(Some(Element::Torn));
                    }
                    Ended::Wrapper => self.place = Place::List { wrapped: true },
                },
            }
        }
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        if self.at >= self.chunk.len() {
            self.chunk.resize(CHUNK, 0);
            let read = loop {
                match self.input.read(&mut self.chunk) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => break result?,
                }
            };
            self.chunk.truncate(read);
            self.at = 0;
            self.bytes += read as u64;
        }
        Ok(self.chunk.get(self.at).copied())
    }

    /// Reads to the end of a value, from `depth` open brackets on.
    fn scan(&mut self, depth: usize, keep: bool) -> io::Result<Ended> {
        self.value.clear();
        let (mut depth, mut too_large, mut text) = (depth, !keep, false);
        let may_wrap = keep && self.place == Place::Top;
        loop {
            if self.peek()?.is_none() {
                // A bare number ends with the text.
                let whole = depth == 0 && !text && !self.value.is_empty();
                return Ok(if whole { Ended::Whole } else { Ended::Torn });
            }
            let rest = self.chunk.get(self.at..).unwrap_or_default();
            // How much is taken of the chunk, and whether the value ends there.
            let (taken, ended) = if text {
                match memchr::memchr2(b'"', b'\\', rest) {
                    None => (rest.len(), false),
                    Some(found) if rest.get(found) == Some(&b'\\') => {
                        self.keep(found + 1, &mut too_large);
                        // What is escaped, which may begin the next chunk.
                        if self.peek()?.is_some() {
                            self.keep(1, &mut too_large);
                        }
                        continue;
                    }
                    Some(found) => {
                        text = false;
                        (found + 1, depth == 0)
                    }
                }
            } else {
                match rest.first().copied().unwrap_or_default() {
                    b'"' => {
                        text = true;
                        (1, false)
                    }
                    b'[' if depth == 1 && may_wrap && !too_large && wraps(&self.value) => {
                        self.at += 1;
                        return Ok(Ended::Wrapper);
                    }
                    b'{' | b'[' => {
                        depth += 1;
                        (1, false)
                    }
                    // A bracket too many ends the value as well: the list around it goes on.
                    b'}' | b']' if depth == 0 && !self.value.is_empty() => (0, true),
                    b'}' | b']' => {
                        depth = depth.saturating_sub(1);
                        (1, depth == 0)
                    }
                    b',' | b' ' | b'\n' | b'\r' | b'\t' if depth == 0 => (0, true),
                    _ => {
                        let plain = |byte: &u8| {
                            matches!(
                                byte,
                                b'"' | b'{' | b'[' | b'}' | b']' | b',' | b' ' | b'\n' | b'\r' | b'\t'
                            )
                        };
                        let run = rest.iter().skip(1).position(plain).map_or(rest.len(), |found| found + 1);
                        (run, false)
                    }
                }
            };
            self.keep(taken, &mut too_large);
            if ended {
                return Ok(if too_large { Ended::TooLarge } else { Ended::Whole });
            }
        }
    }

    /// Takes so many bytes of the chunk into the value, as long as it may grow.
    fn keep(&mut self, taken: usize, too_large: &mut bool) {
        let end = (self.at + taken).min(self.chunk.len());
        if !*too_large {
            if self.value.len() + taken > self.largest {
                *too_large = true;
                self.value = Vec::new();
            } else {
                self.value.extend_from_slice(self.chunk.get(self.at..end).unwrap_or_default());
            }
        }
        self.at = end;
    }
}

/// Whether what was read of an object ends with the key of the list of conversations.
fn wraps(value: &[u8]) -> bool {
    let key = value.trim_ascii_end().strip_suffix(b":").map(<[u8]>::trim_ascii_end);
    key.is_some_and(|key| key.ends_with(WRAPPER))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Hands out a few bytes at a time, so that every place is once a border.
    struct Drops<'a>(&'a [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let taken = self.1.min(self.0.len()).min(buffer.len());
            buffer[..taken].copy_from_slice(&self.0[..taken]);
            self.0 = &self.0[taken..];
            Ok(taken)
        }
    }

    fn values(text: &str, drops: usize, largest: usize) -> Vec<String> {
        let mut elements = Elements::new(Drops(text.as_bytes(), drops), largest);
        let mut values = Vec::new();
        while let Some(element) = elements.next().unwrap() {
            values.push(match element {
                Element::Value(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Element::TooLarge => "too large".into(),
                Element::Torn => "torn".into(),
            });
            assert!(values.len() < 100);
        }
        values
    }

    #[test]
    fn values_come_one_by_one_wherever_the_chunks_end() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("[]", &[]),
            (
                "\u{FEFF}[ {\"a\": \"]}\\\"\"} ,\n{\"b\": [1, {}]} ]",
                &["{\"a\": \"]}\\\"\"}", "{\"b\": [1, {}]}"],
            ),
            ("{\"a\": 1}\n{\"b\": 2}\n", &["{\"a\": 1}", "{\"b\": 2}"]),
            ("{\"at\": 1, \"conversations\" : [{\"a\": 1}, {}], \"more\": [\"]}\"]}", &["{\"a\": 1}", "{}"]),
            ("[{\"conversations\": [1]}]", &["{\"conversations\": [1]}"]),
            ("[1, \"x\", null, [2, 3]]", &["1", "\"x\"", "null", "[2, 3]"]),
            ("[{\"a\": 1}, {\"b\": ", &["{\"a\": 1}", "torn"]),
            ("[{\"a\": 1}", &["{\"a\": 1}", "torn"]),
            ("{\"conversations\": [{\"a\": 1}", &["{\"a\": 1}", "torn"]),
            ("[\"\\", &["torn"]),
            ("12", &["12"]),
        ];
        for (text, expected) in cases {
            for drops in [1, 2, 3, 7, 1000] {
                assert_eq!(&values(text, drops, 1000), expected, "{text} by {drops}");
            }
        }
    }

    #[test]
    fn a_value_that_is_too_large_is_passed_over_and_those_after_it_come() {
        let text = format!("[{{\"a\": \"{}\"}}, {{\"b\": 1}}]", "x\\\"".repeat(500));
        assert_eq!(values(&text, 64, 100), ["too large", "{\"b\": 1}"]);
    }

    proptest! {
        #[test]
        fn no_bytes_hang_it(text in "[\\[\\]{}\",:\\\\ a1\n]{0,60}", drops in 1usize..9) {
            values(&text, drops, 20);
        }
    }
}
