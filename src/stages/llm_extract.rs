//! `llm_extract`: facts and preferences that a language model finds, each with the words that prove it.

#[cfg(feature = "http")]
mod answer;
mod cache;
#[cfg(feature = "http")]
mod prompt;
#[cfg(feature = "http")]
mod work;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{ByteSize, Span};
use crate::pipeline::{Problem, Services, Stage, StageConfig};

pub use cache::forget;

/// Asks a language model for the facts and preferences that rules do not find. Runs only where it is added, and sends
/// the chat to the server that is named: put it behind `redact`.
///
/// A session is read in parts, each one request. What the model answers counts only if its quote stands word for word
/// in the user's message it names, and if the value has a word in common with that message; what the rules have found
/// already is not added again. An answer that is no JSON, or that only repeats the schema, is asked for once more and
/// then passed over; so is one that takes too long. The note in the session log counts all of these. A server that
/// cannot be reached, or answers 408, 429 or 5xx, is tried again later, as for `http`. Answers are kept in the home's
/// `state/extracted/` by model, wording and content, so that the same chat is not asked for twice.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LlmExtractSettings {
    /// The model, by the server's name for it; required. Example: `"qwen2.5:3b"`.
    pub model: String,
    /// The server, without the path of its API: `http` or `https`, and no password in it. An OpenAI-compatible one may
    /// end with `/v1`.
    pub url: String,
    /// What the server speaks.
    pub api: Api,
    /// Headers, as for `http`: `{ Authorization = "Bearer env:OPENAI_API_KEY" }`.
    pub headers: BTreeMap<String, String>,
    /// How long setting up a connection may take.
    pub connect_timeout: Span,
    /// How long one answer may take; then that part of the session is passed over.
    pub answer_timeout: Span,
    /// How long the answers for one session may take together; then what is left of it is passed over.
    pub budget: Span,
    /// How much of a session is shown to the model at once, 512B to 256KiB.
    pub part: ByteSize,
    /// The most parts that are read of one session, from its start; 1 or more.
    pub max_parts: usize,
    /// Sessions that are asked for at the same time, 1 to 64.
    pub parallel: usize,
    /// How sure its facts count, and how strong its preferences, 0 to 1. Rules are between 0.5 and 0.95.
    pub confidence: f64,
    /// Whether the proxies that the environment names (`HTTPS_PROXY`, `NO_PROXY`, …) are used.
    pub proxy: bool,
}

/// What the server speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// Ollama's `/api/chat`.
    #[default]
    Ollama,
    /// `/v1/chat/completions`, as of OpenAI, llama-server, vLLM, LM Studio and others.
    Openai,
}

impl Default for LlmExtractSettings {
    fn default() -> Self {
        LlmExtractSettings {
            model: String::new(),
            url: "http://127.0.0.1:11434".into(),
            api: Api::default(),
            headers: BTreeMap::new(),
            connect_timeout: Span::secs(5),
            answer_timeout: Span::secs(60),
            budget: Span::secs(180),
            part: ByteSize(6 << 10),
            max_parts: 16,
            parallel: 1,
            confidence: 0.6,
            proxy: true,
        }
    }
}

#[cfg(feature = "http")]
impl LlmExtractSettings {
    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.model.trim().is_empty() {
            problems.push(Problem::new("model", "no model is named").hint(r#"model = "qwen2.5:3b""#));
        }
        if !(512..=256 << 10).contains(&self.part.0) {
            problems.push(Problem::new("part", "must lie between 512B and 256KiB"));
        }
        if self.max_parts == 0 {
            problems.push(Problem::new("max_parts", "must be at least 1"));
        }
        if !(1..=64).contains(&self.parallel) {
            problems.push(Problem::new("parallel", "must lie between 1 and 64"));
        }
        if !(0.0..=1.0).contains(&self.confidence) {
            problems.push(Problem::new("confidence", "must lie between 0 and 1"));
        }
        problems
    }
}

impl StageConfig for LlmExtractSettings {
    const KIND: &'static str = "llm_extract";

    #[cfg(feature = "http")]
    fn build(self, services: &Services) -> Result<Box<dyn Stage>, Vec<Problem>> {
        let stage = work::LlmExtract::new(self, &services.home, |name| std::env::var(name).ok())?;
        Ok(Box::new(stage))
    }

    #[cfg(not(feature = "http"))]
    fn build(self, _: &Services) -> Result<Box<dyn Stage>, Vec<Problem>> {
        let problem = Problem::new("", "this build asks no servers");
        Err(vec![problem.hint("build atles with `--features http`")])
    }
}
