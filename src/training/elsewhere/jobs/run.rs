//! One job from the files to the model's name.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tracing::{info, warn};

use super::api::Api;
use super::dialect::{Dialect, Order, Phase};
use super::state::State;
use crate::config::OpenaiTrainer;
use crate::memory::prompt::one_line;
use crate::training::backend::{Artefact, Backend, BackendError, Job, Progress, Trained};
use crate::training::elsewhere::command::stopped;
use crate::wire::{Reach, Server, WireError};

/// Polls in a row that may fail before the run is put off.
const PATIENCE: u32 = 20;
/// How long a server may be silent.
const SILENCE: Duration = Duration::from_secs(120);
/// The longest pause after a failed poll.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// A server that trains by jobs.
#[derive(Debug)]
pub struct Jobs {
    api: Api,
    settings: OpenaiTrainer,
    url: String,
}

/// What was seen of a job so far.
#[derive(Default)]
struct Seen {
    losses: Vec<(u64, f32)>,
    /// The first loss on the held-out chats that was told.
    first: Option<(u64, f64)>,
    told: Option<Progress>,
}

impl Jobs {
    /// The server that the settings name. `env` reads the environment; the key is never shown.
    pub fn new(settings: &OpenaiTrainer, env: impl Fn(&str) -> Option<String>) -> Result<Self, BackendError> {
        let dialect = Dialect::of(settings.provider);
        let failed = |message: String, hint: String| BackendError::Failed { message, hint: Some(hint) };
        let url = settings.url.clone().unwrap_or_else(|| dialect.url.to_owned());
        if url.is_empty() || settings.model.trim().is_empty() {
            return Err(failed(
                "[training.openai] lacks `url` or `model`".into(),
                "`atles check` tells more".into(),
            ));
        }
        let variable = settings.api_key_env.as_deref().unwrap_or(dialect.key_env);
        let key = env(variable).filter(|key| !key.trim().is_empty()).ok_or_else(|| {
            failed(
                format!("the environment variable {variable:?} is not set"),
                "set it to the API key where the daemon is started; in a service file, as EnvironmentFile"
                    .into(),
            )
        })?;
        let (header, before) = dialect.key_header;
        let mut value = HeaderValue::from_str(&format!("{before}{}", key.trim())).map_err(|_| {
            failed(format!("{variable:?} holds characters that a header cannot"), "look at its value".into())
        })?;
        value.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static(header), value);
        let reach =
            Reach { connect: Duration::from_secs(20), silence: SILENCE, proxy: settings.proxy, headers };
        let server = Server::at(&url, reach).map_err(|error| BackendError::failed(error.to_string()))?;
        Ok(Jobs { api: Api { server, dialect }, settings: settings.clone(), url })
    }

    #[cfg(test)]
    pub(super) fn set_timeout(&mut self, timeout: crate::config::Span) {
        self.settings.timeout = timeout;
    }

    async fn train(&self, job: &Job<'_>, watch: &mut dyn FnMut(&Progress)) -> Result<Trained, BackendError> {
        let began = Instant::now();
        let mut state = State::read(job.folder, self.settings.provider, &self.url);
        let id = match state.job.clone() {
            Some(id) => id,
            None => self.begin(job, &mut state).await?,
        };
        let mut seen = Seen::default();
        let ended = self.wait(&id, &state, &mut seen, watch, began).await?;
        let model = self.api.dialect.model.iter().find_map(|key| ended.get(key)?.as_str());
        let model = model
            .filter(|name| !name.trim().is_empty())
            .map(one_line)
            .ok_or_else(|| BackendError::failed(format!("job {id} has ended well, and names no model")))?;
        let tokens =
            ["trained_tokens", "token_count"].iter().find_map(|key| ended.get(key)?.as_u64()).unwrap_or(0);
        let (held_out_before, held_out_after) = self.held_out(&id, &ended, &seen).await;
        Ok(Trained {
            artefact: Artefact::Elsewhere { model, held_out_before, held_out_after },
            losses: seen.losses.into_iter().map(|(_, loss)| loss).collect(),
            tokens,
            seconds: began.elapsed().as_secs_f64(),
        })
    }

    /// Sends the files and makes the job; every id is written down as soon as it is known.
    async fn begin(&self, job: &Job<'_>, state: &mut State) -> Result<String, BackendError> {
        let train = match state.train.clone() {
            Some(id) => id,
            None => self.upload(job.train_file, "train.jsonl").await?,
        };
        state.train = Some(train.clone());
        save(state)?;
        if state.held_out.is_none() && !job.held_out.is_empty() {
            state.held_out = Some(self.upload(job.held_out_file, "held_out.jsonl").await?);
            save(state)?;
        }
        let mut found = None;
        if state.asked {
            found = self.api.find(&train).await.map_err(|error| self.failed(&error))?;
        }
        let id = match found {
            Some(id) => id,
            None => {
                state.asked = true;
                save(state)?;
                let order = Order {
                    trainer: &self.settings,
                    training: job.settings,
                    train: &train,
                    held_out: state.held_out.as_deref(),
                };
                let made = self.api.create(&self.api.dialect.create(&order)).await;
                made.map_err(|error| self.failed(&error))?
            }
        };
        info!(job = id, server = self.api.server.name(), "a fine-tuning job is under way");
        (state.job, state.began) = (Some(id.clone()), Some(Timestamp::now()));
        save(state)?;
        Ok(id)
    }

    async fn upload(&self, path: &Path, name: &str) -> Result<String, BackendError> {
        self.api.upload(path, name).await.map_err(|error| self.failed(&error))
    }

    /// Asks until the job has ended; the job as it is then.
    async fn wait(
        &self,
        id: &str,
        state: &State,
        seen: &mut Seen,
        watch: &mut dyn FnMut(&Progress),
        began: Instant,
    ) -> Result<Value, BackendError> {
        let limit = i128::try_from(self.settings.timeout.0.as_millis()).unwrap_or(i128::MAX);
        let since = state.began.unwrap_or_else(Timestamp::now);
        let mut failures = 0;
        loop {
            match self.api.job(id).await {
                Ok(job) => {
                    failures = 0;
                    let told = job.get("status").and_then(Value::as_str).unwrap_or_default();
                    if self.api.dialect.has_events {
                        seen.events(&self.api.list(id, "events?limit=100").await);
                    }
                    seen.show(&job, watch, began);
                    match self.api.dialect.phase(told) {
                        Phase::Done => return Ok(job),
                        Phase::Failed => return Err(ended_badly(id, told, &job)),
                        Phase::GoesOn => {}
                    }
                }
                Err(error) if error.may_pass() && failures < PATIENCE => {
                    failures += 1;
                    warn!(job = id, %error, failures, "the job cannot be asked about; tried again");
                }
                Err(error) if error.may_pass() => return Err(BackendError::Later(error.to_string())),
                Err(error) => return Err(self.failed(&error)),
            }
            if i128::from(Timestamp::now().duration_since(since).as_millis() as i64) > limit {
                let cancelled = self.api.cancel(id).await;
                let told = if cancelled.is_ok() { "was cancelled" } else { "could not be cancelled" };
                return Err(BackendError::Failed {
                    message: format!("job {id} took longer than {} and {told}", self.settings.timeout),
                    hint: Some("raise `timeout` in [training.openai]".into()),
                });
            }
            let pause = self.settings.poll.0.saturating_mul(1 << failures.min(4));
            tokio::time::sleep(pause.min(LONGEST_PAUSE.max(self.settings.poll.0))).await;
        }
    }

    /// The first loss on the held-out chats that the provider told, and that at the end.
    async fn held_out(&self, id: &str, job: &Value, seen: &Seen) -> (Option<f64>, Option<f64>) {
        let mut points = job.get("checkpoints").and_then(Value::as_array).cloned().unwrap_or_default();
        if points.is_empty() && self.api.dialect.has_events {
            points = self.api.list(id, "checkpoints").await;
        }
        let loss = |point: &Value| {
            let metrics = point.get("metrics")?;
            ["full_valid_loss", "valid_loss"].iter().find_map(|key| metrics.get(key)?.as_f64())
        };
        let step = |point: &Value| point.get("step_number").and_then(Value::as_u64).unwrap_or(0);
        let mut told: Vec<(u64, f64)> =
            points.iter().filter_map(|point| Some((step(point), loss(point)?))).chain(seen.first).collect();
        told.retain(|(_, loss)| loss.is_finite());
        told.sort_by_key(|(step, _)| *step);
        match told.as_slice() {
            [] => (None, None),
            [(_, only)] => (None, Some(*only)),
            [(_, first), .., (_, last)] => (Some(*first), Some(*last)),
        }
    }

    fn failed(&self, error: &WireError) -> BackendError {
        let hint = match error {
            error if error.may_pass() => return BackendError::Later(error.to_string()),
            WireError::Status { status: 401 | 403, .. } => "check the API key, and that it may fine-tune",
            WireError::Status { status: 404, .. } => {
                "check `url`, `provider` and `model` in [training.openai]"
            }
            WireError::Status { status: 402, .. } => "the account has no means left",
            _ => "the provider's own page of the job tells more",
        };
        BackendError::Failed { message: error.to_string(), hint: Some(hint.into()) }
    }
}

impl Backend for Jobs {
    fn train(
        &mut self,
        job: &Job<'_>,
        watch: &mut dyn FnMut(&Progress),
        stop: &Arc<AtomicBool>,
    ) -> Result<Trained, BackendError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| BackendError::Later(error.to_string()))?;
        let result = runtime.block_on(async {
            tokio::select! {
                trained = Jobs::train(self, job, watch) => trained,
                // The job goes on without us, and is asked about again at the next start.
                () = stopped(stop) => Err(BackendError::Stopped),
            }
        });
        runtime.shutdown_background();
        result
    }
}

impl Seen {
    /// Takes up the loss of steps: events of type `metrics` with `data: {step, train_loss}`.
    fn events(&mut self, events: &[Value]) {
        for event in events.iter().rev() {
            let Some(data) = event.get("data") else { continue };
            let step = data.get("step").and_then(Value::as_u64);
            let held_out = ["full_valid_loss", "valid_loss"].iter().find_map(|key| data.get(key)?.as_f64());
            if let (Some(step), Some(loss)) = (step, held_out)
                && self.first.is_none_or(|(first, _)| step < first)
            {
                self.first = Some((step, loss));
            }
            let loss = data.get("train_loss").and_then(Value::as_f64);
            if let (Some(step), Some(loss)) = (step, loss)
                && self.losses.last().is_none_or(|(last, _)| step > *last)
            {
                self.losses.push((step, loss as f32));
            }
        }
    }

    fn show(&mut self, job: &Value, watch: &mut dyn FnMut(&Progress), began: Instant) {
        let number = |key: &str| job.get(key).and_then(Value::as_u64);
        let (last, loss) = self.losses.last().copied().unwrap_or_default();
        let progress = Progress {
            step: number("steps_completed").unwrap_or(last),
            steps: number("total_steps").unwrap_or(0),
            loss,
            tokens: number("trained_tokens").unwrap_or(0),
            seconds: 0.0,
        };
        if progress.step > 0 && self.told != Some(progress) {
            self.told = Some(progress);
            watch(&Progress { seconds: began.elapsed().as_secs_f64(), ..progress });
        }
    }
}

/// The provider's reason: its code and its words on one line.
fn ended_badly(id: &str, state: &str, job: &Value) -> BackendError {
    let error = job.get("error");
    let words = error.and_then(|error| error.as_str().or_else(|| error.get("message")?.as_str()));
    let words: String = one_line(words.unwrap_or("no reason given")).chars().take(200).collect();
    BackendError::Failed {
        message: format!("job {id} ended as {:?}: {words}", one_line(state)),
        hint: Some("the provider's own page of the job tells more".into()),
    }
}

fn save(state: &State) -> Result<(), BackendError> {
    state.save().map_err(|error| BackendError::Later(format!("the job's id cannot be written down: {error}")))
}
