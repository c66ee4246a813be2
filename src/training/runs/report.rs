//! What a run leaves besides its version: a line in the training log, the session logs completed, the version current
//! and published. Each step can be repeated, so that a kill in between costs nothing.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use tracing::{info, warn};

use super::execute::{Desk, forget_request, publish};
use super::{Finished, Phase, Plan, Run, RunFailure};
use crate::platform;
use crate::spool::Home;
use crate::stages::session_log::SessionLog;
use crate::training::versions::{Decision, Metrics, Version, Versions};

/// A run whose version is there and whose kill came before the rest is brought to its end.
pub(super) fn finish_what_was_left(
    run: &mut Run<'_>,
    watch: &mut dyn FnMut(&Phase<'_>),
) -> Result<Option<Finished>, RunFailure> {
    let read = std::fs::read(Desk::of(run.home).plan()).ok();
    let Some(plan) = read.and_then(|text| serde_json::from_slice::<Plan>(&text).ok()) else {
        return Ok(None);
    };
    let version = Versions::of(run.home).list().into_iter().rfind(|version| version.lineage.run == plan.run);
    match version {
        Some(version) => conclude(run, &plan, version, watch).map(Some),
        None => Ok(None),
    }
}

/// Makes the version current and publishes it if it was promoted, and tells everyone.
pub(super) fn conclude(
    run: &mut Run<'_>,
    plan: &Plan,
    mut version: Version,
    watch: &mut dyn FnMut(&Phase<'_>),
) -> Result<Finished, RunFailure> {
    let versions = Versions::of(run.home);
    let pointer = |error: io::Error| RunFailure::file("models/current", &error);
    let mut published = Vec::new();
    if version.is_promoted() {
        versions.set_current(Some(&version.name)).map_err(pointer)?;
        watch(&Phase::Publishing(&version));
        match publish(run, &version) {
            Ok(names) => published = names,
            Err(reason) => {
                version.metrics.record.decision = Decision::Rejected;
                version.metrics.record.reason = format!("it could not be published: {reason}");
                versions
                    .rewrite_metrics(&version)
                    .map_err(|error| RunFailure::file("metrics.json", &error))?;
                versions.set_current(plan.previous.as_deref()).map_err(pointer)?;
            }
        }
    }
    if !version.is_promoted() && plan.retrain {
        leave_what_was_forgotten(&versions, Some(&version))?;
    }
    complete_session_logs(run.home, plan, &version, &versions);
    log_version(run.home, plan, &version)
        .map_err(|error| RunFailure::file("logs/training_log.jsonl", &error))?;
    if plan.retrain {
        forget_request(run.home);
    }
    Desk::of(run.home).clear();
    let record = &version.metrics.record;
    info!(
        version = version.name, decision = ?record.decision, reason = record.reason, sessions = record.sessions,
        "a training run has ended"
    );
    Ok(Finished { version, published })
}

/// Back to the last version that never knew what was forgotten, or to the base, unless such a one is current.
pub(super) fn leave_what_was_forgotten(
    versions: &Versions,
    rejected: Option<&Version>,
) -> Result<(), RunFailure> {
    let Some(current) = versions.current().filter(|current| current.tainted) else { return Ok(()) };
    let clean = versions.before(rejected.map_or(&current.name, |version| &version.name));
    versions
        .set_current(clean.as_ref().map(|version| version.name.as_str()))
        .map_err(|error| RunFailure::file("models/current", &error))
}

/// Writes into the log of every session of the run what came of it.
fn complete_session_logs(home: &Home, plan: &Plan, version: &Version, versions: &Versions) {
    let promoted = version.is_promoted();
    let current = versions.current().map(|version| version.name);
    for planned in &plan.sessions {
        let name = format!("session_log_{}.json", planned.stem);
        let path = home.logs().join(&name);
        // The stem is ours, and yet: nothing but a plain file in logs/ is written.
        if Path::new(&name).file_name().is_none_or(|plain| plain != name.as_str()) {
            continue;
        }
        // A log may have been deleted, or belong to a later revision; neither is this run's business.
        let Ok(text) = std::fs::read(&path) else { continue };
        let Ok(mut log) = serde_json::from_slice::<SessionLog>(&text) else { continue };
        if log.key != planned.session.key {
            continue;
        }
        log.fine_tune_applied = promoted;
        log.fine_tune_loss = Some(version.metrics.record.held_out_after);
        log.model_version = if promoted { Some(version.name.clone()) } else { current.clone() };
        log.training_run = Some(plan.run.clone());
        if let Err(error) = replace(&path, &log) {
            warn!(%error, session = planned.stem, "a session's log cannot be completed");
        }
    }
}

fn replace(path: &Path, log: &SessionLog) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!(".{name}.run.tmp"));
    platform::create_private(&aside)?.write_all(&serde_json::to_vec_pretty(log)?)?;
    std::fs::rename(aside, path)
}

/// A line of `logs/training_log.jsonl` for a run that made a version.
#[derive(Serialize)]
struct LogLine<'a> {
    #[serde(flatten)]
    metrics: &'a Metrics,
    near_duplicates: usize,
    session_ids: Vec<&'a str>,
}

/// A line for a run that made none.
#[derive(Serialize)]
struct FailureLine<'a> {
    run: &'a str,
    base: &'a str,
    sessions: usize,
    decision: &'a str,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    finished: String,
}

fn log_version(home: &Home, plan: &Plan, version: &Version) -> io::Result<()> {
    if is_logged(home, &plan.run, &version.name)? {
        return Ok(());
    }
    let session_ids = plan.sessions.iter().map(|planned| planned.session.session_id.as_str()).collect();
    let line = LogLine { metrics: &version.metrics, near_duplicates: plan.near_duplicates, session_ids };
    append(home, &serde_json::to_vec(&line)?)
}

/// Whether a run's end was written before a kill.
fn is_logged(home: &Home, run: &str, version: &str) -> io::Result<bool> {
    let text = match std::fs::read_to_string(home.logs().join("training_log.jsonl")) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let last = text.lines().next_back().and_then(|line| serde_json::from_str::<Value>(line).ok());
    Ok(last.is_some_and(|line| line["run"] == run && line["version"] == version))
}

/// Tells the training log why a run left no version. A stop is no failure.
pub(super) fn log_failure(home: &Home, plan: &Plan, failure: &RunFailure) {
    if matches!(failure, RunFailure::Stopped | RunFailure::Busy) {
        return;
    }
    let line = FailureLine {
        run: &plan.run,
        base: &plan.settings.base,
        sessions: plan.sessions.len(),
        decision: "failed",
        reason: failure.to_string(),
        hint: failure.hint(),
        finished: jiff::Timestamp::now().to_string(),
    };
    let written = serde_json::to_vec(&line).map_err(io::Error::from).and_then(|line| append(home, &line));
    if let Err(error) = written {
        warn!(%error, "the training log cannot be written");
    }
}

/// Tells the training log why no run was begun.
pub(super) fn log_no_run(home: &Home, base: &str, sessions: usize, failure: &RunFailure) {
    let line = FailureLine {
        run: "",
        base,
        sessions,
        decision: if matches!(failure, RunFailure::TooLittle(_)) { "none" } else { "failed" },
        reason: failure.to_string(),
        hint: failure.hint(),
        finished: jiff::Timestamp::now().to_string(),
    };
    let written = serde_json::to_vec(&line).map_err(io::Error::from).and_then(|line| append(home, &line));
    if let Err(error) = written {
        warn!(%error, "the training log cannot be written");
    }
}

fn append(home: &Home, line: &[u8]) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(home.logs().join("training_log.jsonl"))?;
    file.write_all(&[line, b"\n"].concat())?;
    file.sync_data()
}
