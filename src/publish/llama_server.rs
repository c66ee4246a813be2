//! A running `llama-server`: the version's adapter switched on, those of other versions switched off.
//!
//! The server loads adapters only at its start (`--lora`), and then lets their strengths be set. So a version can be
//! switched to without a restart if the server was started with its adapter; where it was not, the exact command is
//! told, and the server is asked again later. It keeps no system prompt and no template but the model's own.

use std::path::Path;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde_json::{Value, json};

use super::probe::{ANSWER_TOKENS, QUESTION, flaw};
use super::version::number;
use super::{PublishError, Published, VersionFiles};
use crate::config::{Publish, Target};
use crate::wire::{Reach, Server, WireError};

/// A `llama-server` to publish to.
#[derive(Debug)]
pub(super) struct LlamaServer {
    server: Server,
}

/// An adapter that the server has loaded.
#[derive(Debug, Clone, PartialEq)]
struct Loaded {
    id: u64,
    path: String,
    scale: f64,
}

impl LlamaServer {
    /// The server that the settings name. Nothing is asked yet.
    pub(super) fn new(
        settings: &Publish,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, PublishError> {
        let target = &settings.llama_server;
        let mut reach = Reach::nearby(settings.timeout.0);
        if let Some(name) = &target.api_key_env {
            let key = env(name).filter(|key| !key.trim().is_empty()).ok_or_else(|| {
                PublishError::refused(
                    format!("the environment variable {name:?} is not set"),
                    "set it where the daemon is started, or leave `api_key_env` out",
                )
            })?;
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.trim())).map_err(|_| {
                PublishError::refused(
                    format!("{name:?} holds characters that a header cannot"),
                    "look at its value",
                )
            })?;
            value.set_sensitive(true);
            reach.headers.insert(AUTHORIZATION, value);
        }
        Ok(LlamaServer { server: Server::at(&target.url, reach)? })
    }

    /// Switches to a version.
    pub(super) async fn publish(&self, version: &VersionFiles) -> Result<Published, PublishError> {
        let Some(adapter) = &version.adapter else { return self.publish_merged(version).await };
        let before = self.adapters().await?;
        let Some(wanted) = before.iter().find(|loaded| is_of(&loaded.path, &version.name, adapter)) else {
            return Err(PublishError::later(
                format!(
                    "{} was not started with {}'s adapter ({} loaded), and llama-server loads adapters only at its start",
                    self.server.name(),
                    version.name,
                    before.len()
                ),
                format!("llama-server -m '{}' --lora '{}'", version.base.path.display(), adapter.display()),
            ));
        };
        let after: Vec<Loaded> = before
            .iter()
            .map(|loaded| {
                let scale = match loaded {
                    loaded if loaded.id == wanted.id => 1.0,
                    loaded if is_some_version(&loaded.path) => 0.0,
                    // Somebody else's adapter stays as it is; one that is not named in a request is switched off.
                    loaded => loaded.scale,
                };
                Loaded { scale, ..loaded.clone() }
            })
            .collect();
        if let Err(trouble) = self.switch(&after).await {
            let back = self.set(&before).await;
            return Err(match (trouble, back) {
                (Trouble::Gone(error), _) => error.into(),
                (Trouble::Flaw(flaw), Ok(())) => PublishError::Unfit {
                    message: format!(
                        "{} failed its probe: {flaw}; the adapters are as they were before",
                        version.name
                    ),
                    hint: Some(
                        "was the server started with the base that the version was trained from?".into(),
                    ),
                },
                (Trouble::Flaw(flaw), Err(error)) => PublishError::later(
                    format!(
                        "{} failed its probe: {flaw}; the adapters could not be put back: {error}",
                        version.name
                    ),
                    "restart llama-server with the adapter that it had",
                ),
            });
        }
        Ok(Published {
            target: Target::LlamaServer,
            name: format!("adapter {} of {}", wanted.id, self.server.name()),
            form: "adapter".into(),
            digest: None,
            notes: vec![NO_SYSTEM.into()],
        })
    }

    /// A whole model is served only if the server was started with it.
    async fn publish_merged(&self, version: &VersionFiles) -> Result<Published, PublishError> {
        let Some(merged) = &version.merged else {
            return Err(PublishError::refused(
                format!("{} has neither an adapter nor a whole model", version.name),
                "the version's folder was changed; promote another one",
            ));
        };
        let props = self.server.get("/props").await?;
        let served = props.get("model_path").and_then(Value::as_str).unwrap_or_default();
        if !is_of(served, &version.name, merged) {
            return Err(PublishError::later(
                format!(
                    "{} serves another model, and llama-server has one model from its start",
                    self.server.name()
                ),
                format!("llama-server -m '{}'", merged.display()),
            ));
        }
        match self.probe().await? {
            None => Ok(Published {
                target: Target::LlamaServer,
                name: self.server.name().to_owned(),
                form: "merged".into(),
                digest: None,
                notes: vec![NO_SYSTEM.into()],
            }),
            Some(flaw) => Err(PublishError::Unfit {
                message: format!("{} failed its probe: {flaw}", version.name),
                hint: Some("start llama-server with the model that it had before".into()),
            }),
        }
    }

    async fn adapters(&self) -> Result<Vec<Loaded>, PublishError> {
        let answer = match self.server.get("/lora-adapters").await {
            Err(error) if error.status() == Some(404) => {
                return Err(PublishError::refused(
                    format!("{} has no /lora-adapters", self.server.name()),
                    "check `url` in [training.publish.llama_server]: is a llama-server (since August 2024) there?",
                ));
            }
            other => other?,
        };
        let read = |entry: &Value| {
            Some(Loaded {
                id: entry.get("id")?.as_u64()?,
                path: entry.get("path")?.as_str()?.to_owned(),
                scale: entry.get("scale")?.as_f64()?,
            })
        };
        let list = answer.as_array().and_then(|list| list.iter().map(read).collect::<Option<Vec<_>>>());
        list.ok_or_else(|| {
            PublishError::refused(
                format!("{} does not list its adapters as llama-server does", self.server.name()),
                "check `url` in [training.publish.llama_server]",
            )
        })
    }

    async fn switch(&self, wanted: &[Loaded]) -> Result<(), Trouble> {
        self.set(wanted).await.map_err(Trouble::of)?;
        let now = self.adapters().await.map_err(|error| Trouble::Flaw(error.to_string()))?;
        if now != wanted {
            return Err(Trouble::Flaw("the server did not take the adapters' strengths".into()));
        }
        match self.probe().await.map_err(Trouble::of)? {
            None => Ok(()),
            Some(flaw) => Err(Trouble::Flaw(flaw.to_owned())),
        }
    }

    async fn set(&self, wanted: &[Loaded]) -> Result<(), WireError> {
        let list: Vec<Value> =
            wanted.iter().map(|loaded| json!({ "id": loaded.id, "scale": loaded.scale })).collect();
        self.server.post("/lora-adapters", &Value::Array(list)).await.map(drop)
    }

    async fn probe(&self) -> Result<Option<&'static str>, WireError> {
        let request = json!({
            "messages": [{ "role": "user", "content": QUESTION }],
            "max_tokens": ANSWER_TOKENS, "temperature": 0, "seed": 1, "stream": false,
        });
        let answer = self.server.post("/v1/chat/completions", &request).await?;
        let message = answer.pointer("/choices/0/message");
        let said = |key: &str| message?.get(key)?.as_str().filter(|text| !text.trim().is_empty());
        Ok(flaw(said("content").or_else(|| said("reasoning_content")).unwrap_or_default()))
    }
}

const NO_SYSTEM: &str = "llama-server keeps no system prompt: the chat app sends its own";

enum Trouble {
    /// Nobody is there any more.
    Gone(WireError),
    Flaw(String),
}

impl Trouble {
    fn of(error: WireError) -> Self {
        if error.may_pass() && error.status().is_none() {
            Trouble::Gone(error)
        } else {
            Trouble::Flaw(error.to_string())
        }
    }
}

/// Whether a path as the server was given it is a version's file: the same file, or one that is called so on another
/// machine (`…/v0007/adapter.gguf`, `…-v0007.gguf`).
fn is_of(path: &str, version: &str, file: &Path) -> bool {
    let given = Path::new(path);
    let same = given.is_absolute()
        && std::fs::canonicalize(given)
            .is_ok_and(|given| std::fs::canonicalize(file).is_ok_and(|own| own == given));
    same || named_version(given).is_some_and(|named| named == version)
}

fn is_some_version(path: &str) -> bool {
    named_version(Path::new(path)).is_some()
}

/// The version that a file's path names.
fn named_version(path: &Path) -> Option<&str> {
    let is_tag = |tag: &&str| number(tag).is_some();
    let stem = path.file_stem()?.to_str()?;
    let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    let by_folder = folder.filter(|_| matches!(stem, "adapter" | "merged")).filter(is_tag);
    by_folder.or_else(|| stem.rsplit_once('-').map(|(_, tag)| tag).filter(is_tag))
}

#[cfg(test)]
#[path = "llama_server_tests.rs"]
mod tests;
