//! What is asked of Ollama, and how its answers are read.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::publish::PublishError;
use crate::publish::probe::{ANSWER_TOKENS, QUESTION};
use crate::wire::{FileBody, Server, WireError, sha256_of};

/// Ollama's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) u32, pub(super) u32, pub(super) u32);

impl Version {
    /// Reads `0.34.0`, `v0.34.1-rc2`; `None` for what is no release, as builds of one's own have it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches('v');
        let release = text.split(['-', '+', ' ']).next()?;
        let mut numbers = release.split('.').map(|number| number.parse().ok());
        let version = Version(numbers.next()??, numbers.next()??, numbers.next().unwrap_or(Some(0))?);
        (version > Version(0, 0, 0)).then_some(version)
    }
}

/// A model as `/api/show` tells it.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) template: Option<String>,
    pub(super) system: Option<String>,
    pub(super) license: Option<String>,
    pub(super) messages: Option<Value>,
    pub(super) parameters: Map<String, Value>,
    pub(super) modelfile: String,
}

/// A server that speaks Ollama's API.
#[derive(Debug)]
pub(super) struct Api(pub(super) Server);

impl Api {
    pub(super) async fn version(&self) -> Result<String, PublishError> {
        let answer = self.0.get("/api/version").await?;
        let version = answer.get("version").and_then(Value::as_str).map(str::to_owned);
        version.ok_or_else(|| {
            PublishError::refused(
                format!("{} does not speak as Ollama does", self.0.name()),
                "check `url` in [training.publish.ollama]",
            )
        })
    }

    /// A model; `None` if there is none of that name.
    pub(super) async fn show(&self, name: &str) -> Result<Option<Shown>, PublishError> {
        let answer = match self.0.post("/api/show", &json!({ "model": name })).await {
            Err(error) if error.status() == Some(404) => return Ok(None),
            other => other?,
        };
        let text = |key: &str| {
            let text = answer.get(key).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
            text.map(str::to_owned)
        };
        Ok(Some(Shown {
            // Newer servers show a model's Jinja here, which cannot be sent back.
            template: text("template").filter(|template| !template.contains("{%")),
            system: text("system"),
            license: text("license"),
            messages: answer
                .get("messages")
                .filter(|list| list.as_array().is_some_and(|l| !l.is_empty()))
                .cloned(),
            parameters: parameters(&text("parameters").unwrap_or_default()),
            modelfile: text("modelfile").unwrap_or_default(),
        }))
    }

    /// The digests of all models by name.
    pub(super) async fn digests(&self) -> Result<BTreeMap<String, String>, PublishError> {
        let answer = self.0.get("/api/tags").await?;
        let models = answer.get("models").and_then(Value::as_array).into_iter().flatten();
        let pair = |model: &Value| {
            let name = model.get("name").or(model.get("model"))?.as_str()?;
            Some((
                name.to_owned(),
                model.get("digest").and_then(Value::as_str).unwrap_or_default().to_owned(),
            ))
        };
        Ok(models.filter_map(pair).collect())
    }

    /// Brings a file there unless it is there already; its digest.
    pub(super) async fn blob(&self, path: &Path) -> Result<String, PublishError> {
        let mut again = true;
        loop {
            // Beside, so that a stop does not wait for it.
            let file = path.to_path_buf();
            let hash = tokio::task::spawn_blocking(move || sha256_of(&file)).await;
            let digest = format!("sha256:{}", hash.map_err(std::io::Error::other)??);
            let place = format!("/api/blobs/{digest}");
            if self.0.head(&place).await? == 200 {
                return Ok(digest);
            }
            let body = FileBody::of(File::open(path)?)?;
            match self.0.post_file(&place, "application/octet-stream", body).await {
                Ok(_) => return Ok(digest),
                // The file changed while it was sent, or was damaged on its way: once more, from the start.
                Err(error) if is_mismatch(&error) && again => again = false,
                Err(error) if is_mismatch(&error) => {
                    return Err(PublishError::later(
                        format!("{error}, twice"),
                        "the file is damaged on its way to Ollama, or changes while it is sent",
                    ));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Makes a model. An answer that begins well and ends in an error, or ends without success, is an error.
    pub(super) async fn create(&self, request: &Value) -> Result<(), WireError> {
        let mut last = String::new();
        self.0
            .post_lines("/api/create", request, |line| {
                if let Some(status) = line.get("status").and_then(Value::as_str) {
                    last = status.to_owned();
                }
            })
            .await?;
        if last == "success" {
            return Ok(());
        }
        let message = "the answer to /api/create ended before it said success".to_owned();
        Err(WireError::Unreachable { server: self.0.name().to_owned(), why: message })
    }

    pub(super) async fn copy(&self, from: &str, to: &str) -> Result<(), PublishError> {
        self.0.post("/api/copy", &json!({ "source": from, "destination": to })).await?;
        Ok(())
    }

    /// Takes a name away; one that is not there is no error.
    pub(super) async fn delete(&self, name: &str) -> Result<(), PublishError> {
        match self.0.delete("/api/delete", &json!({ "model": name })).await {
            Err(error) if error.status() != Some(404) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// What a model answers to the probe's question.
    pub(super) async fn chat(&self, name: &str) -> Result<String, WireError> {
        let answer = self.0.post("/api/chat", &chat(name, ANSWER_TOKENS)).await?;
        let said = |key: &str| answer.get("message")?.get(key)?.as_str().map(str::to_owned);
        let content = said("content").filter(|text| !text.trim().is_empty());
        Ok(content.or_else(|| said("thinking")).unwrap_or_default())
    }

    /// The prompt that the server makes of the probe's question; `None` where it does not tell.
    pub(super) async fn rendered(&self, name: &str) -> Option<String> {
        let mut request = chat(name, 1);
        request.as_object_mut()?.insert("_debug_render_only".into(), true.into());
        let answer = self.0.post("/api/chat", &request).await.ok()?;
        Some(answer.get("_debug_info")?.get("rendered_template")?.as_str()?.to_owned())
    }
}

fn chat(name: &str, tokens: u32) -> Value {
    json!({
        "model": name,
        "messages": [{ "role": "user", "content": QUESTION }],
        "stream": false,
        "options": { "temperature": 0, "seed": 1, "num_predict": tokens },
    })
}

fn is_mismatch(error: &WireError) -> bool {
    error.status() == Some(400) && error.words().contains("digest mismatch")
}

/// Reads the parameters of `/api/show`: a name and a value a line, texts quoted as Go does.
fn parameters(text: &str) -> Map<String, Value> {
    let mut all = Map::new();
    for line in text.lines() {
        let Some((name, value)) = line.trim().split_once(char::is_whitespace) else { continue };
        let is_name = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let Ok(value) = serde_json::from_str::<Value>(value.trim()) else { continue };
        if !is_name || value.is_object() || value.is_array() || value.is_null() {
            continue;
        }
        match all.get_mut(name) {
            Some(Value::Array(list)) => list.push(value),
            _ if name == "stop" => drop(all.insert(name.to_owned(), json!([value]))),
            _ => drop(all.insert(name.to_owned(), value)),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_apart() {
        assert_eq!(Version::parse("0.34.0"), Some(Version(0, 34, 0)));
        assert_eq!(Version::parse("v0.34.1-rc3"), Some(Version(0, 34, 1)));
        assert_eq!(Version::parse("1.2"), Some(Version(1, 2, 0)));
        assert!(Version::parse("0.34.1") > Version::parse("0.34.0") && Version(0, 9, 9) < Version(0, 34, 0));
        for other in ["0.0.0", "", "dev", "0.x.1"] {
            assert_eq!(Version::parse(other), None, "{other}");
        }
    }

    #[test]
    fn parameters_are_read_as_they_are_shown() {
        let shown = "stop                           \"<|im_start|>\"\nstop                           \"a\\\"b\"\n\
                     num_ctx                        4096\ntemperature                    0.7\nmad {\n\nx [1]\n";
        let expected = json!({"stop": ["<|im_start|>", "a\"b"], "num_ctx": 4096, "temperature": 0.7});
        assert_eq!(Value::Object(parameters(shown)), expected);
    }
}
