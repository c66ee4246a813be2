//! Trainers that are not built in: a program of the user's, a server with fine-tuning jobs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// The program that trains where `trainer = "command"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CommandTrainer {
    /// The program and its arguments, each a string of its own; no shell reads them. A program with a `/` in it is
    /// looked for beside pipeline.toml when it is relative, one without in `PATH`. In arguments `{train}`,
    /// `{held_out}`, `{base}`, `{output}` and `{job}` stand for the paths of the chats to learn from and to measure
    /// with (a line a chat, `{"messages": […]}`), of the base's GGUF file, of the folder to leave the artefact in, and
    /// of a JSON file with all of these and the settings. The same stand in `ATLES_TRAIN`, `ATLES_HELD_OUT`,
    /// `ATLES_BASE`, `ATLES_OUTPUT` and `ATLES_JOB`. Example: `["./trainers/axolotl.py", "--job", "{job}"]`.
    pub run: Vec<String>,
    /// Names of the daemon's environment variables that are passed on, where they are set; else it gets `PATH`,
    /// `LANG` and the above.
    pub env: Vec<String>,
    /// Environment variables with fixed values. Example: `{ BASE_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct" }`.
    pub set: BTreeMap<String, String>,
    /// The folder the program runs in; relative to the folder of pipeline.toml. Absent: the output folder.
    pub cwd: Option<PathBuf>,
    /// When it takes longer, it is killed and the run has failed.
    pub timeout: Span,
}

impl Default for CommandTrainer {
    fn default() -> Self {
        CommandTrainer {
            run: Vec::new(),
            env: ["HOME", "CUDA_VISIBLE_DEVICES", "HF_HOME", "HF_TOKEN"].map(String::from).to_vec(),
            set: BTreeMap::new(),
            cwd: None,
            timeout: Span::secs(6 * 3600),
        }
    }
}

/// The server that trains where `trainer = "openai"`. The chats are sent to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OpenaiTrainer {
    /// Whose habits it has.
    pub provider: Provider,
    /// Its address up to the version, as in `"https://api.openai.com/v1"`; absent: the provider's, where it has one.
    pub url: Option<String>,
    /// The model to tune there, as the provider calls it. Required.
    pub model: String,
    /// The environment variable that holds the API key; absent: the provider's usual one (`OPENAI_API_KEY`,
    /// `AZURE_OPENAI_API_KEY`, `TOGETHER_API_KEY`, `MISTRAL_API_KEY`).
    pub api_key_env: Option<String>,
    /// What is added to the new model's name; up to 18 of a-z, 0-9 and `-`.
    pub suffix: String,
    /// How often the job is asked about.
    pub poll: Span,
    /// When a job takes longer, it is cancelled and the run has failed.
    pub timeout: Span,
    /// Whether the proxies that the environment names (`HTTPS_PROXY`, `NO_PROXY`, …) are used.
    pub proxy: bool,
}

impl Default for OpenaiTrainer {
    fn default() -> Self {
        OpenaiTrainer {
            provider: Provider::default(),
            url: None,
            model: String::new(),
            api_key_env: None,
            suffix: "atles".into(),
            poll: Span::secs(30),
            timeout: Span::secs(24 * 3600),
            proxy: true,
        }
    }
}

/// Whose habits a server with fine-tuning jobs has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// OpenAI, and whoever speaks as it does.
    #[default]
    Openai,
    /// Azure OpenAI: the key in a header of its own; needs `url`, as in `"https://NAME.openai.azure.com/openai/v1"`.
    Azure,
    /// Together.
    Together,
    /// Mistral.
    Mistral,
}

impl CommandTrainer {
    /// What is wrong, with `trainer = "command"` or without: key, message, hint.
    pub(super) fn problems(&self, is_used: bool) -> Vec<(String, String, String)> {
        let mut all = Vec::new();
        let mut problem = |key: &str, message: &str, hint: &str| {
            all.push((format!("command.{key}"), message.to_owned(), hint.to_owned()));
        };
        if is_used && self.run.first().is_none_or(|program| program.trim().is_empty()) {
            problem(
                "run",
                "no program is named",
                "run = [\"./trainers/axolotl.py\", \"--job\", \"{job}\"]; see examples/trainers/",
            );
        }
        if self.run.iter().any(|word| word.contains('\0'))
            || self.set.values().any(|value| value.contains('\0'))
        {
            problem("run", "an argument or a value holds a NUL character", "take it out");
        }
        let is_name = |name: &String| !name.is_empty() && !name.contains(['=', '\0']);
        if !self.env.iter().all(is_name) || !self.set.keys().all(is_name) {
            problem(
                "env",
                "a name is none of an environment variable",
                "`env` lists names only; fixed values stand in `set`",
            );
        }
        if self.timeout.0.is_zero() {
            problem("timeout", "no program could train in no time", "the default is \"6h\"");
        }
        all
    }
}

impl OpenaiTrainer {
    /// What is wrong, with `trainer = "openai"` or without: key, message, hint.
    pub(super) fn problems(&self, is_used: bool) -> Vec<(String, String, String)> {
        let mut all = Vec::new();
        let mut problem = |key: &str, message: &str, hint: &str| {
            all.push((format!("openai.{key}"), message.to_owned(), hint.to_owned()));
        };
        if is_used && self.model.trim().is_empty() {
            problem(
                "model",
                "no model is named",
                "as the provider calls it, for example \"gpt-4o-mini-2024-07-18\"",
            );
        }
        if is_used && self.provider == Provider::Azure && self.url.is_none() {
            problem(
                "url",
                "Azure has an address for each customer",
                "url = \"https://NAME.openai.azure.com/openai/v1\"",
            );
        }
        if let Some(url) = &self.url
            && !url.starts_with("https://")
            && !url.starts_with("http://")
        {
            problem(
                "url",
                "a server's address begins with https:// or http://",
                "for example \"https://api.openai.com/v1\"",
            );
        }
        if self.api_key_env.as_deref().is_some_and(|name| name.is_empty() || name.contains(['=', '\0', ' ']))
        {
            problem(
                "api_key_env",
                "this is no name of an environment variable",
                "name the variable that holds the key, not the key",
            );
        }
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if self.suffix.len() > 18 || !self.suffix.bytes().all(fits) {
            problem("suffix", "not up to 18 of a-z, 0-9 and `-`", "the default is \"atles\"");
        }
        if self.poll.0.is_zero() || self.timeout.0.is_zero() {
            problem(
                "poll",
                "a job would be asked about without a pause, or given no time",
                "the defaults are \"30s\" and \"1d\"",
            );
        }
        all
    }
}
