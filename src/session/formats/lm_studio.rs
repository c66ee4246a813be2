use super::doc::Doc;
use super::error::DecodeError;
use super::harness::speech;
use super::head::derived_id;
use super::message::{label, role, time};
use super::sink::Sink;
use crate::session::{Message, Role, Session};

/// Reads a conversation of LM Studio. Of each message the version that is selected is read; of an answer in several
/// steps the texts, without thoughts and tool calls.
///
/// The files hold no id: what makes it is `createdAt`, which stays when the chat goes on, and the first message.
pub(super) fn read(doc: Doc<'_>, sink: &mut Sink) -> Result<(), DecodeError> {
    let [name, created, list, model, settings] =
        doc.fields(["name", "createdAt", "messages", "lastUsedModel", "perChatPredictionConfig"]);
    let mut messages = Vec::new();
    let (mut unread, mut by_user) = (0, false);
    if let Some(list) = list {
        list.for_each(|item| match turn(item) {
            Some(message) => {
                by_user = message.role == Role::User;
                messages.extend(Some(message).filter(|message| !message.text.trim().is_empty()));
            }
            None => unread += 1,
        });
    }
    sink.leave_out(unread);
    let label_of = |doc: Option<Doc<'_>>| doc.and_then(|doc| label(doc).ok().flatten());
    let session_id = match label_of(created) {
        Some(created) => {
            format!("{}-{created}", derived_id("lm-studio", messages.get(..1).unwrap_or_default()))
        }
        None => derived_id("lm-studio", messages.get(..2).unwrap_or(&messages)),
    };
    let mut session = Session {
        session_id,
        app: Some("lm-studio".to_owned()),
        model: label_of(model.map(|model| model.field("identifier").unwrap_or(model))),
        start_time: created.and_then(time),
        messages,
        ..Session::default()
    };
    // No message: it may be changed while the chat goes on, and a revision begins as the chat before it did.
    if let Some(system) = settings.and_then(system_prompt) {
        session.metadata.insert("system_prompt".to_owned(), system.into());
    }
    if let Some(name) = name {
        name.keep_in(&mut session.metadata, "title");
    }
    sink.add_open(doc, session, by_user)
}

fn turn(doc: Doc<'_>) -> Option<Message> {
    let [versions, selected] = doc.fields(["versions", "currentlySelected"]);
    let selected = selected.and_then(Doc::number).unwrap_or_default();
    let (mut at, mut version, mut last) = (0.0, None, None);
    versions?.for_each(|item| {
        if at == selected {
            version = Some(item);
        }
        last = Some(item);
        at += 1.0;
    });
    let [who, content, steps] = version.or(last)?.fields(["role", "content", "steps"]);
    let role = role(who?).ok()?;
    let mut said = speech(content);
    if let Some(steps) = steps {
        steps.for_each(|step| {
            let [content, style] = step.fields(["content", "style"]);
            let thinking = style
                .and_then(|style| style.field("type"))
                .and_then(Doc::text)
                .is_some_and(|kind| kind == "thinking");
            let text = if thinking { String::new() } else { speech(content) };
            if !said.is_empty() && !text.is_empty() {
                said.push('\n');
            }
            said.push_str(&text);
        });
    }
    Some(Message::new(role, said))
}

/// The system prompt among the settings of a chat.
fn system_prompt(settings: Doc<'_>) -> Option<String> {
    let mut prompt = None;
    settings.field("fields")?.for_each(|field| {
        let [key, value] = field.fields(["key", "value"]);
        if key.and_then(Doc::text).is_some_and(|key| key == "llm.prediction.systemPrompt") {
            prompt = value.and_then(Doc::text).map(super::content::clean);
        }
    });
    prompt.filter(|prompt| !prompt.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{many, one};

    #[test]
    fn the_selected_versions_are_read_and_the_id_stays_when_the_chat_goes_on() {
        let mut chat = json!({"name": "Tea", "createdAt": 1772449200000_i64, "lastUsedModel": {"identifier": "qwen"},
            "perChatPredictionConfig": {"fields": [{"key": "llm.prediction.systemPrompt", "value": "Be brief."}]},
            "messages": [
                {"versions": [{"type": "singleStep", "role": "user", "content": [{"type": "text", "text": "Tae?"}]},
                              {"type": "singleStep", "role": "user", "content": [{"type": "text", "text": "Tea?"}]}],
                 "currentlySelected": 1},
                {"versions": [{"type": "multiStep", "role": "assistant", "steps": [
                    {"type": "contentBlock", "style": {"type": "thinking"}, "content": [{"type": "text", "text": "hm"}]},
                    {"type": "contentBlock", "content": [{"type": "text", "text": "Green."}]}]}], "currentlySelected": 0}]});
        let first = one(&chat.to_string());
        let texts: Vec<&str> = first.messages.iter().map(|m| m.text.as_str()).collect();
        assert_eq!(texts, ["Tea?", "Green."]);
        assert_eq!(first.metadata["system_prompt"], "Be brief.");
        assert_eq!(first.model.as_deref(), Some("qwen"));
        chat["messages"].as_array_mut().unwrap().push(
            json!({"versions": [{"role": "user", "content": [{"type": "text", "text": "Thanks"}]}], "currentlySelected": 0}));
        let grown = many(&chat.to_string());
        assert_eq!(grown.sessions[0].session_id, first.session_id);
        assert_eq!(grown.open, [0], "an answer is awaited");
    }
}
