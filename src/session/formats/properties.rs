//! What holds for any input.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Format, Limits, decode, decode_within, looks_complete};
use crate::session::{Message, Moment, Rating, Role, Session};

const FORMATS: [Format; 16] = [
    Format::Auto,
    Format::Atles,
    Format::Openai,
    Format::Sharegpt,
    Format::Chatgpt,
    Format::Claude,
    Format::Jsonl,
    Format::OpenWebui,
    Format::Librechat,
    Format::LmStudio,
    Format::Jan,
    Format::ClaudeCode,
    Format::Codex,
    Format::GeminiCli,
    Format::Copilot,
    Format::Transcript,
];

/// The words that the readers look for, so that random JSON gets far into them.
const KEYS: &[&str] = &[
    "messages",
    "conversations",
    "mapping",
    "chat_messages",
    "current_node",
    "parent",
    "message",
    "author",
    "role",
    "from",
    "sender",
    "type",
    "content",
    "content_type",
    "value",
    "text",
    "parts",
    "metadata",
    "id",
    "uuid",
    "session_id",
    "timestamp",
    "create_time",
    "feedback",
    "name",
    "tool_calls",
    "attachments",
    "files",
    "file_name",
    "weight",
    "system",
    "parent_message_uuid",
    "user_context_message_data",
    "refusal",
    "chat",
    "history",
    "currentId",
    "parentId",
    "messagesTree",
    "messageId",
    "isCreatedByUser",
    "versions",
    "currentlySelected",
    "steps",
    "thread_id",
    "parentUuid",
    "sessionId",
    "payload",
    "projectHash",
    "kind",
    "k",
    "v",
    "requests",
    "response",
    "$set",
    "$rewindTo",
    "$serde_json::private::RawValue",
];
const WORDS: &[&str] = &[
    "user",
    "human",
    "assistant",
    "system",
    "tool",
    "function_call",
    "text",
    "multimodal_text",
    "code",
    "thoughts",
    "image",
    "tool_use",
    "user_editable_context",
    "session_meta",
    "response_item",
    "gemini",
    "tool_result",
    "2026-03-02T10:00:00Z",
    "up",
    "a",
    "b",
    "",
    "\u{0}",
    "\u{E200}x\u{E201}",
];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        prop_oneof![Just(0.0), Just(1e300), -2e15..2e15].prop_map(|number: f64| json!(number)),
        prop::sample::select(WORDS).prop_map(|word| json!(word)),
        ".{0,8}".prop_map(Value::String),
    ];
    leaf.prop_recursive(7, 80, 6, |inner| {
        let key = prop_oneof![9 => prop::sample::select(KEYS).prop_map(str::to_owned), 1 => ".{0,4}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::vec((key, inner), 0..7)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// Metadata as it comes back from a file: whole numbers, for floats may differ in their last digit.
fn metadata() -> impl Strategy<Value = Map<String, Value>> {
    let value = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(|number| json!(number)),
        ".{0,6}".prop_map(Value::String),
        prop::collection::vec("[a-z]{0,3}", 0..3).prop_map(|list| json!(list)),
    ];
    prop::collection::btree_map(".{1,6}", value, 0..4).prop_map(|entries| entries.into_iter().collect())
}

fn label() -> impl Strategy<Value = Option<String>> {
    prop::option::of("[^\u{0}]{0,8}[a-zü\\\\\"]")
}

fn moment() -> impl Strategy<Value = Option<Moment>> {
    let instant =
        (0i64..4_000_000_000_000).prop_map(|millis| Moment::from_epoch(millis as f64 / 1e3).unwrap());
    let local = Just(Moment::parse("2026-03-02T10:00:00.5").unwrap());
    prop::option::of(prop_oneof![instant, local])
}

fn message() -> impl Strategy<Value = Message> {
    let role = prop::sample::select(vec![Role::User, Role::Assistant, Role::System, Role::Tool]);
    let feedback = prop::option::of(prop::sample::select(vec![Rating::Up, Rating::Down]));
    let text = "[^\u{0}]{0,40}";
    (label(), role, label(), text, moment(), feedback, metadata()).prop_map(
        |(id, role, name, text, timestamp, feedback, metadata)| Message {
            id,
            role,
            name,
            text,
            timestamp,
            feedback,
            metadata,
        },
    )
}

fn session() -> impl Strategy<Value = Session> {
    let ids = ("[^\u{0}]{0,8}[a-z]", label(), label(), label());
    (ids, moment(), moment(), metadata(), prop::collection::vec(message(), 1..6)).prop_map(
        |((session_id, user_id, app, model), start, end, metadata, messages)| Session {
            session_id,
            user_id,
            app,
            model,
            start_time: start.or_else(|| messages.iter().find_map(|m| m.timestamp)),
            end_time: end.or_else(|| messages.iter().rev().find_map(|m| m.timestamp)),
            metadata,
            messages,
        },
    )
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for format in FORMATS {
            let _ = decode(&bytes, format);
        }
        looks_complete(&bytes);
    }

    #[test]
    fn no_json_makes_it_panic_and_the_same_bytes_give_the_same(value in any_json(), cut in 0usize..400) {
        let text = value.to_string();
        let bytes = text.as_bytes();
        let limits = Limits { sessions: 3, messages: 3 };
        for format in FORMATS {
            prop_assert_eq!(decode(bytes, format), decode(bytes, format));
            let _ = decode_within(bytes, format, limits);
            let _ = decode(&bytes[..cut.min(bytes.len())], format);
        }
        prop_assert!(looks_complete(bytes));
    }

    #[test]
    fn an_error_stands_inside_the_file(value in any_json(), cut in 0usize..400) {
        let text = serde_json::to_string_pretty(&value).unwrap();
        let cut = (0..=cut.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        let text = &text[..cut];
        if let Err(error) = decode(text.as_bytes(), Format::Auto) {
            let line = error.line.unwrap_or(1);
            prop_assert!(line >= 1 && line <= text.split('\n').count(), "{error}");
            let length = text.split('\n').nth(line - 1).unwrap_or_default().chars().count();
            let column = error.column.unwrap_or(1);
            prop_assert!(column >= 1 && column <= length + 1, "{error}");
        }
    }

    #[test]
    fn a_native_session_comes_back_as_it_was_written(session in session()) {
        for text in [serde_json::to_string(&session).unwrap(), serde_json::to_string_pretty(&session).unwrap()] {
            let decoded = decode(text.as_bytes(), Format::Auto).unwrap();
            prop_assert_eq!(decoded.format, "atles");
            prop_assert_eq!(&decoded.sessions, &vec![session.clone()]);
        }
    }
}
