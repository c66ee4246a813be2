//! One server: where it is, how long it may be silent, what it answers.

use std::time::Duration;

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Body, Client, Method, Response, Url};
use serde_json::Value;

use super::{FileBody, WireError};
use crate::memory::prompt::one_line;

/// The largest answer that is read, in bytes.
const LARGEST: usize = 32 << 20;
/// The longest line of a stream, in bytes.
const LONGEST_LINE: usize = 4 << 20;
/// Characters of a server's words that an error repeats.
const WORDS: usize = 300;

/// How a server is reached.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    /// How long setting up a connection may take.
    pub(crate) connect: Duration,
    /// How long the server may be silent.
    pub(crate) silence: Duration,
    /// Whether the proxies that the environment names are used.
    pub(crate) proxy: bool,
    /// Headers of every request; secret ones are marked so.
    pub(crate) headers: HeaderMap,
}

impl Reach {
    /// A server nearby: no proxy.
    pub(crate) fn nearby(silence: Duration) -> Self {
        Reach { connect: Duration::from_secs(5), silence, proxy: false, headers: HeaderMap::new() }
    }
}

/// A server that speaks JSON over HTTP.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    client: Client,
    base: Url,
    /// Scheme, host and port: what errors may say.
    name: String,
}

impl Server {
    /// A server at an address such as `http://127.0.0.1:11434` or `https://api.example.org/v1`.
    pub(crate) fn at(address: &str, reach: Reach) -> Result<Self, WireError> {
        let url =
            Url::parse(address).map_err(|error| WireError::Setup(format!("this is no URL: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(WireError::Setup("a server's address begins with http:// or https://".into()));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(WireError::Setup("a server's address holds neither a password nor a query".into()));
        }
        let mut builder = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(reach.connect)
            .read_timeout(reach.silence)
            .default_headers(reach.headers)
            .user_agent(concat!("atles/", env!("CARGO_PKG_VERSION")));
        if !reach.proxy {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| WireError::Setup(innermost(&error)))?;
        Ok(Server { client, name: url.origin().ascii_serialization(), base: url })
    }

    /// Scheme, host and port.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Asks for JSON.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, WireError> {
        self.json(Method::GET, path, None).await
    }

    /// Asks for an object that may hold an `error` of its own, as a failed job does.
    pub(crate) async fn object(&self, path: &str) -> Result<Value, WireError> {
        self.read_json(self.judged(self.send(Method::GET, path, None).await?).await?).await
    }

    /// Sends JSON and reads JSON; an empty answer is `null`.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, WireError> {
        self.json(Method::POST, path, Some(body)).await
    }

    /// Sends JSON to have something deleted.
    pub(crate) async fn delete(&self, path: &str, body: &Value) -> Result<Value, WireError> {
        self.json(Method::DELETE, path, Some(body)).await
    }

    /// The status of a HEAD request.
    pub(crate) async fn head(&self, path: &str) -> Result<u16, WireError> {
        let request = self.client.head(self.url(path)?);
        Ok(request.send().await.map_err(|error| self.broken(&error))?.status().as_u16())
    }

    /// Sends a file.
    pub(crate) async fn post_file(&self, path: &str, kind: &str, body: FileBody) -> Result<Value, WireError> {
        let kind =
            HeaderValue::from_str(kind).map_err(|_| WireError::Setup("a content type of ours".into()))?;
        let request = self
            .client
            .post(self.url(path)?)
            .header(CONTENT_TYPE, kind)
            .header(CONTENT_LENGTH, body.length())
            .body(Body::wrap(body));
        let response = request.send().await.map_err(|error| self.broken(&error))?;
        self.read_json(self.judged(response).await?).await
    }

    /// Sends JSON and reads an answer of JSON lines, each handed to `on_line`. A line `{"error": …}` ends it.
    pub(crate) async fn post_lines(
        &self,
        path: &str,
        body: &Value,
        mut on_line: impl FnMut(Value),
    ) -> Result<(), WireError> {
        let mut response = self.judged(self.send(Method::POST, path, Some(body)).await?).await?;
        let mut line = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(&error))? {
            let mut pieces = chunk.split(|byte| *byte == b'\n').peekable();
            while let Some(piece) = pieces.next() {
                line.extend_from_slice(piece);
                if line.len() > LONGEST_LINE {
                    return Err(self.odd("a line of the answer has no end"));
                }
                if pieces.peek().is_some() {
                    self.line(&line, &mut on_line)?;
                    line.clear();
                }
            }
        }
        self.line(&line, &mut on_line)
    }

    fn line(&self, line: &[u8], on_line: &mut impl FnMut(Value)) -> Result<(), WireError> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let value: Value =
            serde_json::from_slice(line).map_err(|_| self.odd("a line of the answer is no JSON"))?;
        match said_error(&value) {
            Some(message) => Err(self.odd(&message)),
            None => {
                on_line(value);
                Ok(())
            }
        }
    }

    async fn json(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, WireError> {
        let response = self.judged(self.send(method, path, body).await?).await?;
        let value = self.read_json(response).await?;
        // Some servers answer 200 and an error.
        match said_error(&value) {
            Some(message) => Err(self.odd(&message)),
            None => Ok(value),
        }
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response, WireError> {
        let mut request = self.client.request(method, self.url(path)?);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        request.send().await.map_err(|error| self.broken(&error))
    }

    /// Paths are made of our own words and of ids that were checked; both are below the server's own path.
    fn url(&self, path: &str) -> Result<Url, WireError> {
        let base = self.base.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}{path}")).map_err(|error| WireError::Setup(error.to_string()))
    }

    async fn judged(&self, response: Response) -> Result<Response, WireError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        // The status counts even where its body breaks off.
        let text = self.read(response).await.unwrap_or_default();
        let value: Option<Value> = serde_json::from_slice(&text).ok();
        let said =
            value.and_then(|value| said_error(&value).or_else(|| value.get("detail")?.as_str().map(words)));
        let message = said.unwrap_or_else(|| words(&String::from_utf8_lossy(&text)));
        let message = if message.is_empty() { "no reason given".to_owned() } else { message };
        Err(WireError::Status { server: self.name.clone(), status: status.as_u16(), message })
    }

    async fn read_json(&self, response: Response) -> Result<Value, WireError> {
        let bytes = self.read(response).await?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|_| self.odd("the answer is no JSON"))
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, WireError> {
        let mut all = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(&error))? {
            if all.len() + chunk.len() > LARGEST {
                return Err(self.odd("the answer has no end"));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }

    fn odd(&self, message: &str) -> WireError {
        WireError::Answer { server: self.name.clone(), message: message.to_owned() }
    }

    fn broken(&self, error: &reqwest::Error) -> WireError {
        let why = if error.is_timeout() { "it was silent for too long".to_owned() } else { innermost(error) };
        WireError::Unreachable { server: self.name.clone(), why }
    }
}

/// The error in an answer: `{"error": "…"}` or `{"error": {"message": "…"}}`.
fn said_error(value: &Value) -> Option<String> {
    let error = value.get("error")?;
    error.as_str().or_else(|| error.get("message")?.as_str()).map(words)
}

/// A server's words on one line, cut.
fn words(text: &str) -> String {
    let line = one_line(text);
    match line.char_indices().nth(WORDS) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// The error at the bottom of a chain, which says what happened.
fn innermost(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
}
