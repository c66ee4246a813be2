use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::Jobs;
use crate::config::{OpenaiTrainer, Provider, Span};
use crate::stand_in::fine_tuning::{FineTuning, Habits};
use crate::training::backend::{Artefact, BackendError, Progress, Trained};
use crate::training::elsewhere::world::World;

fn jobs(server: &FineTuning, provider: Provider) -> Jobs {
    let settings = OpenaiTrainer {
        provider,
        url: Some(format!("{}/v1", server.server.url)),
        model: "small-1".into(),
        poll: Span::millis(5),
        timeout: Span::secs(3600),
        proxy: false,
        ..OpenaiTrainer::default()
    };
    Jobs::new(&settings, |_| Some("sk-test\n".into())).unwrap()
}

fn train(world: &World, jobs: &mut Jobs) -> (Result<Trained, BackendError>, Vec<Progress>) {
    let mut seen = Vec::new();
    let stop = Arc::new(AtomicBool::new(false));
    let result = world.train(jobs, &mut |progress| seen.push(*progress), &stop);
    (result, seen)
}

#[test]
fn each_provider_is_spoken_to_in_its_own_way() {
    for (provider, habits, states, loss, expected) in [
        (
            Provider::Openai,
            Habits::Openai,
            ["validating_files", "queued", "running", "succeeded"],
            (Some(2.5), Some(1.25)),
            json!({"training_file": "file-1", "validation_file": "file-2", "seed": 0,
                   "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}}}),
        ),
        (
            Provider::Azure,
            Habits::Azure,
            ["notRunning", "pending", "some new state", "succeeded"],
            (Some(2.5), Some(1.25)),
            json!({"training_file": "file-1", "suffix": "atles"}),
        ),
        (
            Provider::Together,
            Habits::Together,
            ["pending", "running", "compressing", "completed"],
            (None, None),
            json!({"training_file": "file-1", "n_epochs": 2, "learning_rate": 2e-4,
                   "training_type": {"type": "Lora", "lora_r": 8, "lora_alpha": 16.0}}),
        ),
        (
            Provider::Mistral,
            Habits::Mistral,
            ["QUEUED", "VALIDATED", "RUNNING", "SUCCESS"],
            (Some(1.0), Some(0.75)),
            json!({"training_files": [{"file_id": "file-1", "weight": 1}], "validation_files": ["file-2"],
                   "auto_start": true, "hyperparameters": {"epochs": 2, "learning_rate": 2e-4}}),
        ),
    ] {
        let (mut world, server) = (World::new(), FineTuning::start(habits, &states));
        world.settings.learning_rate = 2e-4;
        world.settings.epochs = 2;
        let (trained, seen) = train(&world, &mut jobs(&server, provider));
        let trained = trained.unwrap();
        let model = "ft:small:atles:abc".to_owned();
        assert_eq!(
            trained.artefact,
            Artefact::Elsewhere { model, held_out_before: loss.0, held_out_after: loss.1 },
            "{provider:?}"
        );
        assert_eq!(server.files(), ["{\"messages\": [\"learn\"]}\n", "{\"messages\": [\"measure\"]}\n"]);
        let made = server.jobs();
        assert_eq!((made.len(), &made[0]["model"]), (1, &json!("small-1")));
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&made[0][key], value, "{provider:?} {key}");
        }
        if habits == Habits::Openai {
            assert_eq!(trained.losses, [2.0, 1.5]);
        }
        if habits == Habits::Together {
            let steps: Vec<_> = seen.iter().map(|progress| (progress.step, progress.steps)).collect();
            assert_eq!(steps, [(5, 20), (20, 20)]);
        }
    }
}

#[test]
fn a_stop_leaves_the_job_and_the_next_start_goes_on_with_it() {
    let (world, server) = (World::new(), FineTuning::start(Habits::Openai, &["running"]));
    let stop = Arc::new(AtomicBool::new(false));
    let stopper = stop.clone();
    let stopped = world.train(
        &mut jobs(&server, Provider::Openai),
        &mut |_| stopper.store(true, Ordering::Relaxed),
        &stop,
    );
    assert!(matches!(stopped, Err(BackendError::Stopped)), "{stopped:?}");
    assert!(!server.server.seen().iter().any(|request| request.path.ends_with("/cancel")));
    server.go_on(&["running", "succeeded"]);
    train(&world, &mut jobs(&server, Provider::Openai)).0.unwrap();
    assert_eq!((server.files().len(), server.jobs().len()), (2, 1), "nothing was sent or made twice");
    // Another provider knows nothing of these ids.
    let other = FineTuning::start(Habits::Mistral, &["SUCCESS"]);
    train(&world, &mut jobs(&other, Provider::Mistral)).0.unwrap();
    assert_eq!(other.jobs().len(), 1);
}

#[test]
fn a_job_whose_id_was_lost_is_found_again_instead_of_paid_for_twice() {
    for (provider, habits) in [(Provider::Openai, Habits::Openai), (Provider::Mistral, Habits::Mistral)] {
        let (world, server) = (World::new(), FineTuning::start(habits, &["succeeded", "SUCCESS"]));
        server.lose_answer();
        let (lost, _) = train(&world, &mut jobs(&server, provider));
        assert!(matches!(lost, Err(BackendError::Later(_))), "{lost:?}");
        server.go_on(&[if habits == Habits::Mistral { "SUCCESS" } else { "succeeded" }]);
        train(&world, &mut jobs(&server, provider)).0.unwrap();
        assert_eq!(server.jobs().len(), 1);
    }
}

#[test]
fn a_server_in_trouble_is_asked_again_and_a_refusal_is_final() {
    let (world, server) = (World::new(), FineTuning::start(Habits::Openai, &["running", "succeeded"]));
    server.fault("/fine_tuning/jobs/", 503, 3);
    train(&world, &mut jobs(&server, Provider::Openai)).0.unwrap();

    for (path, status, is_later) in [
        ("/files", 503, true),
        ("/files", 429, true),
        ("/files", 400, false),
        ("/fine_tuning/jobs", 402, false),
        ("/fine_tuning/jobs", 500, true),
    ] {
        let (world, server) = (World::new(), FineTuning::start(Habits::Openai, &["succeeded"]));
        server.fault(path, status, 1);
        let (result, _) = train(&world, &mut jobs(&server, Provider::Openai));
        assert_eq!(matches!(result, Err(BackendError::Later(_))), is_later, "{path} {status}: {result:?}");
        train(&world, &mut jobs(&server, Provider::Openai)).0.unwrap();
        assert_eq!(server.jobs().len(), 1);
    }
    for (habits, provider, state) in [
        (Habits::Openai, Provider::Openai, "failed"),
        (Habits::Mistral, Provider::Mistral, "FAILED_VALIDATION"),
        (Habits::Together, Provider::Together, "user_error"),
        (Habits::Openai, Provider::Openai, "cancelled"),
    ] {
        let (world, server) = (World::new(), FineTuning::start(habits, &[state]));
        let error = train(&world, &mut jobs(&server, provider)).0.unwrap_err();
        let BackendError::Failed { message, .. } = &error else { panic!("{error:?}") };
        assert!(message.contains(state) && !message.contains('\n'), "{message}");
        assert!(state == "cancelled" || message.contains("line 3 is odd"), "{message}");
    }
}

#[test]
fn a_job_that_takes_too_long_is_cancelled() {
    let (world, server) = (World::new(), FineTuning::start(Habits::Openai, &["running"]));
    let mut jobs = jobs(&server, Provider::Openai);
    jobs.set_timeout(Span::millis(30));
    let error = train(&world, &mut jobs).0.unwrap_err();
    assert!(error.to_string().contains("was cancelled"), "{error}");
}

#[test]
fn the_key_is_needed_and_never_shown() {
    let settings = OpenaiTrainer { model: "m".into(), ..OpenaiTrainer::default() };
    let error = Jobs::new(&settings, |_| None).unwrap_err();
    assert!(error.to_string().contains("OPENAI_API_KEY"), "{error}");
    assert!(Jobs::new(&settings, |_| Some(" ".into())).is_err());
    let (world, server) = (World::new(), FineTuning::start(Habits::Openai, &["succeeded"]));
    let settings = OpenaiTrainer { url: Some(format!("{}/v1", server.server.url)), proxy: false, ..settings };
    let mut wrong = Jobs::new(&settings, |_| Some("sk-wrong".into())).unwrap();
    assert!(!format!("{wrong:?}").contains("sk-wrong"));
    let error = train(&world, &mut wrong).0.unwrap_err();
    assert!(!format!("{error:?}").contains("sk-wrong"));
    let BackendError::Failed { message, hint } = error else { panic!() };
    assert!(message.contains("401") && hint.unwrap().contains("API key"), "{message}");
    let state: Value = std::fs::read(world.path("run/provider.json"))
        .map_or(Value::Null, |text| serde_json::from_slice(&text).unwrap());
    assert!(!state.to_string().contains("sk-"));
}
