use serde_json::{Map, Value};

use super::content::{clean, name};
use super::doc::{Doc, Kind};
use super::error::DecodeError;
use super::sink::{Sink, Skip};
use crate::session::{Message, Moment, Role, Session};

/// A chat session of VS Code. Newer ones are logs of changes to one state, which is built here; older ones are that
/// state.
#[derive(Debug, Default)]
pub(super) struct Log {
    state: Value,
}

/// Reads a session in its older form: one document.
pub(super) fn read(doc: Doc<'_>, sink: &mut Sink) -> Result<(), DecodeError> {
    let state = doc.keep().unwrap_or_default();
    match (Log { state }).finish() {
        Some((session, open)) => sink.add_open(doc, session, open),
        None => {
            sink.skip(Skip::NoMessages);
            Ok(())
        }
    }
}

impl Log {
    pub(super) fn line(&mut self, doc: Doc<'_>) {
        let [kind, path, value, at] = doc.fields(["kind", "k", "v", "i"]);
        let path = path.map(steps).unwrap_or_default();
        let kept = || value.and_then(Doc::keep).unwrap_or_default();
        match kind.and_then(Doc::number) {
            Some(0.0) => self.state = kept(),
            Some(1.0) => set(&mut self.state, &path, Some(kept())),
            Some(2.0) => {
                let at = at.and_then(Doc::number).filter(|at| *at >= 0.0).map(|at| at as usize);
                push(&mut self.state, &path, at, kept());
            }
            Some(3.0) => set(&mut self.state, &path, None),
            _ => {}
        }
    }

    pub(super) fn finish(self) -> Option<(Session, bool)> {
        let text = |value: &Value| name(value.as_str()?.into());
        let session_id = text(&self.state["sessionId"])?;
        let (mut messages, mut open, mut model) = (Vec::new(), false, None);
        for request in self.state["requests"].as_array().map(Vec::as_slice).unwrap_or_default() {
            if request["shouldBeRemovedOnSend"].as_bool() == Some(true)
                || request["shouldBeRemovedOnSend"].is_object()
                || request["isHidden"].as_bool() == Some(true)
            {
                continue;
            }
            // 0 is under way, 4 waits for the user; the others are over.
            let state = &request["modelState"];
            open = matches!(state["value"].as_u64().or(state.as_u64()), Some(0 | 4));
            model = text(&request["modelId"]).or(model);
            let at = request["timestamp"].as_f64().and_then(Moment::from_epoch);
            let asked = text(&request["message"]["text"]).or_else(|| text(&request["message"]));
            let id = text(&request["requestId"]);
            let said = answer(&request["response"]);
            for (role, said) in [(Role::User, asked.unwrap_or_default()), (Role::Assistant, said)] {
                if said.trim().is_empty() {
                    continue;
                }
                let mut message = Message::new(role, said);
                message.id = id.clone().filter(|_| role == Role::User);
                message.timestamp = at;
                messages.push(message);
            }
        }
        let mut session = Session {
            session_id,
            app: Some("copilot".to_owned()),
            model,
            start_time: self.state["creationDate"].as_f64().and_then(Moment::from_epoch),
            end_time: messages.iter().rev().find_map(|message: &Message| message.timestamp),
            messages,
            ..Session::default()
        };
        if let Some(title) = text(&self.state["customTitle"]) {
            session.metadata.insert("title".to_owned(), title.into());
        }
        Some((session, open))
    }
}

/// The words of an answer: its parts without a kind. They are cut where a reference to a file stands.
fn answer(parts: &Value) -> String {
    let mut said = String::new();
    for part in parts.as_array().map(Vec::as_slice).unwrap_or_default() {
        let words = match part["kind"].as_str() {
            None => part.as_str().or(part["value"].as_str()),
            Some("markdownContent") => part["content"]["value"].as_str(),
            Some("inlineReference") => part["name"].as_str(),
            Some(_) => None,
        };
        said.push_str(words.unwrap_or_default());
    }
    clean(said.trim().into())
}

/// A step of a path into the state.
enum Step {
    Key(String),
    Index(usize),
}

fn steps(path: Doc<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    path.for_each(|step| match step.kind() {
        Kind::Number => steps.push(Step::Index(step.number().unwrap_or_default().max(0.0) as usize)),
        _ => steps.push(Step::Key(step.text().unwrap_or_default().into_owned())),
    });
    steps
}

/// The place that a path leads to; a key that is missing is made if `make`, an index beyond the list never.
fn place<'v>(state: &'v mut Value, path: &[Step], make: bool) -> Option<&'v mut Value> {
    path.iter().try_fold(state, |at, step| match step {
        Step::Key(key) => {
            if make && at.is_null() {
                *at = Value::Object(Map::new());
            }
            let object = at.as_object_mut()?;
            if make { Some(object.entry(key.clone()).or_insert(Value::Null)) } else { object.get_mut(key) }
        }
        Step::Index(index) => at.as_array_mut()?.get_mut(*index),
    })
}

fn set(state: &mut Value, path: &[Step], value: Option<Value>) {
    let Some((last, before)) = path.split_last() else {
        *state = value.unwrap_or_default();
        return;
    };
    let Some(parent) = place(state, before, value.is_some()) else { return };
    match (last, value) {
        (Step::Key(key), None) => drop(parent.as_object_mut().map(|object| object.remove(key))),
        (Step::Index(index), None) => {
            if let Some(list) = parent.as_array_mut().filter(|list| *index < list.len()) {
                list.remove(*index);
            }
        }
        (Step::Index(index), Some(value)) if parent.as_array().is_some_and(|list| list.len() == *index) => {
            if let Some(list) = parent.as_array_mut() {
                list.push(value);
            }
        }
        (_, Some(value)) => {
            if let Some(place) = place(parent, std::slice::from_ref(last), true) {
                *place = value;
            }
        }
    }
}

fn push(state: &mut Value, path: &[Step], at: Option<usize>, values: Value) {
    let Some(list) = place(state, path, true) else { return };
    if list.is_null() {
        *list = Value::Array(Vec::new());
    }
    if let Some(list) = list.as_array_mut() {
        list.truncate(at.unwrap_or(list.len()));
        match values {
            Value::Array(values) => list.extend(values),
            Value::Null => {}
            value => list.push(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{many, one, said};

    const FIXTURE: &str =
        include_str!("../../../tests/sources/copilot/workspaceStorage/a1/chatSessions/77d2.jsonl");

    #[test]
    fn the_log_of_changes_is_replayed() {
        let session = one(FIXTURE);
        let texts: Vec<&str> = session.messages.iter().map(|m| m.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "I teach biology. Explain `map`.",
                "See main.rs: it calls a closure on each item.",
                "Shorter, please.",
                "A loop as a value."
            ]
        );
        assert_eq!((session.session_id.as_str(), session.model.as_deref()), ("77d2", Some("copilot/gpt-5")));
        assert_eq!(session.metadata["title"], "Map");
        assert_eq!(many(FIXTURE).open, [] as [usize; 0]);
    }

    #[test]
    fn the_older_document_is_read_and_hostile_paths_change_nothing() {
        let old = r#"{"sessionId": "s", "requests": [{"requestId": "r", "timestamp": 1772449200000, "message": {"text": "Tea?"},
            "response": ["Green", {"value": "."}, {"kind": "thinking", "value": "hm"}], "modelState": {"value": 4}}]}"#;
        assert_eq!(said(old), ["Tea?", "Green."]);
        assert_eq!(many(old).open, [0]);
        let odd = concat!(
            "{\"kind\":0,\"v\":{\"sessionId\":\"s\",\"requests\":[]}}\n{\"kind\":1,\"k\":[\"requests\",9,\"x\"],\"v\":1}\n",
            "{\"kind\":3,\"k\":[\"a\",\"b\"]}\n{\"kind\":2,\"k\":[\"sessionId\"],\"v\":[1],\"i\":1e300}\n{\"kind\":1,\"k\":[],\"v\":7}\n",
        );
        assert_eq!(many(odd).sessions.len(), 0);
    }
}
