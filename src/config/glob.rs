use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

/// A pattern for file names: `*` stands for any run of bytes, `?` for one; everything else for itself.
///
/// A crate would bring character classes, braces and path semantics that a flat folder has no use for, against
/// the thirty lines below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// Reads a pattern; the error says what is wrong with it.
    pub fn new(pattern: &str) -> Result<Self, &'static str> {
        if pattern.is_empty() {
            return Err("matches no file name");
        }
        if pattern.contains(['/', '\\']) {
            return Err("names a folder, but patterns are compared with file names");
        }
        if pattern.contains(['[', ']', '{', '}', '!']) {
            return Err("uses more than `*` and `?`, the only characters with a meaning");
        }
        Ok(Glob(pattern.to_owned()))
    }

    /// Whether a file name fits. Names are bytes, since they need not be UTF-8; upper and lower case differ.
    pub fn matches(&self, name: &[u8]) -> bool {
        let pattern = self.0.as_bytes();
        let (mut p, mut n) = (0, 0);
        // Where the last star stands, and how far into the name it reaches for now.
        let mut star: Option<(usize, usize)> = None;
        while let Some(&byte) = name.get(n) {
            match pattern.get(p) {
                Some(b'*') => {
                    star = Some((p, n));
                    p += 1;
                }
                Some(&expected) if expected == b'?' || expected == byte => {
                    p += 1;
                    n += 1;
                }
                _ => match star {
                    Some((at, reach)) => {
                        star = Some((at, reach + 1));
                        p = at + 1;
                        n = reach + 1;
                    }
                    None => return false,
                },
            }
        }
        pattern.iter().skip(p).all(|&rest| rest == b'*')
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Glob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A visitor, so that an error points to this pattern and not to the list it stands in.
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Glob;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a file name pattern such as \"*.json\"")
            }
            fn visit_str<E: de::Error>(self, pattern: &str) -> Result<Glob, E> {
                Glob::new(pattern).map_err(|why| E::custom(format!("the pattern {why}")))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl Serialize for Glob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Glob {
    fn schema_name() -> Cow<'static, str> {
        "pattern".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "pattern"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_what_they_say() {
        let cases = [
            ("*.json", "a.json", true),
            ("*.json", ".json", true),
            ("*.json", "a.jsonl", false),
            ("*.json", "a.json.json", true),
            ("chat-*-*.json", "chat-1-2-3.json", true),
            ("chat-*-*.json", "chat-1.json", false),
            ("?.txt", "a.txt", true),
            ("?.txt", ".txt", false),
            ("*", "", true),
            ("a*", "b", false),
            ("**a", "bca", true),
        ];
        for (pattern, name, fits) in cases {
            assert_eq!(Glob::new(pattern).unwrap().matches(name.as_bytes()), fits, "{pattern} on {name}");
        }
        assert!(Glob::new("*.json").unwrap().matches(b"\xff\xfe.json"), "names need not be UTF-8");
    }

    #[test]
    fn a_pattern_of_stars_takes_no_more_than_quadratic_time() {
        let pattern = Glob::new(&"*a".repeat(100)).unwrap();
        assert!(!pattern.matches(
            "a".repeat(20_000).as_bytes().iter().chain(b"b").copied().collect::<Vec<_>>().as_slice()
        ));
    }

    #[test]
    fn a_pattern_with_folders_or_classes_is_refused() {
        for pattern in ["", "a/*.json", "[ab].json", "*.{json,jsonl}"] {
            assert!(Glob::new(pattern).is_err(), "{pattern}");
        }
    }
}
