//! What the model is asked.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::session::{Role, Session};
use crate::text::words::beginning;

/// Raised when the wording changes, so that answers to an earlier one are not taken for answers to this.
pub(super) const VERSION: u32 = 1;

/// Bytes of an assistant's message that are shown: they only give the user's words their sense.
const OTHERS: usize = 400;
/// Tokens that prompt and answer may have together beside the part itself.
const AROUND: u64 = 2048;

const TASK: &str = "\
You read a part of a chat and note what lasts about the user: who they are, where they live and work, their family, \
pets, health, plans and habits, and what they like, want or avoid. Note only what the user says of themselves in their \
own messages, and only what will still matter in a month. Do not note questions, requests, guesses, hypotheses, role \
play, or what the assistant says. If there is nothing, answer with two empty lists.

For each entry give the number of the user's message and a quote: words copied from that message exactly as they stand \
there, as few as prove it.

facts: attribute is one of name, age, birthday, lives_in, from, time_zone, works_as, works_at, works_in, studies, \
languages, family.sister (or another relative), pet, uses, project, hobby, owns, plan, event, health, diet, or another \
short name in lower case; value is as short as it can be.
preferences: polarity is for or against; object is what it is about, in a few words, lower case.

Answer with JSON only.";

/// What is added when the first answer could not be read.
const AGAIN: &str = "\
Your answer could not be read. Do not repeat the schema. Answer with one JSON object of this form and nothing else: \
{\"facts\": [{\"attribute\": \"lives_in\", \"value\": \"…\", \"message\": 0, \"quote\": \"…\"}], \"preferences\": \
[{\"polarity\": \"against\", \"object\": \"…\", \"message\": 0, \"quote\": \"…\"}]}. Both lists may be empty.";

/// A part of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Numbers of the user's messages in it.
    pub said: Vec<usize>,
    /// The messages as the model reads them.
    pub text: String,
}

/// Cuts a session into parts of about so many bytes, between messages. Parts in which the user says nothing are left
/// out. A chat that goes on leaves its earlier parts as they are.
pub(super) fn parts(session: &Session, bytes: usize) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut part = Part { said: Vec::new(), text: String::new() };
    for (number, message) in session.messages.iter().enumerate() {
        let (who, shown) = match message.role {
            Role::User => ("user", beginning(&message.text, bytes)),
            Role::Assistant => ("assistant", beginning(&message.text, OTHERS)),
            Role::System | Role::Tool => continue,
        };
        if shown.trim().is_empty() {
            continue;
        }
        if !part.text.is_empty() && part.text.len() + shown.len() > bytes {
            parts.push(std::mem::replace(&mut part, Part { said: Vec::new(), text: String::new() }));
        }
        if message.role == Role::User {
            part.said.push(number);
        }
        // As JSON, so that nothing in a message can look like the next one.
        let _ = writeln!(part.text, "{}", json!({"message": number, "role": who, "text": shown}));
    }
    parts.push(part);
    parts.retain(|part| !part.said.is_empty());
    parts
}

/// The form of an answer, as a JSON schema.
pub(super) fn schema() -> Value {
    let text = json!({"type": "string"});
    let number = json!({"type": "integer", "minimum": 0});
    let list = |fields: Value, required: [&str; 4]| {
        json!({"type": "array", "items": {
            "type": "object", "properties": fields, "required": required, "additionalProperties": false,
        }})
    };
    json!({
        "type": "object",
        "properties": {
            "facts": list(
                json!({"attribute": text, "value": text, "message": number, "quote": text}),
                ["attribute", "value", "message", "quote"],
            ),
            "preferences": list(
                json!({"polarity": {"type": "string", "enum": ["for", "against"]}, "object": text,
                       "message": number, "quote": text}),
                ["polarity", "object", "message", "quote"],
            ),
        },
        "required": ["facts", "preferences"],
        "additionalProperties": false,
    })
}

/// The messages of a request.
pub(super) fn messages(part: &Part, again: bool) -> Value {
    let asked = format!("The chat, one message a line:\n\n{}", part.text);
    let mut messages =
        vec![json!({"role": "system", "content": TASK}), json!({"role": "user", "content": asked})];
    if again {
        messages.push(json!({"role": "user", "content": AGAIN}));
    }
    Value::Array(messages)
}

/// A request to Ollama's `/api/chat`. Its context is as large as the part needs: Ollama would cut off what is beyond
/// its default without a word.
pub(super) fn for_ollama(model: &str, part: &Part, again: bool) -> Value {
    // Two bytes a token is few, and safe for other scripts.
    let context = part.text.len() as u64 / 2 + AROUND;
    json!({
        "model": model, "messages": messages(part, again), "stream": false, "format": schema(),
        "options": {"temperature": if again { 0.3 } else { 0.0 }, "num_ctx": context, "num_predict": 1024},
    })
}

/// A request to `/v1/chat/completions`.
pub(super) fn for_openai(model: &str, part: &Part, again: bool) -> Value {
    json!({
        "model": model, "messages": messages(part, again), "stream": false,
        "temperature": if again { 0.3 } else { 0.0 },
        "response_format": {"type": "json_schema",
            "json_schema": {"name": "extracted", "strict": true, "schema": schema()}},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Message;

    #[test]
    fn a_session_is_cut_between_messages_and_its_start_stays_when_it_goes_on() {
        let mut session = Session::default();
        session.messages.push(Message::new(Role::System, "be kind"));
        for number in 0..6 {
            session.messages.push(Message::new(Role::User, format!("{number}{}", "x".repeat(150))));
            session.messages.push(Message::new(Role::Assistant, "y".repeat(5000)));
        }
        let before = parts(&session, 1000);
        let said: Vec<usize> = before.iter().flat_map(|part| part.said.clone()).collect();
        assert_eq!(said, [1, 3, 5, 7, 9, 11]);
        assert!(before.len() > 1 && before.iter().all(|part| part.text.len() < 1500));
        session.messages.push(Message::new(Role::User, "z".repeat(900)));
        assert_eq!(parts(&session, 1000)[..before.len() - 1], before[..before.len() - 1]);
        assert_eq!(parts(&Session::default(), 1000), []);
    }
}
