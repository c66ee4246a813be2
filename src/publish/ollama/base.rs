//! What the published model takes over from its base.

use serde_json::{Map, Value, json};

use super::api::{Api, Shown};
use crate::publish::chat_format::Chat;
use crate::publish::{PublishError, VersionFiles};

/// How the version is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The adapter beside the base.
    Adapter,
    /// One whole model.
    Merged,
}

impl Form {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Form::Adapter => "adapter",
            Form::Merged => "merged",
        }
    }
}

/// The base, as Ollama or as its file knows it.
#[derive(Debug)]
pub(super) struct BaseFacts {
    /// Its name in Ollama, if it is a model there without an adapter of its own.
    pub(super) name: Option<String>,
    /// What its file tells.
    pub(super) chat: Chat,
    shown: Option<Shown>,
}

impl BaseFacts {
    pub(super) async fn of(version: &VersionFiles, api: &Api) -> Result<Self, PublishError> {
        let shown = match version.base.in_ollama() {
            Some(name) => api.show(name).await?.map(|shown| (name.to_owned(), shown)),
            None => None,
        };
        let chat = Chat::of(&version.base.path);
        // A model inherits the adapters of the one it is made from, and they would stack.
        let pristine = |shown: &Shown| !shown.modelfile.lines().any(|line| line.starts_with("ADAPTER "));
        Ok(match shown {
            Some((name, shown)) => {
                BaseFacts { name: Some(name).filter(|_| pristine(&shown)), chat, shown: Some(shown) }
            }
            None => BaseFacts { name: None, chat, shown: None },
        })
    }

    /// The base's own system prompt.
    pub(super) fn system(&self) -> Option<&str> {
        self.shown.as_ref().and_then(|shown| shown.system.as_deref()).or(self.chat.system.as_deref())
    }

    /// The request of `/api/create` without its files. What the user asked for wins over what the base has.
    pub(super) fn request(
        &self,
        model: &str,
        system: &str,
        wanted: &Map<String, Value>,
        inherits: bool,
    ) -> Value {
        let mut request = Map::new();
        request.insert("model".into(), model.into());
        let mut parameters = Map::new();
        if !inherits {
            self.take_over(&mut request, &mut parameters);
        }
        parameters.extend(wanted.clone());
        if !parameters.is_empty() {
            request.insert("parameters".into(), Value::Object(parameters));
        }
        if !system.is_empty() {
            request.insert("system".into(), system.into());
        }
        request.insert("stream".into(), true.into());
        Value::Object(request)
    }

    /// What a model made of files alone would lack.
    fn take_over(&self, request: &mut Map<String, Value>, parameters: &mut Map<String, Value>) {
        let shown = self.shown.as_ref();
        let template = shown.and_then(|shown| shown.template.as_deref());
        let known = self.chat.format.as_ref();
        if let Some(template) = template.or(known.map(|format| format.template)) {
            request.insert("template".into(), template.into());
        }
        if let Some(format) = known.filter(|_| shown.is_none()) {
            parameters.insert("stop".into(), json!(format.stop));
        }
        let Some(shown) = shown else { return };
        parameters.extend(shown.parameters.clone());
        if let Some(license) = &shown.license {
            request.insert("license".into(), license.as_str().into());
        }
        if let Some(messages) = &shown.messages {
            request.insert("messages".into(), messages.clone());
        }
        for key in ["renderer", "parser"] {
            if let Some(value) = instruction(&shown.modelfile, key) {
                request.insert(key.into(), value.into());
            }
        }
    }
}

/// A one-word instruction of a Modelfile.
fn instruction<'m>(modelfile: &'m str, name: &str) -> Option<&'m str> {
    let is_word = |value: &&str| {
        !value.is_empty()
            && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    modelfile
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(first, _)| *first == name.to_uppercase())
        .map(|(_, value)| value.trim())
        .filter(is_word)
}
