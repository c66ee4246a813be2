//! The order of things: build under the versioned name, probe it, then move the alias, and back if that fails.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use serde_json::{Map, Value, json};

use super::api::{Api, Version};
use super::base::{BaseFacts, Form};
use crate::config::{Publish, Target};
use crate::publish::merge::{check_base, whole};
use crate::publish::persona::Persona;
use crate::publish::probe::{QUESTION, flaw};
use crate::publish::version::number;
use crate::publish::{PublishError, Published, VersionFiles};
use crate::wire::{Reach, Server, WireError};

/// The last version that takes adapters.
const LAST_WITH_ADAPTERS: Version = Version(0, 34, 0);
/// The first version whose `/api/create` takes files instead of a Modelfile's text.
const FIRST_WITH_FILES: Version = Version(0, 5, 5);

/// An Ollama to publish to.
#[derive(Debug)]
pub(in crate::publish) struct Ollama {
    api: Api,
    parameters: Map<String, Value>,
    keep: usize,
}

impl Ollama {
    /// The server at an address. Nothing is asked yet.
    pub(in crate::publish) fn new(settings: &Publish, address: &str) -> Result<Self, PublishError> {
        let server = Server::at(address, Reach::nearby(settings.timeout.0))?;
        let target = &settings.ollama;
        let parameters =
            target.parameters.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Ok(Ollama { api: Api(server), parameters, keep: target.keep as usize })
    }

    /// Whether the server takes adapters; `None` if its version does not tell.
    pub(in crate::publish) async fn takes_adapters(&self) -> Result<Option<bool>, PublishError> {
        let text = self.api.version().await?;
        let version = Version::parse(&text);
        if version.is_some_and(|version| version < FIRST_WITH_FILES) {
            return Err(PublishError::refused(
                format!(
                    "Ollama {} is too old: models are made of files since 0.5.5",
                    crate::memory::prompt::one_line(&text)
                ),
                "update Ollama",
            ));
        }
        Ok(version.map(|version| version <= LAST_WITH_ADAPTERS))
    }

    /// Publishes a version as `MODEL:v0007`, and as `MODEL:latest` once it has answered.
    pub(in crate::publish) async fn publish(
        &self,
        version: &VersionFiles,
        model: &str,
        persona: &Persona,
        stop: &AtomicBool,
    ) -> Result<Published, PublishError> {
        let takes_adapters = self.takes_adapters().await?;
        let base = BaseFacts::of(version, &self.api).await?;
        let system = persona.prompt(base.system());
        let name = format!("{model}:{}", version.name);
        let mut notes: Vec<String> = persona.note.clone().into_iter().collect();

        let as_adapter = version.adapter.is_some() && takes_adapters != Some(false);
        let mut form = if as_adapter { Form::Adapter } else { Form::Merged };
        let mut built = self.build(version, &base, &name, &system, form, stop).await;
        if let (Form::Adapter, Err(Failed::NoAdapters(why))) = (form, &built) {
            notes.push(format!("published as a whole model, since the adapter was refused: {why}"));
            form = Form::Merged;
            built = self.build(version, &base, &name, &system, form, stop).await;
        }
        if let Err(failed) = built {
            return Err(failed.into_error());
        }
        self.compare_templates(&base, &name, &system, &mut notes).await;
        let digest = self.switch(model, &name).await?;
        if let Err(error) = self.tidy(model, &version.name).await {
            notes.push(format!("older versions were not deleted: {error}"));
        }
        Ok(Published { target: Target::Ollama, name, form: form.as_str().into(), digest, notes })
    }

    /// Makes the model and probes it. What does not answer does not stay.
    async fn build(
        &self,
        version: &VersionFiles,
        base: &BaseFacts,
        name: &str,
        system: &str,
        form: Form,
        stop: &AtomicBool,
    ) -> Result<(), Failed> {
        let request =
            self.request(version, base, name, system, form, stop).await.map_err(Failed::Otherwise)?;
        if let Err(error) = self.api.create(&request).await {
            return Err(match form {
                Form::Adapter if is_about_adapters(error.words()) => {
                    Failed::NoAdapters(error.words().to_owned())
                }
                _ => Failed::Otherwise(error.into()),
            });
        }
        let trouble = match self.probe(name).await {
            Ok(None) => return Ok(()),
            Ok(Some(flaw)) => Failed::Flaw(name.to_owned(), flaw.to_owned()),
            Err(error) if form == Form::Adapter && is_about_adapters(error.words()) => {
                Failed::NoAdapters(error.words().to_owned())
            }
            // The server went away; the name may stay, it is made anew the next time.
            Err(error) if matches!(error, WireError::Unreachable { .. }) => {
                return Err(Failed::Otherwise(error.into()));
            }
            Err(error) => Failed::Flaw(name.to_owned(), error.words().to_owned()),
        };
        // If it cannot be deleted it stays under its own name, which nobody uses.
        let _ = self.api.delete(name).await;
        Err(trouble)
    }

    async fn request(
        &self,
        version: &VersionFiles,
        base: &BaseFacts,
        name: &str,
        system: &str,
        form: Form,
        stop: &AtomicBool,
    ) -> Result<Value, PublishError> {
        let inherits = form == Form::Adapter && base.name.is_some();
        let mut request = base.request(name, system, &self.parameters, inherits);
        let mut insert = |key: &str, value: Value| {
            if let Some(request) = request.as_object_mut() {
                request.insert(key.to_owned(), value);
            }
        };
        match (form, &version.adapter) {
            (Form::Adapter, Some(adapter)) => {
                match &base.name {
                    Some(base) => insert("from", base.as_str().into()),
                    None => {
                        check_base(version, stop)?;
                        insert("files", json!({ "base.gguf": self.api.blob(&version.base.path).await? }));
                    }
                }
                insert("adapters", json!({ "adapter.gguf": self.api.blob(adapter).await? }));
            }
            _ => insert("files", json!({ "model.gguf": self.api.blob(&whole(version, stop)?).await? })),
        }
        Ok(request)
    }

    /// Asks the model; what is wrong with its answer.
    async fn probe(&self, name: &str) -> Result<Option<&'static str>, WireError> {
        Ok(flaw(&self.api.chat(name).await?))
    }

    async fn compare_templates(&self, base: &BaseFacts, name: &str, system: &str, notes: &mut Vec<String>) {
        if base.chat.format.is_none() && base.name.is_none() {
            notes.push("the base's chat template is none that Ollama could be told: Ollama guesses".into());
        }
        if let Some(rendered) = self.api.rendered(name).await
            && base.chat.agrees(system, QUESTION, &rendered) == Some(false)
        {
            notes.push(
                "Ollama writes chats differently from how the model was trained: answers may be worse".into(),
            );
        }
    }

    /// Moves the alias, and back if it does not answer as the version did. The version's fingerprint.
    async fn switch(&self, model: &str, name: &str) -> Result<Option<String>, PublishError> {
        let alias = format!("{model}:latest");
        let before = self.api.digests().await?;
        let digest = before.get(name).cloned();
        let former = match before.get(&alias) {
            Some(live) => self.former(model, name, live, &before).await?,
            None => None,
        };
        self.api.copy(name, &alias).await?;
        let after = self.api.digests().await?;
        let trouble = if after.get(&alias) != after.get(name) {
            "the alias leads to another model than the version".to_owned()
        } else {
            match self.probe(&alias).await {
                Ok(None) => return Ok(digest),
                Ok(Some(flaw)) => flaw.to_owned(),
                Err(error) => error.to_string(),
            }
        };
        let (undone, now) = match &former {
            Some(former) => {
                (self.api.copy(former, &alias).await, format!("{alias} is again what {former} is"))
            }
            None => (self.api.delete(&alias).await, format!("there is no {alias}, as before")),
        };
        match undone {
            Ok(()) => {
                // If it cannot be deleted it stays under its own name, which nobody uses.
                let _ = self.api.delete(name).await;
                Err(PublishError::Unfit {
                    message: format!("{alias} failed its probe: {trouble}; {now}"),
                    hint: Some("the chat app goes on with what it had; Ollama's log says more".into()),
                })
            }
            Err(error) => Err(PublishError::later(
                format!("{alias} failed its probe: {trouble}; it could not be put back: {error}"),
                match former {
                    Some(former) => format!("`ollama cp {former} {alias}` puts it back"),
                    None => format!("`ollama rm {alias}` takes it away"),
                },
            )),
        }
    }

    /// A name under which what is live now stays when the alias moves on; `None` if it is the version itself and
    /// there is no older one.
    async fn former(
        &self,
        model: &str,
        name: &str,
        live: &str,
        all: &BTreeMap<String, String>,
    ) -> Result<Option<String>, PublishError> {
        let prefix = format!("{model}:");
        let is_other_version = |other: &str| {
            other != name && other.strip_prefix(&prefix).is_some_and(|tag| number(tag).is_some())
        };
        let mut others = all.iter().rev().filter(|(other, _)| is_other_version(other));
        // An earlier try may have moved the alias already, and been broken off.
        let moved = all.get(name).is_some_and(|digest| digest == live);
        if let Some((other, _)) = others.find(|(_, digest)| moved || *digest == live) {
            return Ok(Some(other.clone()));
        }
        if moved {
            return Ok(None);
        }
        let backup = format!("{model}:before");
        self.api.copy(&format!("{model}:latest"), &backup).await?;
        Ok(Some(backup))
    }

    /// Deletes the oldest versions beyond those that are to stay.
    async fn tidy(&self, model: &str, newest: &str) -> Result<(), PublishError> {
        if self.keep == 0 {
            return Ok(());
        }
        let prefix = format!("{model}:");
        let all = self.api.digests().await?;
        let mut others: Vec<(u64, &String)> = all
            .keys()
            .filter_map(|name| Some((name.strip_prefix(&prefix)?, name)))
            .filter(|(tag, _)| *tag != newest)
            .filter_map(|(tag, name)| Some((number(tag)?, name)))
            .collect();
        others.sort_unstable();
        let excess = others.len().saturating_sub(self.keep - 1);
        for (_, name) in others.into_iter().take(excess) {
            self.api.delete(name).await?;
        }
        Ok(())
    }
}

/// Why a model was not made, or did not stay.
enum Failed {
    /// The server takes no adapters, or not for this base.
    NoAdapters(String),
    /// It was made and did not answer: its name, and what was wrong.
    Flaw(String, String),
    Otherwise(PublishError),
}

impl Failed {
    fn into_error(self) -> PublishError {
        match self {
            Failed::NoAdapters(why) => PublishError::refused(why, "update Ollama"),
            Failed::Flaw(name, why) => PublishError::Unfit {
                message: format!(
                    "{name} failed its probe: {why}; it was deleted, and what was in use stays in use"
                ),
                hint: Some(
                    "Ollama's log says more; `atles models publish --to folder` makes files to try by hand"
                        .into(),
                ),
            },
            Failed::Otherwise(error) => error,
        }
    }
}

/// Whether a refusal is about adapters, so that a whole model may be taken.
fn is_about_adapters(words: &str) -> bool {
    let words = words.to_lowercase();
    words.contains("adapter") || words.contains("lora")
}
