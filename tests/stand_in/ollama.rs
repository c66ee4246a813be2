//! Ollama, as far as publishing meets it, in both of its ages: up to 0.34.0 with adapters, after it without.
//!
//! What it does beside the obvious: errors in the middle of a stream come inside a 200; a model made `from` another
//! inherits all its layers and merges parameters key by key; a model made of files inherits nothing; an empty system
//! prompt clears nothing; a GGUF is an adapter only if it says so itself; nothing looks at shapes before the first chat.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::http::{Answer, Request, Server};

/// A running stand-in.
#[derive(Debug)]
pub(crate) struct Ollama {
    pub(crate) server: Server,
    state: Arc<Mutex<State>>,
}

/// A model: what its manifest leads to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Model {
    pub(crate) weights: Option<String>,
    pub(crate) adapters: Vec<String>,
    pub(crate) template: Option<String>,
    pub(crate) system: Option<String>,
    pub(crate) license: Option<String>,
    pub(crate) parameters: Map<String, Value>,
    pub(crate) messages: Value,
}

impl Model {
    pub(crate) fn digest(&self) -> String {
        hex(&Sha256::digest(format!("{self:?}").as_bytes()))
    }
}

/// Something that goes wrong at a path, so many times.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    path: &'static str,
    model: Option<String>,
    times: usize,
    what: What,
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// This status with this error.
    Status(u16, &'static str),
    /// The stream begins well and ends in this error.
    ErrorInStream(&'static str),
    /// The stream ends without a word.
    CutOff,
    /// An answer that is no JSON.
    Garbage,
    /// No answer at all.
    Hang,
    /// The right answer, late.
    Slow(Duration),
    /// The chat says this.
    Says(&'static str),
    /// The blob arrives damaged.
    Damaged,
}

#[derive(Debug, Default)]
struct State {
    version: String,
    blobs: BTreeMap<String, Vec<u8>>,
    models: BTreeMap<String, Model>,
    faults: Vec<Fault>,
    adapters_fail_in_chat: bool,
    tells_prompts: bool,
}

impl Ollama {
    pub(crate) fn start(version: &str) -> Self {
        let state = State { version: version.to_owned(), tells_prompts: true, ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let inside = state.clone();
        Ollama { server: Server::start(move |request| lock(&inside).answer(request)), state }
    }

    pub(crate) fn url(&self) -> &str {
        &self.server.url
    }

    pub(crate) fn set_version(&self, version: &str) {
        lock(&self.state).version = version.to_owned();
    }

    /// As some architectures of 0.20 to 0.22: a model with an adapter is made, and cannot be run.
    pub(crate) fn fail_adapters_in_chat(&self) {
        lock(&self.state).adapters_fail_in_chat = true;
    }

    /// From now on this goes wrong, so many times; with a model's name only where it is about that model.
    pub(crate) fn fault(&self, path: &'static str, model: Option<&str>, times: usize, what: What) {
        let model = model.map(str::to_owned);
        lock(&self.state).faults.push(Fault { path, model, times, what });
    }

    pub(crate) fn mend(&self) {
        lock(&self.state).faults.clear();
    }

    pub(crate) fn model(&self, name: &str) -> Option<Model> {
        lock(&self.state).models.get(name).cloned()
    }

    pub(crate) fn models(&self) -> Vec<String> {
        lock(&self.state).models.keys().cloned().collect()
    }

    pub(crate) fn add(&self, name: &str, model: Model) {
        lock(&self.state).models.insert(name.to_owned(), model);
    }

    pub(crate) fn blobs(&self) -> Vec<String> {
        lock(&self.state).blobs.keys().cloned().collect()
    }

    /// Makes a model of a file that was never sent.
    pub(crate) fn add_file(&self, bytes: &[u8]) -> String {
        let digest = format!("sha256:{}", hex(&Sha256::digest(bytes)));
        lock(&self.state).blobs.insert(digest.clone(), bytes.to_vec());
        digest
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no panic in a stand-in")
}

fn error(status: u16, words: &str) -> Answer {
    Answer::Json(status, json!({ "error": words }))
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        let body = request.json();
        let about = ["model", "destination", "name"].iter().find_map(|key| body.get(key)?.as_str());
        let fault = self.faults.iter_mut().find(|fault| {
            fault.times > 0
                && request.path.starts_with(fault.path)
                && (request.method != "HEAD" || matches!(fault.what, What::Status(..) | What::Hang))
                && fault.model.as_deref().is_none_or(|model| about == Some(model))
        });
        let what = fault.map(|fault| {
            fault.times -= 1;
            fault.what.clone()
        });
        let begun = || json!({ "status": "parsing GGUF" });
        match what {
            None => self.right_answer(request, &body),
            Some(What::Status(status, words)) => error(status, words),
            Some(What::ErrorInStream(words)) => Answer::Lines(vec![begun(), json!({ "error": words })]),
            Some(What::CutOff) => Answer::Lines(vec![begun()]),
            Some(What::Garbage) => Answer::Raw(
                b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>".to_vec(),
            ),
            Some(What::Hang) => Answer::Hang,
            Some(What::Slow(late)) => Answer::Slow(late, Box::new(self.right_answer(request, &body))),
            Some(What::Says(words)) => {
                let message = json!({ "role": "assistant", "content": words });
                Answer::Json(200, json!({ "message": message, "done": true }))
            }
            Some(What::Damaged) => {
                let mut request = request.clone();
                request.body.push(0);
                self.right_answer(&request, &body)
            }
        }
    }

    fn right_answer(&mut self, request: &Request, body: &Value) -> Answer {
        let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/api/version") => Answer::Json(200, json!({ "version": self.version })),
            ("GET", "/api/tags") => {
                let model = |(name, model): (&String, &Model)| json!({ "name": name, "model": name, "digest": model.digest(), "size": 1 });
                Answer::Json(200, json!({ "models": self.models.iter().map(model).collect::<Vec<_>>() }))
            }
            ("HEAD", path) if path.starts_with("/api/blobs/") => match self.blobs.contains_key(&path[11..]) {
                true => Answer::Empty(200),
                false => Answer::Empty(404),
            },
            ("POST", path) if path.starts_with("/api/blobs/") => self.blob(&path[11..], &request.body),
            ("POST", "/api/create") => self.create(body),
            ("POST", "/api/show") => self.show(text("model")),
            ("POST", "/api/copy") => match self.models.get(&full(text("source"))).cloned() {
                Some(model) => {
                    self.models.insert(full(text("destination")), model);
                    Answer::Empty(200)
                }
                None => error(404, &format!("model {:?} not found", text("source"))),
            },
            ("DELETE", "/api/delete") => match self.models.remove(&full(text("model"))) {
                Some(_) => Answer::Empty(200),
                None => error(404, &format!("model '{}' not found", text("model"))),
            },
            ("POST", "/api/chat") => self.chat(body),
            _ => Answer::Raw(b"HTTP/1.1 404 Not Found\r\nContent-Length: 18\r\nConnection: close\r\n\r\n404 page not found".to_vec()),
        }
    }

    fn blob(&mut self, digest: &str, body: &[u8]) -> Answer {
        if self.blobs.contains_key(digest) {
            return Answer::Empty(200);
        }
        let got = format!("sha256:{}", hex(&Sha256::digest(body)));
        if got != digest {
            return error(400, &format!("digest mismatch, expected {digest:?}, got {got:?}"));
        }
        self.blobs.insert(got, body.to_vec());
        Answer::Empty(201)
    }

    fn create(&mut self, body: &Value) -> Answer {
        let text = |key: &str| body.get(key).and_then(Value::as_str);
        let Some(name) = text("model").filter(|name| is_name(name)) else {
            return error(400, "invalid model name");
        };
        let takes_adapters = !newer_than_adapters(&self.version);
        if body.get("adapters").is_some() && !takes_adapters {
            return error(400, "LoRA adapters are no longer supported");
        }
        let mut lines = vec![json!({ "status": "gathering model components" })];
        let mut model = Model::default();
        if let Some(from) = text("from") {
            match self.models.get(&full(from)) {
                Some(base) => model = base.clone(),
                None => {
                    lines.push(json!({ "status": "pulling manifest" }));
                    lines.push(json!({ "error": "pull model manifest: file does not exist" }));
                    return Answer::Lines(lines);
                }
            }
        } else if body.get("files").is_none() {
            return error(400, "neither 'from' or 'files' was specified");
        }
        for key in ["files", "adapters"] {
            for (file, digest) in body.get(key).and_then(Value::as_object).into_iter().flatten() {
                if file.starts_with('/') || file.contains("..") {
                    return error(400, "invalid file path");
                }
                let digest = digest.as_str().unwrap_or_default();
                let Some(bytes) = self.blobs.get(digest) else {
                    lines.push(json!({ "error": format!("open blobs/{digest}: no such file or directory") }));
                    return Answer::Lines(lines);
                };
                if !bytes.starts_with(b"GGUF") {
                    return error(400, "unknown type");
                }
                lines.push(json!({ "status": "parsing GGUF" }));
                match says_adapter(bytes) {
                    true if !takes_adapters => return error(400, "LoRA adapters are no longer supported"),
                    true => model.adapters.push(digest.to_owned()),
                    false => model.weights = Some(digest.to_owned()),
                }
            }
        }
        let set = |field: &mut Option<String>, key: &str| {
            if let Some(value) = text(key).filter(|value| !value.is_empty()) {
                *field = Some(value.to_owned());
            }
        };
        set(&mut model.template, "template");
        set(&mut model.system, "system");
        set(&mut model.license, "license");
        model
            .parameters
            .extend(body.get("parameters").and_then(Value::as_object).cloned().unwrap_or_default());
        if let Some(messages) = body.get("messages") {
            model.messages = messages.clone();
        }
        if model.weights.is_none() {
            lines.push(json!({ "error": "no base model was found" }));
            return Answer::Lines(lines);
        }
        self.models.insert(full(name), model);
        lines.extend([json!({ "status": "writing manifest" }), json!({ "status": "success" })]);
        Answer::Lines(lines)
    }

    fn show(&self, name: &str) -> Answer {
        let Some(model) = self.models.get(&full(name)) else {
            return error(404, &format!("model '{name}' not found"));
        };
        let mut parameters = String::new();
        for (name, value) in &model.parameters {
            for value in value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice) {
                parameters.push_str(&format!("{name:<30} {value}\n"));
            }
        }
        let weights = model.weights.clone().unwrap_or_default();
        let mut modelfile = format!("# Modelfile generated by \"ollama show\"\nFROM /blobs/{weights}\n");
        model.adapters.iter().for_each(|adapter| modelfile.push_str(&format!("ADAPTER /blobs/{adapter}\n")));
        Answer::Json(
            200,
            json!({
                "modelfile": modelfile, "template": model.template.clone().unwrap_or("{{ .Prompt }}".into()),
                "system": model.system, "license": model.license, "parameters": parameters.trim_end(),
                "messages": model.messages, "details": {}, "model_info": {},
            }),
        )
    }

    fn chat(&self, body: &Value) -> Answer {
        let name = body.get("model").and_then(Value::as_str).unwrap_or_default();
        let Some(model) = self.models.get(&full(name)) else {
            return error(404, &format!("model '{name}' not found"));
        };
        if body.get("_debug_render_only") == Some(&json!(true)) && self.tells_prompts {
            let prompt = model.prompt(body);
            return Answer::Json(
                200,
                json!({ "model": name, "_debug_info": { "rendered_template": prompt } }),
            );
        }
        if !model.adapters.is_empty() && self.adapters_fail_in_chat {
            return error(500, "loras are not yet implemented");
        }
        let message = json!({ "role": "assistant", "content": "Hello there!" });
        Answer::Json(
            200,
            json!({ "model": name, "message": message, "done": true, "done_reason": "stop", "eval_count": 4 }),
        )
    }
}

impl Model {
    /// The prompt of a chat: ChatML where the template is that, else the bare words.
    fn prompt(&self, body: &Value) -> String {
        let turns = body.get("messages").and_then(Value::as_array).cloned().unwrap_or_default();
        let system = self.system.iter().map(|text| json!({ "role": "system", "content": text }));
        let is_chatml =
            self.template.as_deref().is_some_and(|template| template.contains("<|im_start|>{{ .Role }}"));
        let mut prompt = String::new();
        for turn in system.chain(turns) {
            let text = |key: &str| turn.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            match is_chatml {
                true => {
                    prompt.push_str(&format!(
                        "<|im_start|>{}\n{}<|im_end|>\n",
                        text("role"),
                        text("content")
                    ));
                }
                false => prompt.push_str(&text("content")),
            }
        }
        if is_chatml { prompt + "<|im_start|>assistant\n" } else { prompt }
    }
}

fn full(name: &str) -> String {
    if name.contains(':') { name.to_owned() } else { format!("{name}:latest") }
}

fn is_name(name: &str) -> bool {
    let fits = |part: &str| {
        !part.is_empty()
            && part.len() <= 80
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
            && part.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
    };
    let (model, tag) = name.split_once(':').unwrap_or((name, "latest"));
    model.split('/').all(fits) && fits(tag)
}

fn newer_than_adapters(version: &str) -> bool {
    let numbers: Vec<u32> = version.split(['.', '-']).filter_map(|number| number.parse().ok()).collect();
    numbers.as_slice() > [0, 34, 0].as_slice()
}

/// Whether a GGUF says `general.type = "adapter"`.
fn says_adapter(bytes: &[u8]) -> bool {
    let key = b"general.type";
    let Some(at) = bytes.windows(key.len()).position(|window| window == key) else { return false };
    // A text: its type's number, its length, its bytes.
    bytes.get(at + key.len() + 12..).is_some_and(|value| value.starts_with(b"adapter"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
