//! Cutting a session into questions and answers, and writing them as lines of training data.

use std::borrow::Cow;
use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::session::{Role, Session};
use crate::text::json;

/// What the user said until the assistant spoke, and what the assistant answered until the user spoke again.
///
/// Several messages in a row of one side are one turn, as chat templates want. What an assistant said before it
/// called a tool is not part of the answer; the answer is what it said with the tool's reply in hand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exchange<'a> {
    /// The user's words; empty when the assistant spoke first.
    pub question: Cow<'a, str>,
    /// The assistant's words; empty when there was nothing but tool calls, or nothing at all.
    pub answer: Cow<'a, str>,
    /// The messages from the first of the user to the last before the assistant spoke.
    pub asked: Range<usize>,
    /// The messages from the first of the assistant to the last before the user spoke again; empty when the
    /// question was not answered.
    pub answered: Range<usize>,
}

/// The exchanges of a session, in order. The last may lack an answer.
pub fn exchanges(session: &Session) -> Vec<Exchange<'_>> {
    let mut all: Vec<Exchange<'_>> = Vec::new();
    let mut now = Exchange::default();
    for (index, message) in session.messages.iter().enumerate() {
        match message.role {
            Role::System => {}
            Role::User => {
                if !now.answered.is_empty() {
                    all.push(std::mem::take(&mut now));
                }
                cover(&mut now.asked, index);
                append(&mut now.question, message.text.trim());
            }
            Role::Assistant => {
                cover(&mut now.answered, index);
                append(&mut now.answer, message.text.trim());
            }
            Role::Tool => now.answer = Cow::Borrowed(""),
        }
    }
    if !now.asked.is_empty() || !now.answered.is_empty() {
        all.push(now);
    }
    all
}

fn cover(range: &mut Range<usize>, index: usize) {
    *range = if range.start == range.end { index..index + 1 } else { range.start..index + 1 };
}

fn append<'a>(turn: &mut Cow<'a, str>, text: &'a str) {
    if turn.is_empty() {
        *turn = Cow::Borrowed(text);
    } else if !text.is_empty() {
        let turn = turn.to_mut();
        turn.push_str("\n\n");
        turn.push_str(text);
    }
}

/// How a line of training data is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `{"instruction", "output", "context"}`: the question, the answer, and the turns before as text
    /// (`User: …`, `Assistant: …`; empty when there are none).
    #[default]
    Alpaca,
    /// `{"messages": [{"role", "content"}, …]}`, the answer last. An earlier answer that was skipped (refused,
    /// rejected by the user) stands with `"weight": 0`: it is there to be understood, not learned.
    Messages,
    /// `{"conversations": [{"from": "human" | "gpt" | "system", "value"}, …]}`, the answer last, `weight` as in
    /// `messages`.
    Sharegpt,
}

/// A turn as it stands in a line.
#[derive(Debug, Clone, Copy)]
pub struct Turn<'a> {
    /// `System`, `User` or `Assistant`.
    pub role: Role,
    /// What was said.
    pub text: &'a str,
    /// Whether an assistant's turn is worth learning.
    pub good: bool,
}

#[derive(Serialize)]
struct Alpaca<'a> {
    #[serde(serialize_with = "json::text")]
    instruction: &'a str,
    #[serde(serialize_with = "json::text")]
    output: &'a str,
    #[serde(serialize_with = "json::text")]
    context: &'a str,
}

#[derive(Serialize)]
struct Messages<'a> {
    messages: Vec<Message<'a>>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    #[serde(serialize_with = "json::text")]
    content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u8>,
}

#[derive(Serialize)]
struct Conversations<'a> {
    conversations: Vec<Said<'a>>,
}

#[derive(Serialize)]
struct Said<'a> {
    from: &'static str,
    #[serde(serialize_with = "json::text")]
    value: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u8>,
}

impl Format {
    /// Writes one line, with its newline.
    pub fn write(
        self,
        out: &mut Vec<u8>,
        context: &[Turn<'_>],
        question: &str,
        answer: &str,
    ) -> serde_json::Result<()> {
        let last = [(Role::User, question), (Role::Assistant, answer)].map(|(role, text)| Turn {
            role,
            text,
            good: true,
        });
        let turns = || context.iter().chain(&last);
        match self {
            Format::Alpaca => {
                let context = prose(context);
                serde_json::to_writer(
                    &mut *out,
                    &Alpaca { instruction: question, output: answer, context: &context },
                )?;
            }
            Format::Messages => {
                let messages = turns().map(Turn::as_message).collect();
                serde_json::to_writer(&mut *out, &Messages { messages })?;
            }
            Format::Sharegpt => {
                let conversations = turns().map(Turn::as_said).collect();
                serde_json::to_writer(&mut *out, &Conversations { conversations })?;
            }
        }
        out.push(b'\n');
        Ok(())
    }
}

impl<'a> Turn<'a> {
    fn weight(&self) -> Option<u8> {
        (!self.good && self.role == Role::Assistant).then_some(0)
    }

    fn as_message(&self) -> Message<'a> {
        Message { role: self.role.as_str(), content: self.text, weight: self.weight() }
    }

    fn as_said(&self) -> Said<'a> {
        let from = match self.role {
            Role::User => "human",
            Role::Assistant => "gpt",
            Role::System | Role::Tool => "system",
        };
        Said { from, value: self.text, weight: self.weight() }
    }
}

/// The turns as text, one after the other.
fn prose(turns: &[Turn<'_>]) -> String {
    let mut text = String::with_capacity(turns.iter().map(|turn| turn.text.len() + 12).sum());
    for turn in turns {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(match turn.role {
            Role::User => "User: ",
            Role::Assistant => "Assistant: ",
            Role::System | Role::Tool => "System: ",
        });
        text.push_str(turn.text);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Message as Spoken;

    fn session(turns: &[(Role, &str)]) -> Session {
        let messages = turns.iter().map(|(role, text)| Spoken::new(*role, *text)).collect();
        Session { messages, ..Session::default() }
    }

    #[test]
    fn turns_in_a_row_are_one_and_the_answer_is_what_follows_the_tool() {
        use Role::{Assistant as A, System as S, Tool as T, User as U};
        let session = session(&[
            (S, "Be brief."),
            (A, "Hello!"),
            (U, "Weather?"),
            (U, "In Rome."),
            (A, "Let me look."),
            (T, "{\"sky\":\"clear\"}"),
            (A, " Clear. "),
            (A, "Warm."),
            (U, "Thanks"),
        ]);
        let cut = exchanges(&session);
        let seen: Vec<_> =
            cut.iter().map(|e| (&*e.question, &*e.answer, e.asked.clone(), e.answered.clone())).collect();
        assert_eq!(
            seen,
            [
                ("", "Hello!", 0..0, 1..2),
                ("Weather?\n\nIn Rome.", "Clear.\n\nWarm.", 2..4, 4..8),
                ("Thanks", "", 8..9, 0..0),
            ]
        );
    }

    #[test]
    fn the_three_formats() {
        let context = [
            Turn { role: Role::System, text: "Be brief.", good: true },
            Turn { role: Role::User, text: "2+2?", good: true },
            Turn { role: Role::Assistant, text: "5", good: false },
        ];
        let written = |format: Format| {
            let mut out = Vec::new();
            format.write(&mut out, &context, "Sure?", "\"4\"\n").unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            written(Format::Alpaca),
            concat!(
                r#"{"instruction":"Sure?","output":"\"4\"\n","#,
                r#""context":"System: Be brief.\nUser: 2+2?\nAssistant: 5"}"#,
                "\n"
            )
        );
        assert_eq!(
            written(Format::Messages),
            concat!(
                r#"{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"2+2?"},"#,
                r#"{"role":"assistant","content":"5","weight":0},{"role":"user","content":"Sure?"},"#,
                r#"{"role":"assistant","content":"\"4\"\n"}]}"#,
                "\n"
            )
        );
        assert_eq!(
            written(Format::Sharegpt),
            concat!(
                r#"{"conversations":[{"from":"system","value":"Be brief."},{"from":"human","value":"2+2?"},"#,
                r#"{"from":"gpt","value":"5","weight":0},{"from":"human","value":"Sure?"},"#,
                r#"{"from":"gpt","value":"\"4\"\n"}]}"#,
                "\n"
            )
        );
    }
}
