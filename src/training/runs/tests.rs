//! Whole runs on a tiny model, and all that can happen to them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::Value;

use super::*;
use crate::config::{Gate, Training};
use crate::session::{Role, SpokenTurn};
use crate::spool::Home;
use crate::training::backend::{Backend, BackendError, Job, Progress, Trained};
use crate::training::model::tiny;
use crate::training::publisher::{Form, Publication, Publisher};
use crate::training::set::{SetLine, TrainingSet};
use crate::training::versions::{Decision, Version, Versions};

struct World {
    _dir: tempfile::TempDir,
    home: Home,
    settings: Training,
    stop: Arc<AtomicBool>,
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path().join("home"));
    home.prepare().unwrap();
    let base = dir.path().join("tiny.gguf");
    tiny::write(&base, "llama", 21);
    let settings = Training {
        base: base.display().to_string(),
        rank: 4,
        alpha: 8.0,
        learning_rate: 1e-2,
        max_length: 72,
        threads: 1,
        held_out: 0.3,
        min_answers: 4,
        gate: Gate { anchor: 1.0, relevance: 0.0, ..Gate::default() },
        ..Training::default()
    };
    World { _dir: dir, home, settings, stop: Arc::default() }
}

impl World {
    /// Puts sessions into the set, each with the log that the pipeline would have written.
    fn learn(&self, numbers: std::ops::Range<u32>) {
        let turn = |role, text: String, learn| SpokenTurn { role, text, learn };
        for number in numbers {
            let line = SetLine {
                identity: blake3::hash(&number.to_le_bytes()).to_hex().to_string(),
                key: format!("key-{number}"),
                session_id: format!("chat-{number}"),
                stem: format!("chat-{number}_20260101_000000"),
                at: i64::from(number),
                answers: 1,
                chat: vec![
                    turn(Role::User, format!("what is {}?", word(number)), false),
                    turn(Role::Assistant, format!("the {} is the an", word(number)), true),
                ],
            };
            TrainingSet::of(&self.home)
                .append(&[serde_json::to_vec(&line).unwrap(), vec![b'\n']].concat())
                .unwrap();
            let log = serde_json::json!({
                "session_id": line.session_id, "start_time": null, "end_time": null, "messages_count": 2,
                "tokens_processed": 8, "memory_items_created": 2, "fine_tune_applied": false,
                "fine_tune_loss": null, "model_version": null, "improvements": [], "errors": [], "key": line.key,
                "file": "chat.json", "user_id": null, "pipeline": "p", "stages": [], "training_run": "queued",
            });
            std::fs::write(self.log_path(number), log.to_string()).unwrap();
        }
    }

    fn log_path(&self, number: u32) -> PathBuf {
        self.home.logs().join(format!("session_log_chat-{number}_20260101_000000.json"))
    }

    fn log(&self, number: u32) -> Value {
        serde_json::from_slice(&std::fs::read(self.log_path(number)).unwrap()).unwrap()
    }

    fn training_log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.home.logs().join("training_log.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn run(&self) -> Result<Finished, RunFailure> {
        self.run_with(&mut Embedded, Vec::new())
    }

    fn run_with(
        &self,
        backend: &mut dyn Backend,
        mut publishers: Vec<Box<dyn Publisher>>,
    ) -> Result<Finished, RunFailure> {
        let mut run = Run {
            home: &self.home,
            config_dir: &self.home.root,
            settings: &self.settings,
            backend,
            publishers: &mut publishers,
            stop: &self.stop,
        };
        execute(&mut run, &mut |_| ())
    }

    fn versions(&self) -> Versions {
        Versions::of(&self.home)
    }

    fn current(&self) -> Option<String> {
        self.versions().current().map(|version| version.name)
    }

    fn standing(&self) -> Standing {
        let mut tally = Tally::of(TrainingSet::of(&self.home));
        tally.read_on().unwrap();
        tally.standing(&self.versions())
    }
}

/// Words that no two sessions share, so that none is a near-duplicate of another.
fn word(number: u32) -> String {
    blake3::hash(&number.to_be_bytes()).to_hex()[..6].to_owned()
}

/// The built-in trainer, with something happening at a step.
struct With<F>(F);

impl<F: FnMut(&Progress, &Arc<AtomicBool>) + Send> Backend for With<F> {
    fn train(
        &mut self,
        job: &Job<'_>,
        watch: &mut dyn FnMut(&Progress),
        stop: &Arc<AtomicBool>,
    ) -> Result<Trained, BackendError> {
        let happen = &mut self.0;
        let mut both = |progress: &Progress| {
            watch(progress);
            happen(progress, stop);
        };
        Embedded.train(job, &mut both, stop)
    }
}

struct Says(Publication);

impl Publisher for Says {
    fn form(&mut self) -> Form {
        Form::Merged
    }

    fn publish(&mut self, _: &Version, _: &Home, _: &Arc<AtomicBool>) -> Publication {
        self.0.clone()
    }
}

#[test]
fn a_good_run_becomes_current_and_its_sessions_logs_say_so() {
    let world = world();
    world.learn(0..24);
    let finished = world.run().unwrap();
    let record = &finished.version.metrics.record;
    assert_eq!(
        (record.version.as_str(), record.decision),
        ("v0001", Decision::Promoted),
        "{}",
        record.reason
    );
    assert_eq!((record.sessions, record.examples_train + record.examples_held_out), (24, 24));
    assert!(record.held_out_after < record.held_out_before && record.tokens > 0);
    assert!(record.loss_last < record.loss_first);
    assert_eq!(world.current().as_deref(), Some("v0001"));
    let log = world.log(7);
    assert_eq!((&log["fine_tune_applied"], &log["model_version"]), (&Value::Bool(true), &"v0001".into()));
    assert_eq!(log["training_run"], finished.version.lineage.run.as_str());
    assert_eq!(log["fine_tune_loss"].as_f64(), Some(record.held_out_after));
    let lines = world.training_log();
    assert_eq!((lines.len(), &lines[0]["decision"]), (1, &"promoted".into()));
    assert!(lines[0]["losses"].as_array().unwrap().len() > 2);
    assert_eq!(world.standing().new_sessions, 0);
    assert!(!world.home.models().join("run").exists(), "nothing of the run's workshop stays");
    let lineage = std::fs::read_to_string(finished.version.folder.join("lineage.json")).unwrap();
    assert!(lineage.contains("\"session_id\": \"chat-7\"") && lineage.contains("\"key\": \"key-7\""));

    // Nothing new, no run; with new sessions the next version is compared with this one.
    assert!(matches!(world.run(), Err(RunFailure::TooLittle(reason)) if reason.contains("nothing new")));
    world.learn(24..48);
    let second = world.run().unwrap().version;
    assert_eq!((second.name.as_str(), second.metrics.previous.as_deref()), ("v0002", Some("v0001")));
    assert!(second.metrics.new_held_out.is_some() && second.metrics.old_held_out.is_some());
    let (old_before, _) = second.metrics.old_held_out.unwrap();
    assert!((old_before - record.held_out_after).abs() < 1e-3, "what v0001 measured then, it measures now");
}

#[test]
fn a_rejected_version_is_kept_with_its_reason_and_not_used() {
    let mut world = world();
    world.settings.gate.improve = 0.9;
    world.learn(0..24);
    let version = world.run().unwrap().version;
    assert_eq!(version.metrics.record.decision, Decision::Rejected);
    assert!(version.metrics.record.reason.contains("has to fall by 90.0 %"));
    assert!(version.adapter().exists());
    assert_eq!(world.current(), None);
    let log = world.log(3);
    assert_eq!((&log["fine_tune_applied"], &log["model_version"]), (&Value::Bool(false), &Value::Null));
    assert_eq!(world.standing().new_sessions, 0, "a run has used them");
}

#[test]
fn too_little_is_no_run_and_the_reason_says_how_little() {
    let world = world();
    let reason = |world: &World| match world.run() {
        Err(RunFailure::TooLittle(reason)) => reason,
        other => panic!("{other:?}"),
    };
    assert!(reason(&world).contains("0 sessions with answers worth learning, 3 are needed"));
    world.learn(0..5);
    assert_eq!(reason(&world), "too little to learn from: 3 answers, 4 are needed (2 more are held out)");
    assert!(world.versions().list().is_empty());
}

#[test]
fn a_base_that_cannot_be_trained_is_a_clear_error_and_nothing_is_lost() {
    let mut world = world();
    world.learn(0..24);
    world.run().unwrap();
    world.learn(24..40);
    let base = PathBuf::from(&world.settings.base);
    let good = std::fs::read(&base).unwrap();
    let folder = base.parent().unwrap().to_path_buf();
    let replaced = |from: &[u8], to: &[u8]| {
        let at = good.windows(from.len()).position(|part| part == from).unwrap();
        let mut bad = good.clone();
        bad[at..at + to.len()].copy_from_slice(to);
        bad
    };
    for (name, content, expected) in [
        ("architecture", replaced(b"llama", b"gemma"), "architecture \"gemma\" cannot be trained"),
        ("damaged", good[..good.len() / 2].to_vec(), "damaged"),
        ("no-tokenizer", replaced(b"tokenizer.ggml.tokens", b"tokenizer.gone.tokens"), "tokens"),
        ("no-model", b"<!doctype html>".to_vec(), "not a GGUF file"),
    ] {
        let path = folder.join(format!("{name}.gguf"));
        std::fs::write(&path, content).unwrap();
        world.settings.base = path.display().to_string();
        let failure = world.run().unwrap_err();
        assert!(matches!(failure, RunFailure::Failed { hint: Some(_), .. }), "{name}: {failure:?}");
        let last = world.training_log().pop().unwrap();
        assert_eq!(last["decision"], "failed");
        assert!(last["reason"].as_str().unwrap().contains(expected), "{name}: {last}");
        assert_eq!(world.current().as_deref(), Some("v0001"));
        assert_eq!(world.standing().new_sessions, 16, "they stay queued");
        assert_eq!(world.log(30)["training_run"], "queued");
    }
    world.settings.base = "smollm2-9000b".into();
    assert!(world.run().unwrap_err().hint().is_some());
    world.settings.base = base.display().to_string();
    assert_eq!(world.run().unwrap().version.name, "v0002");
}

#[test]
fn a_loss_that_is_no_number_and_a_full_disk_leave_everything_as_it_was() {
    let mut world = world();
    world.learn(0..24);
    let rate = world.settings.learning_rate;
    world.settings.learning_rate = f32::INFINITY;
    let failure = world.run().unwrap_err();
    assert!(failure.to_string().contains("not a number") && failure.hint().is_some(), "{failure}");
    world.settings.learning_rate = rate;
    if cfg!(target_os = "linux") {
        // Every checkpoint goes to a disk that is full.
        struct FullDisk;
        impl Backend for FullDisk {
            fn train(
                &mut self,
                job: &Job<'_>,
                watch: &mut dyn FnMut(&Progress),
                stop: &Arc<AtomicBool>,
            ) -> Result<Trained, BackendError> {
                #[cfg(unix)]
                std::os::unix::fs::symlink("/dev/full", job.folder.join("checkpoint.tmp")).unwrap();
                Embedded.train(job, watch, stop)
            }
        }
        let failure = world.run_with(&mut FullDisk, Vec::new()).unwrap_err();
        assert!(matches!(&failure, RunFailure::Later(why) if why.contains("disk is full")), "{failure:?}");
        std::fs::remove_dir_all(world.home.models().join("run")).unwrap();
    }
    assert!(world.training_log().iter().all(|line| line["decision"] == "failed"));
    assert_eq!((world.current(), world.standing().new_sessions), (None, 24));
    assert_eq!(world.run().unwrap().version.name, "v0001");
}

#[test]
fn a_run_that_was_killed_or_stopped_goes_on_and_ends_as_if_nothing_had_happened() {
    let mut whole = world();
    whole.settings.epochs = 4;
    whole.learn(0..24);
    let expected = std::fs::read(whole.run().unwrap().version.adapter()).unwrap();
    for how in ["killed", "stopped"] {
        let mut world = world();
        world.settings.epochs = 4;
        world.learn(0..24);
        let broken_off = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut backend = With(|progress: &Progress, stop: &Arc<AtomicBool>| {
                if progress.step == 14 && how == "killed" {
                    std::panic::resume_unwind(Box::new("killed"));
                }
                stop.store(progress.step == 14, Ordering::Relaxed);
            });
            world.run_with(&mut backend, Vec::new())
        }));
        match how {
            "killed" => assert!(broken_off.is_err()),
            _ => assert!(matches!(broken_off, Ok(Err(RunFailure::Stopped)))),
        }
        assert!(world.training_log().is_empty(), "a break is no failure");
        let plan = std::fs::read_to_string(world.home.models().join("run/plan.json")).unwrap();
        // What is learned meanwhile waits for the next run.
        world.learn(24..26);
        world.stop.store(false, Ordering::Relaxed);
        let first = AtomicU64::new(0);
        let mut backend = With(|progress: &Progress, _: &Arc<AtomicBool>| {
            let _ = first.compare_exchange(0, progress.step, Ordering::Relaxed, Ordering::Relaxed);
        });
        let version = world.run_with(&mut backend, Vec::new()).unwrap().version;
        let expected_first = if how == "killed" { 11 } else { 15 };
        assert_eq!(first.into_inner(), expected_first, "not from the start");
        assert!(plan.contains(&version.lineage.run));
        assert_eq!(std::fs::read(version.adapter()).unwrap(), rename(&expected, &version), "{how}");
        assert_eq!(version.metrics.record.sessions, 24);
        assert_eq!(world.standing().new_sessions, 2);
    }
}

/// The adapter's file carries the name of its run, which has always the same length.
fn rename(adapter: &[u8], version: &Version) -> Vec<u8> {
    let at = adapter.windows(6).position(|part| part == b"atles ").unwrap();
    let mut renamed = adapter.to_vec();
    let name = format!("atles {}", version.lineage.run);
    renamed[at..at + name.len()].copy_from_slice(name.as_bytes());
    renamed
}

#[test]
fn a_kill_between_the_version_and_its_consequences_is_made_good() {
    let world = world();
    world.learn(0..24);
    let version = world.run().unwrap().version;
    // As it was just after the version's rename.
    let plan = serde_json::json!({
        "run": version.lineage.run, "settings": world.settings, "previous": null, "retrain": false,
        "near_duplicates": 0,
        "sessions": version.lineage.sessions.iter().map(|session| serde_json::json!({
            "session_id": session.session_id, "identity": session.identity, "key": session.key,
            "held_out": session.held_out, "stem": format!("{}_20260101_000000", session.session_id), "new": true,
        })).collect::<Vec<_>>(),
    });
    std::fs::create_dir_all(world.home.models().join("run")).unwrap();
    std::fs::write(world.home.models().join("run/plan.json"), plan.to_string()).unwrap();
    world.versions().set_current(None).unwrap();
    std::fs::remove_file(world.home.logs().join("training_log.jsonl")).unwrap();
    world.learn(3..4);
    let finished = world.run().unwrap();
    assert_eq!(finished.version.name, "v0001");
    assert_eq!(world.current().as_deref(), Some("v0001"));
    assert_eq!((world.training_log().len(), world.versions().list().len()), (1, 1));
    assert_eq!(world.log(3)["fine_tune_applied"], true);
}

#[test]
fn what_cannot_be_published_is_taken_back_and_what_cannot_be_yet_stays_current() {
    let world = world();
    world.learn(0..24);
    let later = Says(Publication::Later { reason: "nobody listens".into() });
    let finished = world.run_with(&mut Embedded, vec![Box::new(later)]).unwrap();
    assert!(finished.version.is_promoted() && finished.version.merged().exists());
    assert_eq!(finished.version.metrics.measured, "merged");
    world.learn(24..48);
    let failed = Says(Publication::Failed { reason: "the probe got no answer".into() });
    let finished = world.run_with(&mut Embedded, vec![Box::new(failed)]).unwrap();
    assert!(!finished.version.is_promoted());
    assert_eq!(world.current().as_deref(), Some("v0001"));
    let version = world.versions().get("v0002").unwrap();
    assert_eq!(version.metrics.record.reason, "it could not be published: the probe got no answer");
    assert_eq!(world.training_log()[1]["decision"], "rejected");
}

#[test]
fn after_something_was_forgotten_no_version_that_knew_it_stays_current() {
    let mut world = world();
    world.learn(0..24);
    let first = world.run().unwrap().version;
    let forget = |number: u32| {
        TrainingSet::of(&world.home).remove(|line| line.session_id == format!("chat-{number}")).unwrap();
        for version in world.versions().list() {
            std::fs::write(version.folder.join("tainted.json"), "{}").unwrap();
        }
        std::fs::write(world.home.models().join("retrain.json"), "{}").unwrap();
    };
    forget(5);
    assert!(world.standing().retrain);
    let second = world.run().unwrap().version;
    assert!(second.is_promoted(), "{}", second.metrics.record.reason);
    assert!(second.lineage.sessions.iter().all(|session| session.session_id != "chat-5"));
    assert_eq!((world.current().as_deref(), second.metrics.previous), (Some("v0002"), None));
    assert!(!world.standing().retrain && first.is_promoted());
    // Where the new one is no good, it is the base alone.
    forget(6);
    world.settings.gate.improve = 0.9;
    assert!(!world.run().unwrap().version.is_promoted());
    assert_eq!(world.current(), None);
    // Nor does it stay where too little is left to train on.
    world.versions().set_current(Some("v0002")).unwrap();
    TrainingSet::of(&world.home).remove(|_| true).unwrap();
    std::fs::write(world.home.models().join("retrain.json"), "{}").unwrap();
    assert!(matches!(world.run(), Err(RunFailure::TooLittle(_))));
    assert_eq!((world.current(), world.standing().retrain), (None, false));
}

#[test]
fn two_runs_at_once_are_one_and_a_refusal() {
    let world = world();
    world.learn(0..24);
    let refused = AtomicBool::new(false);
    let mut backend = With(|_: &Progress, _: &Arc<AtomicBool>| {
        refused.store(matches!(world.run(), Err(RunFailure::Busy)), Ordering::Relaxed);
    });
    world.run_with(&mut backend, Vec::new()).unwrap();
    assert!(refused.into_inner());
}
