//! The chain of stages, and one session's way through it.

use std::error::Error;
use std::time::{Duration, Instant};

use super::contain::contained;
use super::runner::milliseconds;
use super::{StageContext, StageError, Verdict, patch};
use crate::config::{Config, OnError, Retry, StageEntry};
use crate::session::{Envelope, SessionKey};
use crate::stages::decode::Decode;
use crate::stages::session_log::{StageRun, StageStatus};
use crate::state::FileRecord;

/// What `pipeline.toml` makes of a file, as one piece that is swapped when the file is edited.
pub struct Chain {
    /// Makes sessions out of bytes.
    pub decode: Decode,
    /// The stages, in order.
    pub stages: Vec<StageEntry>,
    /// Largest file, in bytes.
    pub max_size: u64,
    /// How long a file that is being written is left alone.
    pub settle: Duration,
    /// Bytes that must be free on the disk, or nothing is taken.
    pub min_free: u64,
    /// How often, and after what pauses, a file that cannot be read for now is tried again.
    pub retry: Retry,
    /// For each stage, a hash over its settings and those of all before it, in hexadecimal.
    lineage: Vec<String>,
}

/// How a session's way ended.
pub(super) enum ChainEnd {
    Passed {
        stages: Vec<StageRun>,
    },
    Finished {
        note: String,
    },
    Failed(Failure),
    /// Our own storage is in trouble.
    Stalled(String),
    Cancelled,
}

/// Why a file did not get through.
#[derive(Debug, Default)]
pub(super) struct Failure {
    pub(super) stage: String,
    pub(super) kind: &'static str,
    pub(super) message: String,
    pub(super) causes: Vec<String>,
    pub(super) hint: Option<String>,
    pub(super) line: Option<usize>,
    pub(super) column: Option<usize>,
    pub(super) path: Option<String>,
    /// Set where trying again may help.
    pub(super) retry: Option<RetryWish>,
}

/// How a failure may be tried again.
#[derive(Debug)]
pub(super) struct RetryWish {
    pub(super) policy: Retry,
    pub(super) after: Option<Duration>,
}

/// Where the checkpoints of outside stages are kept.
pub(super) trait Step {
    fn restore(
        &self,
        key: &SessionKey,
        stage: &str,
        settings: &str,
    ) -> Result<Option<serde_json::Value>, String>;
    fn keep(
        &self,
        key: &SessionKey,
        stage: &str,
        settings: &str,
        patch: serde_json::Value,
    ) -> impl Future<Output = Result<(), String>> + Send;
}

impl From<Config> for Chain {
    fn from(config: Config) -> Self {
        let Config { settings, decode, decode_hash, stages, .. } = config;
        Chain {
            decode,
            lineage: lineage(decode_hash, &stages),
            stages,
            max_size: settings.spool.max_size.0,
            settle: settings.spool.settle.0,
            min_free: settings.disk.min_free.0,
            retry: settings.retry,
        }
    }
}

/// For each stage, a hash over its settings and those of all before it.
fn lineage(decode_hash: [u8; 32], stages: &[StageEntry]) -> Vec<String> {
    let mut hash = blake3::Hasher::new();
    hash.update(&decode_hash);
    stages
        .iter()
        .map(|entry| hash.update(&entry.settings_hash).finalize().to_hex().as_str()[..32].to_owned())
        .collect()
}

impl Chain {
    /// Takes a session through the stages.
    pub(super) async fn run(
        &self,
        envelope: &mut Envelope,
        record: &FileRecord,
        step: &impl Step,
    ) -> ChainEnd {
        let mut runs = Vec::with_capacity(self.stages.len());
        for (entry, settings) in self.stages.iter().zip(&self.lineage) {
            let started = Instant::now();
            let mut run = |status, note| {
                let name = entry.name.clone();
                runs.push(StageRun { name, status, took_ms: milliseconds(started), note });
            };
            match self.step(entry, settings, envelope, record, step).await {
                Ok(StepEnd::Done(note)) => run(StageStatus::Done, note),
                Ok(StepEnd::Skipped) => run(StageStatus::Skipped, None),
                Ok(StepEnd::Finished(note)) => return ChainEnd::Finished { note },
                Err(StepError::Stage(failure)) => {
                    let last = failure
                        .retry
                        .as_ref()
                        .is_none_or(|retry| failure.tries_before(record) + 1 >= retry.policy.attempts);
                    if entry.on_error == OnError::Continue && last {
                        run(StageStatus::Failed, Some(failure.message));
                    } else {
                        return ChainEnd::Failed(failure);
                    }
                }
                Err(StepError::Storage(message)) => return ChainEnd::Stalled(message),
                Err(StepError::Cancelled) => return ChainEnd::Cancelled,
            }
        }
        ChainEnd::Passed { stages: runs }
    }

    async fn step(
        &self,
        entry: &StageEntry,
        settings: &str,
        envelope: &mut Envelope,
        record: &FileRecord,
        step: &impl Step,
    ) -> Result<StepEnd, StepError> {
        if let Some(when) = &entry.when {
            match when.holds(envelope) {
                Ok(true) => {}
                Ok(false) => return Ok(StepEnd::Skipped),
                Err(error) => {
                    let mut failure = Failure::new(&entry.name, "when", error.to_string());
                    failure.hint =
                        Some("correct the stage's `when` in pipeline.toml, then `atles failed retry`".into());
                    return Err(StepError::Stage(failure));
                }
            }
        }
        let outside = entry.stage.acts_outside();
        if outside
            && let Some(patch) =
                step.restore(&envelope.key, &entry.name, settings).map_err(StepError::Storage)?
        {
            let verdict =
                patch::apply(&patch, envelope, &entry.name).map_err(|error| StepError::of(entry, error))?;
            return Ok(StepEnd::of(verdict, Some("from the checkpoint".into())));
        }
        let tries = record.attempts.iter().filter(|attempt| attempt.stage == entry.name).count();
        let attempt = u32::try_from(tries).unwrap_or(u32::MAX).saturating_add(1);
        let verdict = entry.process(envelope, attempt, false).await?;
        if let Some(patch) = envelope.patch.take().filter(|_| outside) {
            step.keep(&envelope.key, &entry.name, settings, patch).await.map_err(StepError::Storage)?;
        }
        Ok(StepEnd::of(verdict, envelope.note.take()))
    }

    /// Names the decoder and the stages with their settings.
    pub(super) fn fingerprint(&self) -> String {
        let conditions = |entry: &StageEntry| format!("{}|{:?}", entry.name, entry.when.is_some());
        let names: Vec<String> = self.stages.iter().map(conditions).collect();
        format!("{} {} {}", env!("CARGO_PKG_VERSION"), self.lineage.join(" "), names.join(" "))
    }

    /// Takes a session through the stages without doing anything beyond it: for `atles check --dry-run`, and for chats
    /// that still run. Tells after each stage how it went; ends at the first that fails or finishes. `true` if none did.
    pub async fn rehearse(
        &self,
        envelope: &mut Envelope,
        mut tell: impl FnMut(&StageEntry, Rehearsed<'_>),
    ) -> bool {
        for entry in &self.stages {
            match entry.when.as_ref().map_or(Ok(true), |when| when.holds(envelope)) {
                Ok(true) => {}
                Ok(false) => {
                    tell(entry, Rehearsed::Skipped);
                    continue;
                }
                Err(error) => {
                    tell(entry, Rehearsed::Failed(error.to_string()));
                    return false;
                }
            }
            match entry.process(envelope, 1, true).await {
                Ok(Verdict::Continue) => {
                    let note = envelope.note.take();
                    tell(entry, Rehearsed::Done { note, envelope });
                }
                Ok(Verdict::Finish { note }) => {
                    tell(entry, Rehearsed::Finished(note));
                    return false;
                }
                Err(StepError::Stage(failure)) => {
                    tell(entry, Rehearsed::Failed(failure.message));
                    if entry.on_error != OnError::Continue {
                        return false;
                    }
                }
                Err(StepError::Storage(_) | StepError::Cancelled) => return false,
            }
        }
        true
    }
}

/// How a stage went in a rehearsal.
pub enum Rehearsed<'a> {
    /// It did its work.
    Done {
        /// Its own words.
        note: Option<String>,
        /// The session as it stands now.
        envelope: &'a Envelope,
    },
    /// Its `when` was false.
    Skipped,
    /// It ended the chain.
    Finished(String),
    /// It failed.
    Failed(String),
}

enum StepEnd {
    Done(Option<String>),
    Skipped,
    Finished(String),
}

enum StepError {
    Stage(Failure),
    Storage(String),
    Cancelled,
}

impl StepEnd {
    fn of(verdict: Verdict, note: Option<String>) -> Self {
        match verdict {
            Verdict::Continue => StepEnd::Done(note),
            Verdict::Finish { note } => StepEnd::Finished(note),
        }
    }
}

impl StageEntry {
    async fn process(
        &self,
        envelope: &mut Envelope,
        attempt: u32,
        dry_run: bool,
    ) -> Result<Verdict, StepError> {
        envelope.note = None;
        envelope.patch = None;
        let context = StageContext { name: &self.name, attempt, dry_run };
        let work = contained(self.stage.process(envelope, &context));
        let result = match self.timeout {
            None => work.await,
            Some(limit) => match tokio::time::timeout(limit, work).await {
                Ok(result) => result,
                Err(_) => {
                    let mut failure = Failure::new(
                        &self.name,
                        "timeout",
                        format!("not done after {}", humantime::format_duration(limit)),
                    );
                    failure.retry = Some(RetryWish { policy: self.retry.clone(), after: None });
                    failure.hint = Some(
                        "raise the stage's `timeout` in pipeline.toml, then `atles failed retry`".into(),
                    );
                    return Err(StepError::Stage(failure));
                }
            },
        };
        match result {
            Ok(Ok(verdict)) => Ok(verdict),
            Ok(Err(error)) => Err(StepError::of(self, error)),
            Err(panic) => Err(StepError::Stage(Failure::panic(&self.name, panic))),
        }
    }
}

impl StepError {
    fn of(entry: &StageEntry, error: StageError) -> Self {
        let causes = causes(&error);
        match error {
            StageError::Cancelled => StepError::Cancelled,
            StageError::Transient { message, retry_after, .. } => {
                let mut failure = Failure::new(&entry.name, "transient", message);
                failure.causes = causes;
                failure.retry = Some(RetryWish { policy: entry.retry.clone(), after: retry_after });
                StepError::Stage(failure)
            }
            StageError::Permanent { message, hint, .. } => {
                let mut failure = Failure::new(&entry.name, "permanent", message);
                failure.causes = causes;
                failure.hint = hint;
                StepError::Stage(failure)
            }
        }
    }
}

fn causes(error: &dyn Error) -> Vec<String> {
    std::iter::successors(error.source(), |cause: &&dyn Error| (*cause).source())
        .take(16)
        .map(ToString::to_string)
        .collect()
}

impl Failure {
    pub(super) fn new(stage: &str, kind: &'static str, message: String) -> Self {
        Failure { stage: stage.to_owned(), kind, message, ..Failure::default() }
    }

    pub(super) fn panic(stage: &str, message: String) -> Self {
        let mut failure = Failure::new(stage, "panic", message);
        failure.hint = Some(
            "this is a mistake in the program, not in the file; please report it with the sidecar".into(),
        );
        failure
    }

    /// Tries of the same stage that failed before.
    pub(super) fn tries_before(&self, record: &FileRecord) -> u32 {
        let tries = record.attempts.iter().filter(|attempt| attempt.stage == self.stage).count();
        u32::try_from(tries).unwrap_or(u32::MAX)
    }
}
