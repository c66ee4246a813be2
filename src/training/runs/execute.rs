//! One run, from the set to a version.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use jiff::Timestamp;

use super::gate::{Finding, Measured, Pair, judge};
use super::measure::{Texts, Yardstick, open};
use super::plan::{RETRAIN, candidates};
use super::{Plan, RunFailure, report};
use crate::config::Training;
use crate::platform;
use crate::session::{Role, SpokenTurn};
use crate::spool::Home;
use crate::training::anchor::Anchor;
use crate::training::artefact::write_merged;
use crate::training::backend::{Artefact, Backend, Job, Progress, Trained};
use crate::training::base::{Base, Cache, resolve};
use crate::training::gguf::GgufError;
use crate::training::model::Loss;
use crate::training::publisher::{Form, Publication, Publisher};
use crate::training::set::{SetLine, TrainingSet};
use crate::training::versions::{BaseUsed, Lineage, Metrics, Record, Version, Versions};

/// A run that is to be.
pub struct Run<'a> {
    /// Where everything lies.
    pub home: &'a Home,
    /// The folder of pipeline.toml.
    pub config_dir: &'a Path,
    /// `[training]`.
    pub settings: &'a Training,
    /// Who trains.
    pub backend: &'a mut dyn Backend,
    /// Who publishes what is promoted.
    pub publishers: &'a mut [Box<dyn Publisher>],
    /// Set to make it stop within a second.
    pub stop: &'a Arc<AtomicBool>,
}

/// How far a run is.
#[derive(Debug)]
pub enum Phase<'a> {
    /// What it will do is known.
    Planned(&'a Plan),
    /// The model that is there is measured.
    MeasuringBefore,
    /// A step of training is done.
    Training(&'a Progress),
    /// The new version is measured.
    MeasuringAfter,
    /// It was promoted and is being published.
    Publishing(&'a Version),
}

/// What a run left.
#[derive(Debug)]
pub struct Finished {
    /// The version, promoted or rejected.
    pub version: Version,
    /// Names under which it was published.
    pub published: Vec<String>,
}

/// Where a run's things lie while it is under way.
pub(super) struct Desk {
    pub(super) folder: PathBuf,
}

impl Desk {
    pub(super) fn of(home: &Home) -> Self {
        Desk { folder: home.models().join("run") }
    }

    pub(super) fn plan(&self) -> PathBuf {
        self.folder.join("plan.json")
    }

    /// What becomes the version's folder.
    fn version(&self) -> PathBuf {
        self.folder.join("version")
    }

    fn work(&self) -> PathBuf {
        self.folder.join("work")
    }

    pub(super) fn clear(&self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Runs. Whatever fails, the current version stays current and the sessions stay queued; that it failed, and why, is
/// in the training log.
pub fn execute(run: &mut Run<'_>, watch: &mut dyn FnMut(&Phase<'_>)) -> Result<Finished, RunFailure> {
    let _lock = lock(run.home)?;
    if let Some(finished) = report::finish_what_was_left(run, watch)? {
        return Ok(finished);
    }
    let plan = match plan(run) {
        Err(failure @ RunFailure::TooLittle(_)) => {
            // Nothing takes its place, and yet what was forgotten must not stay in use.
            if run.home.models().join(RETRAIN).exists() {
                report::leave_what_was_forgotten(&Versions::of(run.home), None)?;
                forget_request(run.home);
            }
            return Err(failure);
        }
        other => other?,
    };
    let result = train_and_judge(run, &plan, watch);
    match result {
        Ok(version) => report::conclude(run, &plan, version, watch),
        Err(failure) => {
            report::log_failure(run.home, &plan, &failure);
            // Whatever it was, going on from there would only lead there again.
            if matches!(failure, RunFailure::Failed { .. }) {
                Desk::of(run.home).clear();
            }
            Err(failure)
        }
    }
}

/// One run at a time on a home, whatever process it is in.
fn lock(home: &Home) -> Result<File, RunFailure> {
    let path = home.models().join(".lock");
    let open = || {
        platform::make_private_dir(&home.models())?;
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path)
    };
    let file = open().map_err(|error| RunFailure::file("models/.lock", &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RunFailure::Busy),
        Err(TryLockError::Error(error)) => Err(RunFailure::file("models/.lock", &error)),
    }
}

/// The plan of the run that was broken off, or a new one.
fn plan(run: &Run<'_>) -> Result<Plan, RunFailure> {
    let desk = Desk::of(run.home);
    let versions = Versions::of(run.home);
    let set = TrainingSet::of(run.home);
    let unread = |error: io::Error| RunFailure::file("the training set", &error);
    set.compact().map_err(unread)?;
    let lines = Plan::sessions_of(&desk.plan(), &set).map_err(unread)?;
    if let Some(plan) = Plan::take_up(&desk.plan(), run.settings, &lines, &versions) {
        return Ok(plan);
    }
    desk.clear();
    let lines = candidates(&set, run.settings, &versions).map_err(unread)?;
    let name = Timestamp::now().strftime("run_%Y%m%d_%H%M%S").to_string();
    let plan = Plan::make(name, run.settings, lines, &versions)?;
    let write = || {
        platform::make_private_dir(&desk.work())?;
        platform::make_private_dir(&desk.version())?;
        plan.save(&desk.plan())
    };
    write().map_err(|error| RunFailure::file("models/run", &error))?;
    Ok(plan)
}

/// The model to train.
pub(super) fn base(settings: &Training, config_dir: &Path, home: &Home) -> Result<Base, RunFailure> {
    // Of the cache folder only a pulled base has need; without one a file will do.
    let cache = Cache::of_user().unwrap_or_else(|| Cache::at(home.models()));
    Ok(resolve(&settings.base, config_dir, &cache)?)
}

fn train_and_judge(
    run: &mut Run<'_>,
    plan: &Plan,
    watch: &mut dyn FnMut(&Phase<'_>),
) -> Result<Version, RunFailure> {
    watch(&Phase::Planned(plan));
    let began = Instant::now();
    let desk = Desk::of(run.home);
    let base = base(&plan.settings, run.config_dir, run.home)?;
    let used = BaseUsed {
        name: plan.settings.base.clone(),
        path: base.path.display().to_string(),
        sha256: base.sha256()?.to_owned(),
    };
    let anchor = Anchor::load();
    let chats = |lines: &[SetLine]| lines.iter().map(|line| line.chat.clone()).collect::<Vec<_>>();
    let mut train = chats(plan.train());
    train.extend(anchor.replayed);
    let held_out = chats(plan.held_out());
    let (train_file, held_out_file) = (desk.work().join("train.jsonl"), desk.work().join("held_out.jsonl"));
    // Copies of chats are made only where they are needed.
    let files = [(&train_file, &train), (&held_out_file, &held_out)];
    for (path, chats) in files.into_iter().filter(|_| run.backend.wants_files()) {
        write_chats(path, chats).map_err(|error| RunFailure::file("the run's examples", &error))?;
    }
    let texts = texts(plan, &anchor.measured);

    watch(&Phase::MeasuringBefore);
    let mut measured = before(run, plan, &base, &used, &texts)?;
    let job = Job {
        run: &plan.run,
        settings: &plan.settings,
        base: &base.path,
        train: &train,
        held_out: &held_out,
        train_file: &train_file,
        held_out_file: &held_out_file,
        folder: &desk.work(),
    };
    let trained = run.backend.train(&job, &mut |progress| watch(&Phase::Training(progress)), run.stop)?;
    if trained.losses.iter().any(|loss| !loss.is_finite()) {
        let hint = "lower `[training] learning_rate`, or pull the base model again";
        return Err(RunFailure::failed("the loss is not a number any more", hint));
    }

    watch(&Phase::MeasuringAfter);
    let form = run.publishers.first_mut().map_or(Form::Adapter, |publisher| publisher.form());
    let form = after(run, plan, &base, &texts, &trained, form, &mut measured)?;
    let finding = judge(&measured, &plan.settings.gate, plan.settings.seed);
    let versions = Versions::of(run.home);
    let name = versions.next_name();
    let seconds = began.elapsed().as_secs_f64();
    let metrics = metrics(&name, plan, &trained, &measured, finding, form, seconds);
    let lineage = Lineage {
        run: plan.run.clone(),
        base: used,
        sessions: plan.sessions.iter().map(|planned| planned.session.clone()).collect(),
        settings: serde_json::to_value(&plan.settings).unwrap_or_default(),
        code: format!("atles {}", env!("CARGO_PKG_VERSION")),
    };
    versions
        .add(&desk.version(), &name, &metrics, &lineage)
        .map_err(|error| RunFailure::file("the new version's folder", &error))
}

fn texts<'a>(plan: &'a Plan, anchor: &'a [Vec<SpokenTurn>]) -> Texts<'a> {
    let (new, old): (Vec<&SetLine>, Vec<&SetLine>) =
        plan.held_out().iter().partition(|line| plan.is_new(line));
    let chats = |lines: Vec<&'a SetLine>| lines.into_iter().map(|line| line.chat.as_slice()).collect();
    let learned = plan.train().iter().map(|line| line.chat.as_slice()).collect();
    Texts { new: chats(new), old: chats(old), anchor: anchor.iter().map(Vec::as_slice).collect(), learned }
}

/// The losses with what is there: the current version for what is held out, the base for what is general.
fn before(
    run: &Run<'_>,
    plan: &Plan,
    base: &Base,
    used: &BaseUsed,
    texts: &Texts<'_>,
) -> Result<Measured, RunFailure> {
    let mut yardstick = Yardstick::load(&base.path, &plan.settings, run.stop)?;
    let encoded = yardstick.encode(texts)?;
    let previous = plan.previous.as_deref().and_then(|name| Versions::of(run.home).get(name));
    // A version on another base cannot be measured on this one; then the base alone is what is compared with.
    let previous = previous.filter(|version| version.lineage.base.sha256 == used.sha256 && !plan.retrain);
    let adapter = previous.and_then(|version| yardstick.adapter(&version.adapter()).ok());
    let [new, old] = yardstick.held_out(adapter.as_ref(), &encoded)?;
    let anchor = yardstick.general(None, &encoded)?;
    let [own, swapped] = yardstick.relevance(texts)?;
    let pair = |before| Pair { before, after: Vec::new() };
    Ok(Measured { new: pair(new), old: pair(old), anchor: pair(anchor), own, swapped })
}

/// The losses with the very file that would be published, read back; where it lies on a server, those it told. The
/// files of the version are put into its folder.
fn after(
    run: &Run<'_>,
    plan: &Plan,
    base: &Base,
    texts: &Texts<'_>,
    trained: &Trained,
    form: Form,
    measured: &mut Measured,
) -> Result<Form, RunFailure> {
    let folder = Desk::of(run.home).version();
    let (adapter, merged) = (folder.join("adapter.gguf"), folder.join("merged.gguf"));
    let place = |from: &Path, to: &Path| {
        std::fs::rename(from, to)
            .and_then(|()| File::open(to)?.sync_all())
            .map_err(|error| RunFailure::file("the trained file", &error))
    };
    let mut yardstick;
    let mut loaded = None;
    let form = match &trained.artefact {
        Artefact::Elsewhere { model, held_out_before, held_out_after } => {
            let told = serde_json::json!({ "model": model });
            std::fs::write(folder.join("elsewhere.json"), told.to_string())
                .map_err(|error| RunFailure::file("the version's folder", &error))?;
            let loss =
                |told: &Option<f64>| told.map(|mean| Loss { sum: mean, tokens: 1 }).into_iter().collect();
            *measured = Measured {
                new: Pair { before: loss(held_out_before), after: loss(held_out_after) },
                own: std::mem::take(&mut measured.own),
                swapped: std::mem::take(&mut measured.swapped),
                ..Measured::default()
            };
            return Ok(form);
        }
        Artefact::Merged(path) => {
            place(path, &merged)?;
            yardstick = Yardstick::load(&merged, &plan.settings, run.stop)?;
            Form::Merged
        }
        Artefact::Adapter(path) => {
            place(path, &adapter)?;
            yardstick = Yardstick::load(&base.path, &plan.settings, run.stop)?;
            let read = yardstick.adapter(&adapter).map_err(|error| RunFailure::Failed {
                message: format!("the trained adapter cannot be read back: {error}"),
                hint: None,
            })?;
            if form == Form::Merged {
                let file = open(&base.path)?;
                write_merged(&merged, &file, &read, run.stop).map_err(|error| match error {
                    GgufError::Stopped => RunFailure::Stopped,
                    error => RunFailure::Later(error.to_string()),
                })?;
                yardstick = Yardstick::load(&merged, &plan.settings, run.stop)?;
            } else {
                loaded = Some(read);
            }
            form
        }
    };
    let encoded = yardstick.encode(texts)?;
    [measured.new.after, measured.old.after] = yardstick.held_out(loaded.as_ref(), &encoded)?;
    measured.anchor.after = yardstick.general(loaded.as_ref(), &encoded)?;
    Ok(form)
}

fn metrics(
    name: &str,
    plan: &Plan,
    trained: &Trained,
    measured: &Measured,
    finding: Finding,
    form: Form,
    seconds: f64,
) -> Metrics {
    let (examples_train, examples_held_out) = plan.answers();
    let (held_out_before, held_out_after) = measured.held_out().means().unwrap_or_default();
    let (anchor_before, anchor_after) = measured.anchor.means().unwrap_or_default();
    let loss = |at: Option<&f32>| at.copied().map_or(0.0, f64::from);
    Metrics {
        record: Record {
            version: name.to_owned(),
            base: plan.settings.base.clone(),
            sessions: plan.sessions.len(),
            examples_train,
            examples_held_out,
            tokens: trained.tokens,
            tokens_per_second: trained.tokens as f64 / trained.seconds.max(1e-3),
            peak_rss_bytes: platform::peak_memory(),
            loss_first: loss(trained.losses.first()),
            loss_last: loss(trained.losses.last()),
            held_out_before,
            held_out_after,
            anchor_before,
            anchor_after,
            decision: finding.decision,
            reason: finding.reason,
        },
        run: plan.run.clone(),
        finished: Timestamp::now().to_string(),
        seconds,
        measured: if form == Form::Merged { "merged" } else { "adapter" }.to_owned(),
        previous: plan.previous.clone(),
        new_held_out: measured.new.means(),
        old_held_out: measured.old.means(),
        confidence: finding.confidence,
        relevance: measured.relevance(),
        losses: trained.losses.clone(),
    }
}

/// A line a chat: `{"messages": [{"role", "content", "weight"?: 0}]}`.
fn write_chats(path: &Path, chats: &[Vec<SpokenTurn>]) -> std::io::Result<()> {
    #[derive(serde::Serialize)]
    struct Line<'a> {
        messages: Vec<Message<'a>>,
    }
    #[derive(serde::Serialize)]
    struct Message<'a> {
        role: &'static str,
        content: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        weight: Option<u8>,
    }
    fn message(turn: &SpokenTurn) -> Message<'_> {
        let weight = (!turn.learn && turn.role == Role::Assistant).then_some(0);
        Message { role: turn.role.as_str(), content: &turn.text, weight }
    }
    let mut file = std::io::BufWriter::new(platform::create_private(path)?);
    for chat in chats {
        serde_json::to_writer(&mut file, &Line { messages: chat.iter().map(message).collect() })?;
        file.write_all(b"\n")?;
    }
    file.flush()
}

/// Publishes a promoted version. `Err` says why it must not stay current.
pub(super) fn publish(run: &mut Run<'_>, version: &Version) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for publisher in run.publishers.iter_mut() {
        match publisher.publish(version, run.home, run.stop) {
            Publication::Published { name } => names.push(name),
            // The publisher has noted it, and the daemon asks again.
            Publication::Later { reason } => {
                tracing::warn!(version = version.name, reason, "a version cannot be published yet");
            }
            Publication::Failed { reason } => return Err(reason),
        }
    }
    Ok(names)
}

/// Takes away what asked for this run.
pub(super) fn forget_request(home: &Home) {
    let _ = std::fs::remove_file(home.models().join(RETRAIN));
}
