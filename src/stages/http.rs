//! `http`: a server as a stage.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{ByteSize, Span};
use crate::pipeline::{Problem, Services, Stage, StageConfig};

#[cfg(feature = "http")]
#[path = "http_client.rs"]
pub(super) mod client;

/// Posts each session to a server.
///
/// The body is the JSON object that `exec` programs get, the answer is the patch they write; an empty answer or 204
/// adds nothing. Answers 408, 429 and 5xx, and a connection that fails, are tried again later, not before the time in
/// `Retry-After`; any other status but 2xx fails the session. Redirects are not followed: a session goes to the
/// server that is named here and to no other. The time for all of it is the stage's `timeout`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSettings {
    /// Where to post; required. `http` or `https`, without a password in it.
    /// Example: `"https://learn.example.org/atles"`.
    pub url: String,
    /// Headers. `"env:NAME"` stands for the environment variable NAME, also behind a word, as in
    /// `{ Authorization = "Bearer env:LEARN_TOKEN" }`. Credentials are taken from the environment only.
    pub headers: BTreeMap<String, String>,
    /// How long setting up a connection may take.
    pub connect_timeout: Span,
    /// The most the server may answer; with more the session fails.
    pub max_output: ByteSize,
    /// Whether the proxies that the environment names (`HTTPS_PROXY`, `NO_PROXY`, …) are used.
    pub proxy: bool,
}

impl Default for HttpSettings {
    fn default() -> Self {
        HttpSettings {
            url: String::new(),
            headers: BTreeMap::new(),
            connect_timeout: Span::secs(10),
            max_output: ByteSize(1 << 20),
            proxy: true,
        }
    }
}

impl StageConfig for HttpSettings {
    const KIND: &'static str = "http";

    #[cfg(feature = "http")]
    fn build(self, _: &Services) -> Result<Box<dyn Stage>, Vec<Problem>> {
        let stage = client::Http::new(&self, |name| std::env::var(name).ok())?;
        Ok(Box::new(stage))
    }

    #[cfg(not(feature = "http"))]
    fn build(self, _: &Services) -> Result<Box<dyn Stage>, Vec<Problem>> {
        let problem = Problem::new("", "this build has no http stage");
        Err(vec![problem.hint("build atles with `--features http`, or call the server from an `exec` stage")])
    }
}
