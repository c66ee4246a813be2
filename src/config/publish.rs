use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Span;

/// Where a trained version goes once the gate let it through.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Publish {
    /// Where each promoted version is published by itself, one after the other. Empty: nowhere, until
    /// `atles models publish --to …` asks for it. Example: `["ollama"]`.
    pub to: Vec<Target>,
    /// The published model's name, 1 to 60 of a-z, 0-9, `_`, `-` and `.`; absent: `atles-` and the base's name. Version
    /// 7 is then `NAME:v0007`, and `NAME:latest` is the version in use.
    pub name: Option<String>,
    /// Words of yours that begin the published system prompt. Empty: those of the base, if it has any.
    pub system: String,
    /// Whether what is known of the user is put into the published system prompt, as data.
    pub profile: bool,
    /// Whose profile; absent: that of the only user there is, and of nobody where there are several.
    pub user: Option<String>,
    /// The most tokens the profile may take.
    pub profile_tokens: usize,
    /// How long a server may be silent, loading the model included.
    pub timeout: Span,
    /// The pause before an unreachable server is tried again; it doubles each time.
    pub backoff: Span,
    /// The longest pause.
    pub max_backoff: Span,
    /// Ollama.
    pub ollama: OllamaTarget,
    /// llama.cpp's `llama-server`.
    pub llama_server: LlamaServerTarget,
    /// A folder for publishing by hand.
    pub folder: FolderTarget,
}

impl Default for Publish {
    fn default() -> Self {
        Publish {
            to: Vec::new(),
            name: None,
            system: String::new(),
            profile: true,
            user: None,
            profile_tokens: 400,
            timeout: Span::secs(600),
            backoff: Span::secs(60),
            max_backoff: Span::secs(3600),
            ollama: OllamaTarget::default(),
            llama_server: LlamaServerTarget::default(),
            folder: FolderTarget::default(),
        }
    }
}

/// What a version can be published to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A model and an alias in Ollama.
    Ollama,
    /// The adapter switched on in a running `llama-server` that was started with it.
    LlamaServer,
    /// Model files, a Modelfile and a README in a folder.
    Folder,
}

impl Target {
    /// All there are.
    pub const ALL: [Target; 3] = [Target::Ollama, Target::LlamaServer, Target::Folder];

    /// As it is written in pipeline.toml and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Target::Ollama => "ollama",
            Target::LlamaServer => "llama-server",
            Target::Folder => "folder",
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Ollama.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OllamaTarget {
    /// Where it listens; absent: `$OLLAMA_HOST`, else `http://127.0.0.1:11434`.
    pub url: Option<String>,
    /// Parameters beside those of the base, as in `{ temperature = 0.7, num_ctx = 4096 }`.
    pub parameters: BTreeMap<String, Value>,
    /// How many published versions stay in Ollama; older ones are deleted there. 0: all.
    pub keep: u32,
}

/// llama.cpp's `llama-server`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LlamaServerTarget {
    /// Where it listens.
    pub url: String,
    /// The environment variable that holds its API key; absent: it has none.
    pub api_key_env: Option<String>,
}

impl Default for LlamaServerTarget {
    fn default() -> Self {
        LlamaServerTarget { url: "http://127.0.0.1:8080".into(), api_key_env: None }
    }
}

/// A folder for publishing by hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FolderTarget {
    /// Where the folder of each version is made; a relative path is read from the home.
    pub path: PathBuf,
}

impl Default for FolderTarget {
    fn default() -> Self {
        FolderTarget { path: "publish".into() }
    }
}

impl Publish {
    /// What is wrong with the settings: key, message, hint.
    pub(super) fn problems(&self) -> Vec<(&'static str, String, &'static str)> {
        let mut all = Vec::new();
        if let Some(name) = self.name.as_deref().filter(|name| !is_model_name(name)) {
            all.push((
                "training.publish.name",
                format!("{name:?} is no name of a model"),
                "1 to 60 of a-z, 0-9, `_`, `-` and `.`, beginning with a letter or a digit; the tag is added",
            ));
        }
        if self.backoff > self.max_backoff {
            let message =
                format!("`backoff` ({}) is longer than `max_backoff` ({})", self.backoff, self.max_backoff);
            all.push(("training.publish.backoff", message, "lower `backoff` or raise `max_backoff`"));
        }
        if self.backoff.0.is_zero() {
            all.push((
                "training.publish.backoff",
                "a server would be asked without a pause".into(),
                "the default is \"1m\"",
            ));
        }
        if self.timeout.0.is_zero() {
            all.push((
                "training.publish.timeout",
                "no server could answer in time".into(),
                "the default is \"10m\"",
            ));
        }
        let urls = [
            ("training.publish.ollama.url", self.ollama.url.as_deref()),
            ("training.publish.llama_server.url", Some(self.llama_server.url.as_str())),
        ];
        for (key, url) in urls {
            if url.is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
                all.push((
                    key,
                    "a server's address begins with http:// or https://".into(),
                    "for example \"http://127.0.0.1:11434\"",
                ));
            }
        }
        for (name, value) in &self.ollama.parameters {
            let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            let is_value = match value {
                Value::Array(items) => items.iter().all(Value::is_string),
                Value::Object(_) | Value::Null => false,
                _ => true,
            };
            if !is_name || !is_value {
                all.push((
                    "training.publish.ollama.parameters",
                    format!(
                        "{name:?} is no parameter with a number, a text, `true`, `false` or a list of texts"
                    ),
                    "for example { temperature = 0.7, stop = [\"<|im_end|>\"] }",
                ));
            }
        }
        if self
            .llama_server
            .api_key_env
            .as_deref()
            .is_some_and(|name| name.is_empty() || name.contains(['=', '\0']))
        {
            all.push((
                "training.publish.llama_server.api_key_env",
                "this is no name of an environment variable".into(),
                "name the variable that holds the key, not the key",
            ));
        }
        all
    }
}

/// Whether a model can be called so in Ollama, without a tag.
pub(crate) fn is_model_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=60).contains(&name.len())
        && name.bytes().all(|b| fits(b) || matches!(b, b'_' | b'-' | b'.'))
        && name.bytes().next().is_some_and(fits)
}
