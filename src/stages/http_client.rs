use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};

use super::HttpSettings;
use crate::pipeline::patch::{accept, envelope_json};
use crate::pipeline::{Problem, Stage, StageContext, StageError, Verdict};
use crate::session::Envelope;

/// The longest a server may ask us to wait.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// Headers that hold credentials whatever the server.
const CREDENTIALS: [&str; 5] = ["authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"];
/// Headers that are not for the user to set.
const RESERVED: [&str; 4] = ["content-length", "transfer-encoding", "connection", "upgrade"];

/// The stage: built once, used by all sessions at once.
pub(in crate::stages) struct Http {
    client: Client,
    url: Url,
    /// Scheme, host and port, for notes and errors: never the path, which may be a secret.
    server: String,
    headers: HeaderMap,
    max_output: usize,
}

impl Http {
    /// Checks the settings. `env` reads the environment.
    pub(in crate::stages) fn new(
        config: &HttpSettings,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let url = checked_url(&config.url).map_err(|problem| problems.push(problem)).ok();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        for (name, value) in &config.headers {
            match header(name, value, &env) {
                Ok((name, value)) => drop(headers.insert(name, value)),
                Err(problem) => problems.push(problem),
            }
        }
        let Some(url) = url.filter(|_| problems.is_empty()) else { return Err(problems) };
        let mut client = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(config.connect_timeout.0)
            .user_agent(concat!("atles/", env!("CARGO_PKG_VERSION")));
        if !config.proxy {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| {
            vec![Problem::new("", format!("the client cannot be made: {}", innermost(&error)))]
        })?;
        let max_output = usize::try_from(config.max_output.0).unwrap_or(usize::MAX);
        Ok(Http { client, server: url.origin().ascii_serialization(), url, headers, max_output })
    }
}

#[async_trait]
impl Stage for Http {
    async fn process(&self, envelope: &mut Envelope, cx: &StageContext<'_>) -> Result<Verdict, StageError> {
        if cx.dry_run {
            envelope.note = Some(format!("would post to {}", self.server));
            return Ok(Verdict::Continue);
        }
        let answer = self.post(envelope_json(envelope, cx.name, cx.attempt)?).await?;
        accept(&answer, envelope, cx.name)
    }

    fn acts_outside(&self) -> bool {
        true
    }
}

impl Http {
    /// Posts a JSON document and reads the answer.
    pub(in crate::stages) async fn post(&self, body: Vec<u8>) -> Result<Vec<u8>, StageError> {
        let request = self.client.post(self.url.clone()).headers(self.headers.clone()).body(body);
        let response = request.send().await.map_err(|error| self.broken("could not be asked", error))?;
        self.judge(&response)?;
        self.read(response).await
    }

    /// Scheme, host and port.
    pub(in crate::stages) fn server(&self) -> &str {
        &self.server
    }

    fn judge(&self, response: &Response) -> Result<(), StageError> {
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let message = format!("{} answered {status}", self.server);
        if is_passing(status) {
            let retry_after = response
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok())
                .and_then(|value| retry_after(value, Timestamp::now()));
            return Err(StageError::Transient { message, retry_after, source: None });
        }
        let hint = match status {
            status if status.is_redirection() => {
                "redirects are not followed; name the address they lead to in `url`"
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "check the credentials in `headers`",
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                "check `url`: the server must take a POST there"
            }
            StatusCode::PAYLOAD_TOO_LARGE => "the server takes no session as large as this one",
            _ => "the server's log should say why",
        };
        Err(StageError::permanent(message, hint))
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, StageError> {
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken("broke off", error))? {
            if answer.len() + chunk.len() > self.max_output {
                return Err(StageError::permanent(
                    format!("{} answered with more than {} bytes", self.server, self.max_output),
                    "raise `max_output` if it means to",
                ));
            }
            answer.extend_from_slice(&chunk);
        }
        Ok(answer)
    }

    fn broken(&self, what: &str, error: reqwest::Error) -> StageError {
        StageError::Transient {
            message: format!("{} {what}", self.server),
            retry_after: None,
            source: Some(Box::new(error.without_url())),
        }
    }
}

/// Whether the same request may succeed later.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

/// Reads `Retry-After`: seconds, or a date; bounded, and nothing for what is neither.
fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => MAX_RETRY_AFTER,
        Err(_) => {
            let at = DateTimeParser::new().relaxed_weekday(true).parse_timestamp(value).ok()?;
            Duration::try_from(at.duration_since(now)).unwrap_or_default()
        }
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

fn checked_url(text: &str) -> Result<Url, Problem> {
    let problem = |message: &str| Problem::new("url", message);
    if text.is_empty() {
        return Err(problem("no server is named").hint(r#"url = "https://learn.example.org/atles""#));
    }
    let url = Url::parse(text).map_err(|error| problem(&format!("this is no URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(problem("only http and https are spoken here"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let hint = r#"take it from the environment: headers = { Authorization = "Basic env:NAME" }"#;
        return Err(problem("credentials do not belong into pipeline.toml").hint(hint));
    }
    Ok(url)
}

fn header(
    name: &str,
    value: &str,
    env: impl Fn(&str) -> Option<String>,
) -> Result<(HeaderName, HeaderValue), Problem> {
    let problem = |message: String| Problem::new(format!("headers.{name}"), message);
    let parsed: HeaderName =
        name.parse().map_err(|_| problem(format!("{name:?} is not the name of a header")))?;
    if RESERVED.contains(&parsed.as_str()) {
        return Err(problem(format!("{name} is set by the stage itself")));
    }
    let (prefix, variable) = match value.rsplit_once("env:") {
        Some((prefix, variable)) if prefix.is_empty() || prefix.ends_with(' ') => (prefix, Some(variable)),
        _ => (value, None),
    };
    let whole = match variable {
        None if CREDENTIALS.contains(&parsed.as_str()) => {
            return Err(problem("credentials do not belong into pipeline.toml".into())
                .hint(format!(r#"take them from the environment: {name} = "Bearer env:NAME""#)));
        }
        None => prefix.to_owned(),
        Some(variable) => {
            let secret = env(variable).filter(|secret| !secret.trim().is_empty()).ok_or_else(|| {
                problem(format!("the environment variable {variable:?} is not set"))
                    .hint("set it where the daemon is started; in a service file, as Environment or EnvironmentFile")
            })?;
            format!("{prefix}{}", secret.trim())
        }
    };
    let mut header = HeaderValue::from_str(&whole)
        .map_err(|_| problem("the value holds characters that a header cannot".into()))?;
    header.set_sensitive(variable.is_some());
    Ok((parsed, header))
}

/// The error at the bottom of a chain, which says what happened.
fn innermost(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
