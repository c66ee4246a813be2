use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::{Exit, open, say};
use crate::config::{Training, Trigger, TriggerMode};
use crate::daemon::{Services, home_of};
use crate::platform;
use crate::spool::Home;
use crate::training::runs::{
    Finished, Phase, Plan, Run, RunFailure, Tally, backend, candidates, due, execute, publishers,
};
use crate::training::set::TrainingSet;
use crate::training::versions::{Decision, Versions, sparkline};

/// Options of `atles train`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Train now, whatever the trigger says. Without it, tell what waits for a run and what the run waits for.
    #[arg(long)]
    now: bool,
    /// Tell what a run would learn and measure with, and train nothing.
    #[arg(long)]
    dry_run: bool,
    /// As JSON; with --now the run's record.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(config: Option<&Path>, args: &Args) -> Exit {
    let loaded = match open::config(config, &Services::default()) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let home = home_of(&loaded.config);
    if args.dry_run {
        return dry_run(&home, &loaded.config.settings.training, args.json);
    }
    if !args.now {
        return tell(&home, &loaded.config.settings.training, args.json);
    }
    platform::make_everything_private();
    if let Err(problem) = home.prepare() {
        say::error(&problem, Some(problem.hint()));
        return Exit::Failure;
    }
    let config_dir = loaded.path.parent().unwrap_or(Path::new("/"));
    match train(&home, config_dir, &loaded.config.settings.training) {
        Ok(finished) if args.json => say::json(&finished.version.metrics.record),
        Ok(finished) => say::page(&page(&finished)),
        Err(failure) => {
            say::error(&failure, failure.hint());
            Exit::Failure
        }
    }
}

/// Trains with a progress bar; Ctrl-C stops, and the next run goes on from there.
pub(super) fn train(home: &Home, config_dir: &Path, settings: &Training) -> Result<Finished, RunFailure> {
    let stop = Arc::new(AtomicBool::new(false));
    let _signals = stop_on_signal(&stop);
    let mut backend = backend(settings, config_dir)?;
    let mut publishers = publishers(settings, home);
    let mut run =
        Run { home, config_dir, settings, backend: &mut *backend, publishers: &mut publishers, stop: &stop };
    let bar = Bar::new();
    let result = execute(&mut run, &mut |phase| bar.show(phase));
    bar.0.finish_and_clear();
    result
}

/// A runtime that does nothing but wait for Ctrl-C.
pub(super) fn stop_on_signal(stop: &Arc<AtomicBool>) -> Option<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().ok()?;
    let stop = stop.clone();
    runtime.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.store(true, Ordering::Relaxed);
        }
    });
    Some(runtime)
}

struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len} steps  {msg}") {
            bar.set_style(style);
        }
        Bar(bar)
    }

    fn show(&self, phase: &Phase<'_>) {
        match phase {
            Phase::Planned(plan) => {
                let (train, held_out) = plan.answers();
                self.0.suspend(|| {
                    eprintln!("{}: {train} answers to learn, {held_out} to measure with", plan.run);
                });
            }
            Phase::MeasuringBefore => self.0.set_message("measuring what is there"),
            Phase::MeasuringAfter => self.0.set_message("measuring the new version"),
            Phase::Publishing(version) => self.0.set_message(format!("publishing {}", version.name)),
            Phase::Training(progress) => {
                self.0.set_length(progress.steps);
                self.0.set_position(progress.step);
                let rate = progress.tokens as f64 / progress.seconds.max(1e-3);
                let left = match progress.step {
                    0 => 0.0,
                    step => progress.seconds / step as f64 * progress.steps.saturating_sub(step) as f64,
                };
                let minutes = (left / 60.0) as u64;
                self.0.set_message(format!(
                    "loss {:.3}  {rate:.0} tokens/s  {minutes}:{:02} left",
                    progress.loss,
                    left as u64 % 60
                ));
            }
        }
    }
}

/// What a person reads at the end of a run.
pub(super) fn page(finished: &Finished) -> String {
    let metrics = &finished.version.metrics;
    let record = &metrics.record;
    let mut page = String::new();
    let verdict = match record.decision {
        Decision::Promoted => "promoted",
        Decision::Rejected => "rejected",
    };
    let _ = writeln!(page, "{} {verdict}: {}", record.version, record.reason);
    let _ = writeln!(
        page,
        "  learned     {} answers of {}, {} tokens at {:.0} a second",
        record.examples_train,
        say::count(record.sessions as u64, "session", "sessions"),
        record.tokens,
        record.tokens_per_second
    );
    let _ = writeln!(
        page,
        "  loss        {}  {:.3} → {:.3}",
        sparkline(&metrics.losses, 32),
        record.loss_first,
        record.loss_last
    );
    let _ = writeln!(
        page,
        "  held out    {:.3} → {:.3}\n  general     {:.3} → {:.3}",
        record.held_out_before, record.held_out_after, record.anchor_before, record.anchor_after
    );
    for name in &finished.published {
        let _ = writeln!(page, "  published   {name}");
    }
    page
}

/// What waits, and what is waited for.
#[derive(Debug, Serialize)]
struct Waiting<'a> {
    base: &'a str,
    current: Option<String>,
    new_sessions: usize,
    new_answers: usize,
    sessions: usize,
    due: Option<&'static str>,
    trigger: &'a Trigger,
}

fn tell(home: &Home, settings: &Training, json: bool) -> Exit {
    let versions = Versions::of(home);
    let mut tally = Tally::of(TrainingSet::of(home));
    if let Err(problem) = tally.read_on() {
        say::error(format_args!("the training set cannot be read: {problem}"), None);
        return Exit::Failure;
    }
    let standing = tally.standing(&versions);
    let waiting = Waiting {
        base: &settings.base,
        current: versions.current().map(|version| version.name),
        new_sessions: standing.new_sessions,
        new_answers: standing.new_answers,
        sessions: standing.sessions,
        due: due(&settings.trigger, &standing, Timestamp::now(), &TimeZone::system(), false),
        trigger: &settings.trigger,
    };
    if json {
        return say::json(&waiting);
    }
    let mut page = String::new();
    let current = waiting.current.as_deref().unwrap_or("none yet");
    let _ = writeln!(page, "base      {}\ncurrent   {current}", waiting.base);
    let _ = writeln!(
        page,
        "waiting   {} with {} that no run has learned, {} in the set",
        say::count(waiting.new_sessions as u64, "session", "sessions"),
        say::count(waiting.new_answers as u64, "answer", "answers"),
        waiting.sessions
    );
    let next = match (waiting.due, settings.trigger.mode) {
        (Some(reason), _) => format!("due ({reason}); a running daemon begins it"),
        (None, TriggerMode::Manual) => "only `atles train --now` trains".to_owned(),
        (None, TriggerMode::PerSession) => "with the next session".to_owned(),
        (None, TriggerMode::Collect) => conditions(&settings.trigger),
    };
    let _ = writeln!(page, "next run  {next}");
    say::page(&page)
}

fn conditions(trigger: &Trigger) -> String {
    let mut all = Vec::new();
    if trigger.examples > 0 {
        all.push(format!("with {} new answers", trigger.examples));
    }
    all.extend(trigger.idle.map(|span| format!("after {span} without a session")));
    all.extend(trigger.every.map(|span| format!("{span} after the last")));
    all.extend(trigger.at.as_ref().map(|at| format!("at {at}")));
    if all.is_empty() { "never by itself".to_owned() } else { all.join(", or ") }
}

/// What a run would do.
#[derive(Debug, Serialize)]
struct Rehearsal {
    would_train: bool,
    reason: Option<String>,
    base: String,
    sessions_train: usize,
    sessions_held_out: usize,
    sessions_new: usize,
    examples_train: usize,
    examples_held_out: usize,
    near_duplicates: usize,
    retrain: bool,
}

fn dry_run(home: &Home, settings: &Training, json: bool) -> Exit {
    let versions = Versions::of(home);
    let lines = match candidates(&TrainingSet::of(home), settings, &versions) {
        Ok(lines) => lines,
        Err(problem) => {
            say::error(format_args!("the training set cannot be read: {problem}"), None);
            return Exit::Failure;
        }
    };
    let sessions = lines.len();
    let plan = Plan::make("rehearsal".into(), settings, lines, &versions);
    let rehearsal = match &plan {
        Ok(plan) => {
            let (examples_train, examples_held_out) = plan.answers();
            Rehearsal {
                would_train: true,
                reason: None,
                base: settings.base.clone(),
                sessions_train: plan.train().len(),
                sessions_held_out: plan.held_out().len(),
                sessions_new: plan.sessions.iter().filter(|session| session.new).count(),
                examples_train,
                examples_held_out,
                near_duplicates: plan.near_duplicates,
                retrain: plan.retrain,
            }
        }
        Err(failure) => Rehearsal {
            would_train: false,
            reason: Some(failure.to_string()),
            base: settings.base.clone(),
            sessions_train: sessions,
            sessions_held_out: 0,
            sessions_new: 0,
            examples_train: 0,
            examples_held_out: 0,
            near_duplicates: 0,
            retrain: false,
        },
    };
    if json {
        return say::json(&rehearsal);
    }
    let text = match &rehearsal.reason {
        Some(reason) => format!("no run: {reason}\n"),
        None => format!(
            "a run on {} would learn {} of {}, {} of them new, and measure with {} of {}\n",
            rehearsal.base,
            say::count(rehearsal.examples_train as u64, "answer", "answers"),
            say::count(rehearsal.sessions_train as u64, "session", "sessions"),
            rehearsal.sessions_new,
            say::count(rehearsal.examples_held_out as u64, "answer", "answers"),
            say::count(rehearsal.sessions_held_out as u64, "session", "sessions"),
        ),
    };
    say::page(&text)
}
