//! Long texts as JSON strings. serde_json looks at them byte by byte, which took a twentieth of a session's instructions:
//! each of its messages stands in the training data and in the training set.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::bytes;

/// Serializes a text as serde_json does, into the same bytes. For `#[serde(serialize_with)]`, and for serde_json alone.
pub(crate) fn text<S: Serializer>(text: impl AsRef<str>, serializer: S) -> Result<S::Ok, S::Error> {
    let quoted = RawValue::from_string(quoted(text.as_ref())).map_err(serde::ser::Error::custom)?;
    quoted.serialize(serializer)
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + text.len() / 16 + 2);
    quoted.push('"');
    let mut written = 0;
    while let Some(at) = bytes::find(text.as_bytes(), written, is_escaped) {
        quoted.push_str(&text[written..at]);
        match text.as_bytes()[at] {
            b'"' => quoted.push_str("\\\""),
            b'\\' => quoted.push_str("\\\\"),
            b'\n' => quoted.push_str("\\n"),
            b'\t' => quoted.push_str("\\t"),
            b'\r' => quoted.push_str("\\r"),
            0x08 => quoted.push_str("\\b"),
            0x0C => quoted.push_str("\\f"),
            byte => quoted.push_str(&format!("\\u{byte:04x}")),
        }
        written = at + 1;
    }
    quoted.push_str(&text[written..]);
    quoted.push('"');
    quoted
}

/// Whether a byte cannot stand in a JSON string as it is.
fn is_escaped(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Serialize)]
    struct Said<'a> {
        #[serde(serialize_with = "text")]
        content: &'a str,
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_serde_json_writes(content in "[\\x00-\\x7Fé’\u{2028}😀]{0,100}") {
            let expected = serde_json::json!({ "content": content });
            prop_assert_eq!(serde_json::to_string(&Said { content: &content }).unwrap(), expected.to_string());
        }
    }
}
