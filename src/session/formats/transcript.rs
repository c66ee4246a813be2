use super::doc::Whole;
use super::error::{DecodeError, DecodeErrorKind};
use super::head::derived_id;
use super::sink::Sink;
use crate::session::{Message, Moment, Role, Session};

/// Names that say who speaks in every style.
const NAMES: &[(&str, Role)] = &[
    ("user", Role::User),
    ("human", Role::User),
    ("you", Role::User),
    ("you said", Role::User),
    ("me", Role::User),
    ("assistant", Role::Assistant),
    ("ai", Role::Assistant),
    ("bot", Role::Assistant),
    ("model", Role::Assistant),
    ("chatgpt", Role::Assistant),
    ("chatgpt said", Role::Assistant),
    ("gpt", Role::Assistant),
    ("claude", Role::Assistant),
    ("gemini", Role::Assistant),
    ("gemini said", Role::Assistant),
    ("copilot", Role::Assistant),
    ("copilot said", Role::Assistant),
    ("system", Role::System),
];
/// Names that are common words: they count in headings and bold lines only.
const WORDS: &[(&str, Role)] = &[
    ("prompt", Role::User),
    ("question", Role::User),
    ("request", Role::User),
    ("q", Role::User),
    ("response", Role::Assistant),
    ("answer", Role::Assistant),
    ("reply", Role::Assistant),
    ("a", Role::Assistant),
];

/// How a line says who speaks. A file keeps to that of its first: `User:` in an answer of a file with headings is text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// `## User`, `### You said:`
    Heading,
    /// `**User:** …`, `**User**`
    Bold,
    /// `User: …`
    Plain,
}

/// A line that says who speaks.
struct Speaker<'a> {
    style: Style,
    role: Role,
    at: Option<Moment>,
    /// What stands behind the name.
    rest: &'a str,
}

/// Reads Markdown or plain text in which lines say who speaks: `User:`, `**Assistant:**`, `## You said:`. A first
/// heading that names nobody is the title; code in fences is never taken for such a line.
///
/// The id comes of the first two messages, so that the same chat has the same one when it is longer next time.
pub(super) fn read(whole: &Whole<'_>, sink: &mut Sink) -> Result<(), DecodeError> {
    let (mut style, mut title, mut fenced) = (None, None, false);
    let mut messages: Vec<Message> = Vec::new();
    for line in whole.text.lines() {
        let fence = line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~");
        if !fenced && !fence {
            if let Some(speaker) =
                speaker(line).filter(|found| style.is_none_or(|style| style == found.style))
            {
                style = Some(speaker.style);
                let mut message = Message::new(speaker.role, speaker.rest);
                message.timestamp = speaker.at;
                messages.push(message);
                continue;
            }
            if let (None, true, Some(heading)) = (&title, messages.is_empty(), line.strip_prefix("# ")) {
                title = Some(heading.trim().to_owned());
            }
        }
        fenced ^= fence;
        if let Some(message) = messages.last_mut() {
            message.text.push('\n');
            message.text.push_str(line);
        }
    }
    if messages.is_empty() {
        return Err(DecodeError::new(DecodeErrorKind::WrongShape, "no line says who speaks").hint(
            "a transcript has lines such as \"User:\" and \"Assistant:\", \"**User:**\" or \"## User\"",
        ));
    }
    for message in &mut messages {
        message.text = super::content::clean(without_rule(message.text.trim()).into());
    }
    messages.retain(|message| !message.text.is_empty());
    let mut session = Session {
        session_id: derived_id("transcript", messages.get(..2).unwrap_or(&messages)),
        app: Some("transcript".to_owned()),
        start_time: messages.iter().find_map(|message| message.timestamp),
        end_time: messages.iter().rev().find_map(|message| message.timestamp),
        messages,
        ..Session::default()
    };
    session.metadata.extend(title.map(|title| ("title".to_owned(), title.into())));
    sink.add_text(session)
}

/// A text without the line that parts it from the next message.
fn without_rule(text: &str) -> &str {
    ["---", "***", "___"].iter().find_map(|rule| text.strip_suffix(rule)).map_or(text, str::trim_end)
}

fn speaker(line: &str) -> Option<Speaker<'_>> {
    let (at, line) = leading_time(line.trim());
    let (style, name, rest) = if line.starts_with('#') {
        let heading = line.trim_start_matches('#');
        let heading = heading.strip_prefix(' ')?.trim().trim_matches(['*', '_']);
        // The time behind a name has colons too.
        match trailing_time(heading) {
            (_, Some(_)) => (Style::Heading, heading, ""),
            _ => {
                let (name, rest) = heading.split_once(':').unwrap_or((heading, ""));
                (Style::Heading, name, rest)
            }
        }
    } else if let Some(bold) = line.strip_prefix("**").or_else(|| line.strip_prefix("__")) {
        let (name, rest) = bold.split_once("**").or_else(|| bold.split_once("__"))?;
        (Style::Bold, name.trim_end().trim_end_matches(':'), rest.trim_start().trim_start_matches(':'))
    } else {
        let (name, rest) = line.split_once(':')?;
        (Style::Plain, name, rest)
    };
    let (name, later) = trailing_time(name.trim().trim_matches(['*', '_']));
    let known = |(other, _): &&(&str, Role)| name.eq_ignore_ascii_case(other);
    let words = if style == Style::Plain { &[] } else { WORDS };
    // A sentence may begin with "you:", a speaker has a capital letter; headings and bold lines are marked anyway.
    let capital = style != Style::Plain || name.starts_with(|c: char| c.is_uppercase());
    let (_, role) = NAMES.iter().chain(words).find(known).filter(|_| capital)?;
    Some(Speaker { style, role: *role, at: at.or(later), rest: rest.trim() })
}

/// `[2026-01-02 10:00] User: …`
fn leading_time(line: &str) -> (Option<Moment>, &str) {
    let split = line.strip_prefix('[').and_then(|inner| inner.split_once(']'));
    match split.and_then(|(time, rest)| Some((moment(time)?, rest))) {
        Some((at, rest)) => (Some(at), rest.trim_start()),
        None => (None, line),
    }
}

/// `User (2026-01-02 10:00)`
fn trailing_time(name: &str) -> (&str, Option<Moment>) {
    let split = name.strip_suffix(')').and_then(|inner| inner.split_once('('));
    match split.and_then(|(name, time)| Some((name.trim_end(), moment(time)?))) {
        Some((name, at)) => (name, Some(at)),
        None => (name, None),
    }
}

fn moment(text: &str) -> Option<Moment> {
    let text = text.trim();
    Moment::parse(text).or_else(|| Moment::parse(&format!("{text}:00")))
}

#[cfg(test)]
mod tests {
    use super::super::{DecodeErrorKind, Format, decode};
    use crate::session::Session;

    fn read(text: &str) -> Session {
        decode(text.as_bytes(), Format::Transcript).unwrap().sessions.remove(0)
    }

    fn said(text: &str) -> Vec<(String, String)> {
        read(text).messages.into_iter().map(|m| (m.role.to_string(), m.text)).collect()
    }

    fn both(user: &str, assistant: &str) -> Vec<(String, String)> {
        vec![("user".into(), user.into()), ("assistant".into(), assistant.into())]
    }

    #[test]
    fn each_style_is_read_and_the_first_one_counts() {
        let cases = [
            "User: Tea?\nAssistant: Green.",
            "[2026-01-02 10:00] Human: Tea?\n[2026-01-02 10:01] Claude: Green.\n",
            "# A chat\n\n**User:** Tea?\n\n**Assistant:** Green.\n\n---\n",
            "---\nexported: 2026\n---\n**You**\n\nTea?\n\n**ChatGPT**\n\nGreen.\n",
            "# Tea\n## Prompt:\nTea?\n\n---\n\n## Response:\nGreen.\n",
            "##### You said:\nTea?\n###### ChatGPT said:\nGreen.",
            "## User (2026-01-02 10:00)\r\n\r\nTea?\r\n\r\n## Assistant (2026-01-02 10:01)\r\n\r\nGreen.\r\n",
        ];
        for text in cases {
            assert_eq!(said(text), both("Tea?", "Green."), "{text}");
        }
        let nested = "## User\nWrite a dialogue.\n## Assistant\nUser: hi\nAI: hello\n```\n## User\n```";
        assert_eq!(said(nested), both("Write a dialogue.", "User: hi\nAI: hello\n```\n## User\n```"));
        assert_eq!(said("User: note:\nyou: and me\nAssistant: ok"), both("note:\nyou: and me", "ok"));
    }

    #[test]
    fn title_times_and_an_id_that_stays_when_the_chat_grows() {
        let short = read("# Tea\n## User (2026-01-02 10:00)\nTea?\n## Assistant\nGreen.");
        let long = read("# Tea\n## User (2026-01-02 10:00)\nTea?\n## Assistant\nGreen.\n## User\nThanks.");
        assert_eq!(short.session_id, long.session_id);
        assert_eq!(short.metadata["title"], "Tea");
        assert_eq!(short.start_time.unwrap().to_string(), "2026-01-02T10:00:00");
    }

    #[test]
    fn prose_is_no_transcript() {
        for text in ["Just notes: nothing said.\n", "user of the system: none"] {
            assert_eq!(
                decode(text.as_bytes(), Format::Transcript).unwrap_err().kind,
                DecodeErrorKind::WrongShape
            );
        }
    }
}
