//! Steps over JSON whose syntax was checked before, without checking it again: texts, which are most of a chat, are
//! passed over many bytes at a time.

use memchr::memchr2;

/// The children of an object or a list, each with its key, all as they are written.
pub(super) struct Children<'a> {
    json: &'a str,
    at: usize,
}

impl<'a> Children<'a> {
    /// Of an object or a list; any other value has none.
    pub(super) fn of(json: &'a str) -> Self {
        Children { json, at: if json.starts_with(['{', '[']) { 1 } else { json.len() } }
    }

    fn behind_blanks(&self, at: usize) -> Option<usize> {
        let rest = self.json.as_bytes().get(at..)?;
        Some(at + rest.iter().position(|byte| !is_blank(*byte))?)
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.json.as_bytes().get(at).copied()
    }
}

impl<'a> Iterator for Children<'a> {
    /// The key, with its quotation marks, where it is an object's; and the value.
    type Item = (Option<&'a str>, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let mut start = self.behind_blanks(self.at)?;
        if self.byte(start)? == b',' {
            start = self.behind_blanks(start + 1)?;
        }
        let mut key = None;
        if self.json.starts_with('{') && self.byte(start)? == b'"' {
            let end = end_of_text(self.json.as_bytes(), start)?;
            key = Some(self.json.get(start..end)?);
            let colon = self.behind_blanks(end)?;
            start = self.behind_blanks(colon + 1)?;
        }
        if matches!(self.byte(start)?, b'}' | b']') {
            return None;
        }
        self.at = end_of_value(self.json.as_bytes(), start)?;
        Some((key, self.json.get(start..self.at)?))
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// Where the value that begins here ends. Nesting costs no stack.
fn end_of_value(json: &[u8], start: usize) -> Option<usize> {
    if !matches!(json.get(start)?, b'"' | b'{' | b'[') {
        let ends = |byte: &u8| is_blank(*byte) || matches!(byte, b',' | b'}' | b']');
        let rest = json.get(start..)?;
        return Some(start + rest.iter().position(ends).unwrap_or(rest.len()));
    }
    let (mut at, mut depth) = (start, 0_usize);
    loop {
        let byte = json.get(at)?;
        at = if *byte == b'"' { end_of_text(json, at)? } else { at + 1 };
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Where the text whose first quotation mark stands here ends.
fn end_of_text(json: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr2(b'"', b'\\', json.get(at..)?)?;
        if json.get(at) == Some(&b'"') {
            return Some(at + 1);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn children(json: &str) -> Vec<(Option<&str>, &str)> {
        Children::of(json).collect()
    }

    #[test]
    fn children_come_as_they_are_written() {
        let json = "{ \"a\" : [1, {\"b\": \"]\"}] ,\n\"q\\\"\\\\\":\"x\\\\\", \"n\":-1.5e3,\"o\":{}}";
        let expected = [
            (Some("\"a\""), "[1, {\"b\": \"]\"}]"),
            (Some("\"q\\\"\\\\\""), "\"x\\\\\""),
            (Some("\"n\""), "-1.5e3"),
            (Some("\"o\""), "{}"),
        ];
        assert_eq!(children(json), expected);
        assert_eq!(children("[ true,null , \"{\",[]]").len(), 4);
        for empty in ["{}", "[ ]", "{\n}", "3", "\"[1]\""] {
            assert_eq!(children(empty), [], "{empty}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a\"\\\\{}\\[\\],: \n\u{1}é]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            let key = "[a\"\\\\{}:,]{0,4}";
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn they_are_what_serde_json_reads(value in value(), pretty in any::<bool>()) {
            let json = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let json = json.unwrap();
            let read = |json: &str| serde_json::from_str::<Value>(json).unwrap();
            let found: Vec<(Option<Value>, Value)> =
                Children::of(&json).map(|(key, value)| (key.map(read), read(value))).collect();
            let expected: Vec<(Option<Value>, Value)> = match read(&json) {
                Value::Object(map) => map.into_iter().map(|(key, value)| (Some(key.into()), value)).collect(),
                Value::Array(items) => items.into_iter().map(|item| (None, item)).collect(),
                _ => Vec::new(),
            };
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn what_is_no_json_ends_the_walk(text in "[{}\\[\\]\",:\\\\ a1é]{0,30}") {
            prop_assert!(Children::of(&text).count() <= text.len());
        }
    }
}
