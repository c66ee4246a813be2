//! A provider of fine-tuning jobs, in the dialects of OpenAI, Azure, Together and Mistral.

use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use super::http::{Answer, Request, Server};

/// Whose habits the stand-in has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habits {
    Openai,
    Azure,
    Together,
    Mistral,
}

/// A running stand-in.
#[derive(Debug)]
pub(crate) struct FineTuning {
    pub(crate) server: Server,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    habits: Habits,
    files: Vec<String>,
    jobs: Vec<Value>,
    /// States that the next questions find the job in; the last stays.
    states: Vec<&'static str>,
    /// Requests to paths that begin so fail with this status, so many times.
    faults: Vec<(&'static str, u16, usize)>,
    /// The next job is made, and the answer is lost.
    loses_answer: bool,
}

impl FineTuning {
    /// A job goes through these states, one a question.
    pub(crate) fn start(habits: Habits, states: &[&'static str]) -> Self {
        let state = State {
            habits,
            files: Vec::new(),
            jobs: Vec::new(),
            states: states.to_vec(),
            faults: Vec::new(),
            loses_answer: false,
        };
        let state = Arc::new(Mutex::new(state));
        let inside = state.clone();
        FineTuning { server: Server::start(move |request| lock(&inside).answer(request)), state }
    }

    pub(crate) fn fault(&self, path: &'static str, status: u16, times: usize) {
        lock(&self.state).faults.push((path, status, times));
    }

    pub(crate) fn lose_answer(&self) {
        lock(&self.state).loses_answer = true;
    }

    pub(crate) fn go_on(&self, states: &[&'static str]) {
        lock(&self.state).states = states.to_vec();
    }

    pub(crate) fn jobs(&self) -> Vec<Value> {
        lock(&self.state).jobs.clone()
    }

    /// Contents of the files that were sent.
    pub(crate) fn files(&self) -> Vec<String> {
        lock(&self.state).files.clone()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no panic in a stand-in")
}

fn error(status: u16, message: &str) -> Answer {
    Answer::Json(
        status,
        json!({ "error": { "message": message, "type": "invalid_request_error", "code": null } }),
    )
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        let path =
            request.path.strip_prefix("/v1").unwrap_or(&request.path).split('?').next().unwrap_or_default();
        let key = match self.habits {
            Habits::Azure => request.header("api-key") == Some("sk-test"),
            _ => request.header("authorization") == Some("Bearer sk-test"),
        };
        if !key {
            return error(401, "Incorrect API key provided");
        }
        if let Some(fault) =
            self.faults.iter_mut().find(|(begin, _, times)| *times > 0 && path.starts_with(begin))
        {
            fault.2 -= 1;
            return error(fault.1, "told to fail");
        }
        let (files, jobs) = match self.habits {
            Habits::Together => ("/files/upload", "/fine-tunes"),
            _ => ("/files", "/fine_tuning/jobs"),
        };
        let of_job = path.strip_prefix(jobs).and_then(|rest| rest.strip_prefix('/'));
        match (request.method.as_str(), of_job) {
            ("POST", None) if path == files => self.file(request),
            ("POST", None) if path == jobs => self.create(&request.json()),
            ("GET", None) if path == jobs => Answer::Json(200, json!({ "data": self.jobs })),
            ("GET", Some(id)) => match id.split_once('/') {
                None => self.job(),
                Some((_, "events")) => Answer::Json(200, events()),
                Some((_, "checkpoints")) => Answer::Json(
                    200,
                    json!({ "data": [
                    { "step_number": 20, "metrics": { "full_valid_loss": 1.25 } },
                    { "step_number": 10, "metrics": { "full_valid_loss": 1.5 } },
                ] }),
                ),
                _ => error(404, "no such thing"),
            },
            ("POST", Some(id)) if id.ends_with("/cancel") => {
                self.states = vec!["cancelled"];
                Answer::Json(200, json!({}))
            }
            _ => error(404, "Invalid URL"),
        }
    }

    fn file(&mut self, request: &Request) -> Answer {
        let kind = request.header("content-type").unwrap_or_default();
        let Some((_, border)) = kind.split_once("multipart/form-data; boundary=") else {
            return error(415, "no multipart");
        };
        let body = String::from_utf8_lossy(&request.body).into_owned();
        if !body.ends_with(&format!("\r\n--{border}--\r\n")) {
            return error(400, "no end");
        }
        let (start, end) = (format!("--{border}\r\n"), format!("\r\n--{border}--\r\n"));
        let part = |name: &str| {
            let mut parts =
                body.split(start.as_str()).filter(|part| part.contains(&format!("name=\"{name}\"")));
            let (_, content) = parts.next()?.split_once("\r\n\r\n")?;
            let content = content.strip_suffix(end.as_str()).unwrap_or(content);
            Some(content.strip_suffix("\r\n").unwrap_or(content).to_owned())
        };
        if part("purpose").as_deref() != Some("fine-tune") {
            return error(400, "purpose");
        }
        if self.habits == Habits::Together && part("file_name").is_none() {
            return error(400, "file_name");
        }
        let Some(content) = part("file") else { return error(400, "file") };
        self.files.push(content);
        Answer::Json(200, json!({ "id": format!("file-{}", self.files.len()), "object": "file" }))
    }

    fn create(&mut self, body: &Value) -> Answer {
        let files = match self.habits {
            Habits::Mistral => body.pointer("/training_files/0/file_id"),
            _ => body.get("training_file"),
        };
        if files.and_then(Value::as_str) != Some("file-1") || body.get("model").is_none() {
            return error(400, "no such file or model");
        }
        let mut job = body.clone();
        let id = format!("job-{}", self.jobs.len() + 1);
        if let Some(job) = job.as_object_mut() {
            job.insert("id".into(), id.into());
            job.insert("status".into(), "queued".into());
        }
        self.jobs.push(job.clone());
        if std::mem::take(&mut self.loses_answer) {
            return Answer::Raw(Vec::new());
        }
        Answer::Json(200, job)
    }

    fn job(&mut self) -> Answer {
        let status = if self.states.len() > 1 {
            self.states.remove(0)
        } else {
            self.states.first().copied().unwrap_or("queued")
        };
        let mut job = self.jobs.last().cloned().unwrap_or_default();
        let Some(fields) = job.as_object_mut() else { return error(404, "no such job") };
        fields.insert("status".into(), status.into());
        let is_done = ["succeeded", "completed", "SUCCESS"].contains(&status);
        let model = match self.habits {
            Habits::Together => "model_output_name",
            _ => "fine_tuned_model",
        };
        let name = if is_done { json!("ft:small:atles:abc") } else { Value::Null };
        fields.insert(model.into(), name);
        let failed = ["failed", "FAILED_VALIDATION", "user_error"].contains(&status);
        let problem =
            if failed { json!({ "code": "invalid", "message": "line 3\nis odd" }) } else { Value::Null };
        fields.insert("error".into(), problem);
        if self.habits == Habits::Together {
            fields.insert("total_steps".into(), 20.into());
            fields.insert("steps_completed".into(), if is_done { 20.into() } else { 5.into() });
        }
        if self.habits == Habits::Mistral {
            fields.insert(
                "checkpoints".into(),
                json!([
                    { "step_number": 3, "metrics": { "valid_loss": 0.75 } },
                    { "step_number": 1, "metrics": { "valid_loss": 1.0 } },
                ]),
            );
        }
        Answer::Json(200, job)
    }
}

/// The newest first, as OpenAI lists them.
fn events() -> Value {
    let metrics = |step: u64, loss: f64| json!({ "type": "metrics", "message": "Step", "data": { "step": step, "train_loss": loss, "valid_loss": loss + 0.5 } });
    json!({ "object": "list", "data": [
        { "type": "message", "message": "The job has successfully completed" },
        metrics(2, 1.5), metrics(1, 2.0),
        { "type": "message", "message": "Fine-tuning job started", "data": {} },
    ] })
}
