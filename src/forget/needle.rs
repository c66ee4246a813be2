use regex::{Regex, RegexBuilder, bytes};

/// Enough for every order that is accepted, each letter in both its cases.
const SIZE: usize = 64 << 20;

/// Words to look for, in texts and in the bytes of files, in whatever case.
#[derive(Debug, Clone)]
pub(super) struct Needle {
    text: Regex,
    bytes: bytes::Regex,
}

impl Needle {
    pub(super) fn new(text: &str) -> Result<Self, regex::Error> {
        let json = serde_json::to_string(text).unwrap_or_default();
        let quoted = json.get(1..json.len().saturating_sub(1)).unwrap_or_default();
        let in_bytes = format!("{}|{}", regex::escape(text), regex::escape(quoted));
        Ok(Needle {
            text: RegexBuilder::new(&regex::escape(text)).case_insensitive(true).size_limit(SIZE).build()?,
            bytes: bytes::RegexBuilder::new(&in_bytes).case_insensitive(true).size_limit(SIZE).build()?,
        })
    }

    pub(super) fn regex(&self) -> &Regex {
        &self.text
    }

    pub(super) fn in_text(&self, text: &str) -> bool {
        self.text.is_match(text)
    }

    /// Whether the words stand in a file, as they are or as JSON has them.
    pub(super) fn in_bytes(&self, bytes: &[u8]) -> bool {
        self.bytes.is_match(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_any_case_and_as_json_has_them() {
        let needle = Needle::new("Grüner \"Tee\".").unwrap();
        assert!(needle.in_text("mein GRÜNER \"tee\". ja") && !needle.in_text("Grüner Tee."));
        let line = serde_json::json!({ "content": "grüner \"tee\"." }).to_string();
        assert!(needle.in_bytes(line.as_bytes()) && !needle.in_bytes(b"gruener \"tee\"."));
        assert!(Needle::new(&"ſ".repeat(16 << 10)).is_ok(), "the largest order");
    }
}
