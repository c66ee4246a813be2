//! Redaction of a whole file of JSON or JSON lines, string by string, so that it still parses.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::{Deserializer, IgnoredAny, Visitor};

use super::scan::{Echoes, Redactor};
use super::scope::{Half, Scope};

/// Fields that name a session; they stay, or the file would be another session when it is dropped again.
const IDENTITY: [&str; 8] =
    ["session_id", "user_id", "conversation_id", "id", "uuid", "app", "model", "account_uuid"];
/// Fields that hold what was said, where halves of split values are looked for.
const SAID: [&str; 6] = ["content", "text", "value", "parts", "message", "body"];

impl Redactor {
    /// A file of JSON or JSON lines with all its strings redacted: all else in it stays byte for byte. `None` for
    /// anything else.
    pub fn redact_document(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.document(&mut self.scope(), bytes)
    }

    /// The same with the placeholders a session was given.
    pub(super) fn document(&self, scope: &mut Scope, bytes: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (mark, body) = text.strip_prefix('\u{feff}').map_or(("", text), |body| ("\u{feff}", body));
        let lines = if parses(body) {
            vec![body]
        } else {
            body.split_inclusive('\n')
                .map(|line| (line.trim().is_empty() || parses(line)).then_some(line))
                .collect::<Option<_>>()?
        };
        scope.reserve(body);
        let mut out = String::with_capacity(text.len());
        out.push_str(mark);
        for line in lines {
            self.walk(scope, line, &mut out, &|scope, name, text| {
                let whole = if SAID.contains(&name) { halves(scope, text) } else { Cow::Borrowed(text) };
                match whole {
                    Cow::Borrowed(text) => self.field(scope, name, text),
                    Cow::Owned(text) => Cow::Owned(self.field(scope, name, &text).into_owned()),
                }
            });
        }
        if let Some(echoes) = Echoes::of(scope) {
            let first = std::mem::take(&mut out);
            // The strings are walked one by one, so lines need not be told apart any more.
            self.walk(scope, &first, &mut out, &|scope, _, text| self.echoes(scope, &echoes, text));
        }
        Some(out.into_bytes())
    }

    /// Copies JSON that parses, with every string put through `look`.
    fn walk(&self, scope: &mut Scope, json: &str, out: &mut String, look: &Look<'_>) {
        // The name of the field each open object is at, or that the open array is the value of.
        let mut open: Vec<Level> = Vec::new();
        let (mut at, mut copied) = (0, 0);
        let bytes = json.as_bytes();
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'{' | b'[' => {
                    let name = open.last().map(|level| level.name.clone()).unwrap_or_default();
                    open.push(Level { name, object: *byte == b'{', key_next: *byte == b'{' });
                }
                b'}' | b']' => drop(open.pop()),
                b',' => {
                    if let Some(level) = open.last_mut() {
                        level.key_next = level.object;
                    }
                }
                b'"' => {
                    let end = string_end(bytes, at);
                    let range = at..end;
                    let Some(text) = json.get(range.clone()).and_then(unquoted) else { return };
                    let depth = open.iter().filter(|level| level.object).count();
                    let (key, name) = match open.last_mut() {
                        Some(level) if level.key_next => {
                            (level.key_next, level.name) = (false, text.clone());
                            (true, String::new())
                        }
                        level => (false, level.map(|level| level.name.clone()).unwrap_or_default()),
                    };
                    let stays = !key && depth == 1 && IDENTITY.contains(&name.as_str());
                    if !stays && let Cow::Owned(redacted) = look(scope, &name, &text) {
                        copy(json, &mut copied, &range, &redacted, out);
                    }
                    at = end;
                    continue;
                }
                b'0'..=b'9' => {
                    let end = at + bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count();
                    let whole = !bytes.get(end).is_some_and(|b| matches!(b, b'.' | b'e' | b'E'));
                    let name = open.last().map(|level| level.name.clone()).unwrap_or_default();
                    let number = json.get(at..end).filter(|number| whole && number.len() >= 7);
                    if let Some(redacted) = number.and_then(|number| self.number(scope, &name, number)) {
                        copy(json, &mut copied, &(at..end), &redacted, out);
                    }
                    at = end;
                    while bytes
                        .get(at)
                        .is_some_and(|b| matches!(b, b'.' | b'e' | b'E' | b'+' | b'-' | b'0'..=b'9'))
                    {
                        at += 1;
                    }
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        out.push_str(json.get(copied..).unwrap_or_default());
    }
}

/// Gives the new text of a string, from the name of its field and its text.
type Look<'a> = dyn for<'t> Fn(&mut Scope, &str, &'t str) -> Cow<'t, str> + 'a;

/// An object or array that is open where the walk stands.
struct Level {
    name: String,
    object: bool,
    key_next: bool,
}

/// Copies up to a string and writes its new text in its place.
fn copy(json: &str, copied: &mut usize, range: &Range<usize>, text: &str, out: &mut String) {
    out.push_str(json.get(*copied..range.start).unwrap_or_default());
    out.push_str(&serde_json::Value::String(text.to_owned()).to_string());
    *copied = range.end;
}

fn parses(json: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(json).is_ok()
}

/// Where the string that opens at `at` ends, behind its quote.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while let Some(found) = bytes.get(end..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        if bytes.get(end + found) == Some(&b'"') {
            return end + found + 1;
        }
        end += found + 2;
    }
    bytes.len()
}

/// The text of a JSON string; halves of surrogate pairs are replaced.
fn unquoted(json: &str) -> Option<String> {
    struct Bytes;
    impl Visitor<'_> for Bytes {
        type Value = String;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a string")
        }
        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<String, E> {
            Ok(String::from_utf8_lossy(bytes).into_owned())
        }
    }
    serde_json::Deserializer::from_str(json).deserialize_bytes(Bytes).ok()
}

/// Puts placeholders in the place of halves that a text begins or ends with.
fn halves<'t>(scope: &Scope, text: &'t str) -> Cow<'t, str> {
    let mut out = Cow::Borrowed(text);
    for ends in [false, true] {
        let said = out.trim();
        let fits = |half: &&Half| {
            let same = half.of == text.trim().len();
            // A message may stand in the file in parts. A few letters, though, are a half only in their own message.
            let here = same || (scope.halves.len() <= 256 && half.text.len() >= 6);
            let found = || if ends { said.ends_with(&half.text) } else { said.starts_with(&half.text) };
            half.ends == ends && here && !half.text.is_empty() && found()
        };
        let best = scope
            .halves
            .iter()
            .filter(fits)
            .max_by_key(|half| (half.of == text.trim().len(), half.text.len()));
        let Some(half) = best else { continue };
        let (start, end) = (out.len() - out.trim_start().len(), out.trim_end().len());
        let range = if ends { end - half.text.len()..end } else { start..start + half.text.len() };
        out.to_mut().replace_range(range, &half.placeholder);
    }
    out
}
