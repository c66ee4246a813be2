use super::content;
use super::doc::{Doc, Kind};
use super::harness::without_blocks;
use super::message::{label, time};
use crate::session::{Message, Moment, Role, Session};

/// How a user's parts begin that the program wrote.
const NOT_THE_USER: &[&str] = &["# AGENTS.md instructions", "# Codex desktop context"];
const BLOCKS: &[&str] = &[
    "environment_context",
    "permissions instructions",
    "app-context",
    "user_instructions",
    "user_shell_command",
    "turn_aborted",
    "subagent_notification",
    "skill",
    "collaboration_mode",
];
/// What stands between the editor's context and the user's own words.
const REQUEST: &str = "## My request for Codex:";

/// A rollout of Codex CLI. Of its two streams the `response_item`s are read; the events repeat them.
#[derive(Debug, Default)]
pub(super) struct Log {
    session_id: Option<String>,
    model: Option<String>,
    started: Option<Moment>,
    messages: Vec<Message>,
    /// Written by a program's agent to another agent.
    of_an_agent: bool,
    /// What the log says of its turns; older ones say nothing.
    task_open: Option<bool>,
}

/// Whether a line is one of those that make up most of a large rollout and say nothing new, told before it is parsed.
pub(super) fn passes_over(line: &str) -> bool {
    let head = line.get(..line.len().min(200)).or_else(|| line.get(..197)).unwrap_or_default();
    let kind = head.split("\"type\"").nth(1).map(|rest| rest.trim_start_matches([':', ' ']));
    kind.is_some_and(|kind| kind.starts_with("\"compacted\"") || kind.starts_with("\"world_state\""))
}

impl Log {
    pub(super) fn line(&mut self, doc: Doc<'_>) {
        let [at, kind, payload, id] = doc.fields(["timestamp", "type", "payload", "id"]);
        let kind = kind.and_then(Doc::text).unwrap_or_default();
        match (&*kind, payload) {
            ("session_meta", Some(meta)) => self.meta(meta),
            ("response_item", Some(item)) => self.item(item, at),
            ("event_msg", Some(event)) => self.event(event),
            ("turn_context", Some(context)) => {
                let model = context.field("model").and_then(|model| label(model).ok().flatten());
                self.model = model.or(self.model.take());
            }
            // The oldest rollouts: items stand bare, behind a header.
            ("message", None) => self.item(doc, at),
            ("", None) if self.session_id.is_none() && self.messages.is_empty() => {
                self.session_id = id.and_then(|id| label(id).ok().flatten());
                self.started = at.and_then(time);
            }
            _ => {}
        }
    }

    /// The first one is the file's own; a fork carries those of its ancestors behind it.
    fn meta(&mut self, meta: Doc<'_>) {
        if self.session_id.is_some() {
            return;
        }
        let [id, at, source] = meta.fields(["id", "timestamp", "source"]);
        self.session_id = id.and_then(|id| label(id).ok().flatten());
        self.started = at.and_then(time);
        self.of_an_agent = source.is_some_and(|source| source.field("subagent").is_some());
    }

    fn item(&mut self, item: Doc<'_>, at: Option<Doc<'_>>) {
        let [kind, role, content] = item.fields(["type", "role", "content"]);
        if kind.and_then(Doc::text).as_deref() != Some("message") {
            return;
        }
        let role = match role.and_then(Doc::text).as_deref() {
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            _ => return,
        };
        let text = content.map(|content| said(content, role)).unwrap_or_default();
        if text.is_empty() {
            return;
        }
        let mut message = Message::new(role, text);
        message.timestamp = at.and_then(time);
        self.messages.push(message);
    }

    fn event(&mut self, event: Doc<'_>) {
        let [kind, turns] = event.fields(["type", "num_turns"]);
        match kind.and_then(Doc::text).as_deref() {
            Some("task_started" | "turn_started") => self.task_open = Some(true),
            Some("task_complete" | "turn_complete" | "turn_aborted") => self.task_open = Some(false),
            Some("thread_rolled_back") => self.roll_back(turns.and_then(Doc::number).unwrap_or_default()),
            _ => {}
        }
    }

    fn roll_back(&mut self, turns: f64) {
        let mut left = turns;
        while left > 0.0 {
            let Some(at) = self.messages.iter().rposition(|message| message.role == Role::User) else {
                return;
            };
            self.messages.truncate(at);
            left -= 1.0;
        }
    }

    pub(super) fn finish(self) -> Option<(Session, bool)> {
        if self.of_an_agent {
            return None;
        }
        let last_is_user = self.messages.last().is_some_and(|message| message.role == Role::User);
        let session = Session {
            session_id: self.session_id?,
            app: Some("codex".to_owned()),
            model: self.model,
            start_time: self.started.or_else(|| self.messages.iter().find_map(|message| message.timestamp)),
            end_time: self.messages.iter().rev().find_map(|message| message.timestamp),
            messages: self.messages,
            ..Session::default()
        };
        Some((session, self.task_open.unwrap_or(last_is_user)))
    }
}

/// The parts of a message that somebody said.
fn said(content: Doc<'_>, role: Role) -> String {
    let mut said = content::Content::default();
    let mut part = |text: &str| {
        if role == Role::Assistant {
            return said.push(text);
        }
        let text = text.rsplit_once(REQUEST).map_or(text, |(_, request)| request.trim());
        let text = without_blocks(text, BLOCKS);
        if !NOT_THE_USER.iter().any(|start| text.starts_with(start)) {
            said.push(&text);
        }
    };
    match content.kind() {
        Kind::Text => part(&content.text().unwrap_or_default()),
        _ => content.for_each(|item| {
            let [kind, text] = item.fields(["type", "text"]);
            match kind.and_then(Doc::text).as_deref() {
                Some("input_image") => part("[image]"),
                _ => part(&text.and_then(Doc::text).unwrap_or_default()),
            }
        }),
    }
    said.text
}

#[cfg(test)]
mod tests {
    use super::super::testing::{many, one};
    use super::passes_over;

    const FIXTURE: &str =
        include_str!("../../../tests/sources/codex/2026/03/02/rollout-2026-03-02T10-00-00-0195.jsonl");

    #[test]
    fn one_stream_is_read_without_what_the_program_wrote() {
        let session = one(FIXTURE);
        let texts: Vec<(&str, &str)> =
            session.messages.iter().map(|m| (m.role.as_str(), m.text.as_str())).collect();
        assert_eq!(
            texts,
            [
                ("user", "I work in Lisbon. Add a test for the parser."),
                ("assistant", "Added `parses_dates`."),
                ("user", "Use British spelling, please."),
                ("assistant", "Done."),
            ]
        );
        assert_eq!((session.session_id.as_str(), session.model.as_deref()), ("0195", Some("gpt-5-codex")));
        assert_eq!(many(FIXTURE).open, [] as [usize; 0]);
    }

    #[test]
    fn a_started_task_is_open_and_an_agents_own_rollout_is_no_chat() {
        let started = format!(
            "{FIXTURE}{}\n",
            r#"{"timestamp": "2026-03-02T11:00:00.000Z", "type": "event_msg", "payload": {"type": "task_started"}}"#
        );
        assert_eq!(many(&started).open, [0]);
        let agent = FIXTURE.replacen("\"source\": \"cli\"", "\"source\": {\"subagent\": \"review\"}", 1);
        assert!(many(&agent).sessions.is_empty());
    }

    #[test]
    fn compacted_lines_are_told_before_they_are_parsed() {
        assert!(passes_over("{\"timestamp\": \"x\", \"type\": \"compacted\", \"payload\": \"ü"));
        assert!(passes_over(&format!("{{\"type\":\"compacted\",\"payload\":\"{}\"}}", "ü".repeat(300))));
        assert!(!passes_over("{\"type\": \"response_item\", \"payload\": {\"type\": \"compacted\"}}"));
    }
}
