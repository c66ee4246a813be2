//! llama.cpp's `llama-server`: adapters loaded at the start, their scales set while it runs.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::http::{Answer, Request, Server};

/// A running stand-in.
#[derive(Debug)]
pub(crate) struct LlamaServer {
    pub(crate) server: Server,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    model: String,
    adapters: Vec<(String, f64)>,
    key: Option<String>,
    loading: bool,
    /// What it says while some adapter is switched on; empty: nothing.
    says: Option<String>,
    /// It answers success and changes nothing.
    deaf: bool,
}

impl LlamaServer {
    /// Started with these adapters, all switched on, as `--lora` does.
    pub(crate) fn start(model: &str, adapters: &[&str]) -> Self {
        let adapters = adapters.iter().map(|path| ((*path).to_owned(), 1.0)).collect();
        let state = State { model: model.to_owned(), adapters, ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let inside = state.clone();
        let server = Server::start(move |request| inside.lock().expect("no panic").answer(request));
        LlamaServer { server, state }
    }

    pub(crate) fn wants_key(&self, key: &str) {
        self.state.lock().expect("no panic").key = Some(key.to_owned());
    }

    pub(crate) fn is_loading(&self, loading: bool) {
        self.state.lock().expect("no panic").loading = loading;
    }

    pub(crate) fn says(&self, words: &str) {
        self.state.lock().expect("no panic").says = Some(words.to_owned());
    }

    pub(crate) fn is_deaf(&self) {
        self.state.lock().expect("no panic").deaf = true;
    }

    pub(crate) fn scales(&self) -> Vec<f64> {
        self.state.lock().expect("no panic").adapters.iter().map(|(_, scale)| *scale).collect()
    }

    pub(crate) fn set_scales(&self, scales: &[f64]) {
        let mut state = self.state.lock().expect("no panic");
        state.adapters.iter_mut().zip(scales).for_each(|((_, scale), new)| *scale = *new);
    }
}

fn error(status: u16, message: &str, kind: &str) -> Answer {
    Answer::Json(status, json!({ "error": { "code": status, "message": message, "type": kind } }))
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        let wanted = self.key.as_ref().map(|key| format!("Bearer {key}"));
        if wanted.is_some() && request.header("authorization") != wanted.as_deref() {
            return error(401, "Invalid API Key", "authentication_error");
        }
        if self.loading {
            return error(503, "Loading model", "unavailable_error");
        }
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/props") => Answer::Json(200, json!({ "model_path": self.model, "total_slots": 1 })),
            ("GET", "/lora-adapters") => {
                let one = |(id, (path, scale)): (usize, &(String, f64))| json!({ "id": id, "path": path, "scale": scale, "task_name": "", "prompt_prefix": "" });
                Answer::Json(200, self.adapters.iter().enumerate().map(one).collect())
            }
            ("POST", "/lora-adapters") => self.set(&request.json()),
            ("POST", "/v1/chat/completions") => {
                let content = self.says.clone().unwrap_or_else(|| "Hello!".into());
                let message = json!({ "role": "assistant", "content": content });
                Answer::Json(
                    200,
                    json!({ "choices": [{ "index": 0, "finish_reason": "stop", "message": message }] }),
                )
            }
            _ => error(404, "File Not Found", "not_found_error"),
        }
    }

    /// An adapter that the list does not name is switched off.
    fn set(&mut self, list: &Value) -> Answer {
        let Some(list) = list.as_array() else {
            return error(400, "Request body must be an array", "invalid_request_error");
        };
        if self.deaf {
            return Answer::Json(200, json!({ "success": true }));
        }
        self.adapters.iter_mut().for_each(|(_, scale)| *scale = 0.0);
        for entry in list {
            let id = entry.get("id").and_then(Value::as_u64).unwrap_or(u64::MAX);
            let Some((_, scale)) = usize::try_from(id).ok().and_then(|id| self.adapters.get_mut(id)) else {
                return error(400, "invalid adapter id", "invalid_request_error");
            };
            *scale = entry.get("scale").and_then(Value::as_f64).unwrap_or(0.0);
        }
        Answer::Json(200, json!({ "success": true }))
    }
}
