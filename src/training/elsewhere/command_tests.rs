use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::config::Span;
use crate::publish::world::adapter_for;
use crate::training::backend::Artefact;
use crate::training::elsewhere::world::World;
use crate::training::gguf::{Gguf, GgufWriter, TensorType, Value};
use crate::training::model::tiny;

/// A world whose program is this script.
fn program(script: &str) -> (World, CommandTrainer) {
    let world = World::new();
    let path = world.path("train.sh");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    adapter_for(&world.path("base.gguf"), &world.path("good.gguf"), 3);
    let mut settings = CommandTrainer { run: vec!["./train.sh".into()], ..CommandTrainer::default() };
    settings.set.insert("HERE".into(), world.path("").display().to_string());
    (world, settings)
}

fn train(world: &World, settings: &CommandTrainer) -> Result<(Trained, Vec<Progress>), BackendError> {
    let mut command = Command::new(settings, &world.path(""))?;
    let mut seen = Vec::new();
    let stop = Arc::new(AtomicBool::new(false));
    let trained = world.train(&mut command, &mut |progress| seen.push(*progress), &stop)?;
    Ok((trained, seen))
}

const GOOD: &str = "cp \"$HERE/good.gguf\" \"$ATLES_OUTPUT/adapter.gguf\"";

#[test]
fn a_program_gets_its_paths_tells_how_far_it_is_and_its_adapter_is_taken() {
    let script = format!(
        "printf '%s\\n' \"$@\" > \"$HERE/args\"; env > \"$HERE/env\"; pwd > \"$HERE/pwd\"\n\
         echo 'Loading…'; echo '{{\"step\": 1, \"steps\": 2, \"loss\": 2.5}}'\n\
         echo '{{\"step\": 2, \"loss\": 1.5, \"tokens\": 640}}'; echo warning >&2\n{GOOD}"
    );
    let (world, mut settings) = program(&script);
    settings.run.extend(
        ["{train}", "--out={output}/x", "{held_out}", "{job}", "{base}", "{other} $HERE; {"]
            .map(String::from),
    );
    settings.env = vec!["ATLES_NO_SUCH".into()];
    let (trained, seen) = train(&world, &settings).unwrap();
    let output = world.path("run/output");
    assert_eq!(trained.artefact, Artefact::Adapter(output.join("adapter.gguf")));
    assert_eq!((trained.losses, trained.tokens), (vec![2.5, 1.5], 640));
    assert_eq!(seen.iter().map(|p| (p.step, p.steps)).collect::<Vec<_>>(), [(1, 2), (2, 2)]);
    let shown = |name: &str| world.path(name).display().to_string();
    let expected = [
        shown("train.jsonl"),
        format!("--out={}/x", output.display()),
        shown("held_out.jsonl"),
        shown("run/job.json"),
        shown("base.gguf"),
        "{other} $HERE; {".into(),
    ];
    let args = std::fs::read_to_string(world.path("args")).unwrap();
    assert_eq!(args.lines().collect::<Vec<_>>(), expected, "no shell has read them");
    let env = std::fs::read_to_string(world.path("env")).unwrap();
    assert!(
        env.contains(&format!("ATLES_TRAIN={}", shown("train.jsonl"))) && !env.contains("\nHOME="),
        "{env}"
    );
    assert_eq!(std::fs::read_to_string(world.path("pwd")).unwrap().trim(), output.display().to_string());
    let job: serde_json::Value =
        serde_json::from_slice(&std::fs::read(world.path("run/job.json")).unwrap()).unwrap();
    assert_eq!((&job["rank"], &job["answers_train"], &job["version"]), (&json!(8), &json!(1), &json!(1)));
}

#[test]
fn a_whole_model_and_an_adapter_of_some_matrices_are_taken_too() {
    let (world, settings) =
        program("cp \"$HERE/base.gguf\" \"$ATLES_OUTPUT/it.gguf\"; echo '{\"artefact\": \"it.gguf\"}'");
    let (trained, _) = train(&world, &settings).unwrap();
    assert_eq!(trained.artefact, Artefact::Merged(world.path("run/output/it.gguf")));

    let (world, settings) = program(GOOD);
    let whole = Gguf::open(&world.path("good.gguf")).unwrap();
    let mut some = GgufWriter::with_metadata_of(&whole).unwrap();
    let kept: Vec<_> = whole.tensors().iter().filter(|tensor| tensor.name.contains("attn_")).collect();
    for tensor in &kept {
        some.tensor(&tensor.name, &tensor.sizes, tensor.kind).unwrap();
    }
    some.write(&world.path("some.gguf"), &mut |tensor, put| put(&whole.bytes(&tensor.name)?)).unwrap();
    std::fs::rename(world.path("some.gguf"), world.path("good.gguf")).unwrap();
    train(&world, &settings).unwrap();
}

#[test]
fn what_is_no_usable_artefact_fails_the_run_with_the_reason() {
    for (script, expected) in [
        ("true", "left no artefact"),
        ("echo '{\"artefact\": \"../../good.gguf\"}'", "outside of its output folder"),
        ("echo '{\"artefact\": \"/etc/passwd\"}'", "outside of its output folder"),
        ("ln -s \"$HERE/good.gguf\" adapter.gguf; echo '{\"artefact\": \"adapter.gguf\"}'", "no plain file"),
        ("ln -s \"$HERE/good.gguf\" adapter.gguf", "left no artefact"),
        ("echo hello > adapter.gguf", "not a GGUF file"),
        ("head -c 4000 \"$HERE/good.gguf\" > adapter.gguf", "cannot be used"),
        ("cp \"$HERE/other.gguf\" adapter.gguf", "another architecture"),
        ("cp \"$HERE/large.gguf\" merged.gguf", "cannot be used"),
        ("cp \"$HERE/nothing.gguf\" adapter.gguf", "changes nothing"),
    ] {
        let (world, settings) = program(script);
        tiny::write(&world.path("qwen.gguf"), "qwen2", 1);
        adapter_for(&world.path("qwen.gguf"), &world.path("other.gguf"), 1);
        let mut damaged = GgufWriter::new();
        damaged.pair("general.architecture", &Value::Text("llama".into()));
        damaged.tensor("token_embd.weight", &[64, 2], TensorType::F32).unwrap();
        damaged.write(&world.path("large.gguf"), &mut |_, put| put(&[0; 512])).unwrap();
        let whole = Gguf::open(&world.path("good.gguf")).unwrap();
        let mut nothing = GgufWriter::with_metadata_of(&whole).unwrap();
        whole
            .tensors()
            .iter()
            .for_each(|tensor| nothing.tensor(&tensor.name, &tensor.sizes, tensor.kind).unwrap());
        nothing
            .write(&world.path("nothing.gguf"), &mut |tensor, put| put(&vec![0; tensor.bytes as usize]))
            .unwrap();
        let error = train(&world, &settings).unwrap_err();
        assert!(error.to_string().contains(expected), "{script}: {error}");
        assert!(matches!(error, BackendError::Failed { .. }));
    }
}

#[test]
fn a_program_that_fails_says_why_and_75_means_later() {
    for (script, expected, is_later) in [
        ("echo 'out of memory' >&2; exit 1", "out of memory", false),
        ("echo '{\"error\": \"no GPU\"}'; exit 0", "no GPU", false),
        ("exit 3", "it said nothing", false),
        ("echo busy >&2; exit 75", "busy", true),
    ] {
        let (world, settings) = program(&format!("{script}\n{GOOD}"));
        let error = train(&world, &settings).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(matches!(error, BackendError::Later(_)), is_later, "{error:?}");
    }
    let (world, mut settings) = program("true");
    settings.run = vec!["./not-there".into()];
    let error = train(&world, &settings).unwrap_err();
    assert!(error.to_string().contains("could not be started"), "{error}");
}

#[test]
fn a_stop_and_the_time_limit_kill_the_program_with_its_children() {
    let script = "sleep 600 & echo $! > \"$HERE/child\"; echo '{\"step\": 1}'; wait";
    for limit in [None, Some(Span::millis(700))] {
        let (world, mut settings) = program(script);
        settings.timeout = limit.unwrap_or(Span::secs(600));
        let mut command = Command::new(&settings, &world.path("")).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let began = Instant::now();
        let stopper = stop.clone();
        let result =
            world.train(&mut command, &mut |_| stopper.store(limit.is_none(), Ordering::Relaxed), &stop);
        match limit {
            None => assert!(matches!(result, Err(BackendError::Stopped)), "{result:?}"),
            Some(_) => assert!(result.unwrap_err().to_string().contains("was killed")),
        }
        assert!(began.elapsed() < Duration::from_secs(60));
        let child = std::fs::read_to_string(world.path("child")).unwrap();
        let child = rustix::process::Pid::from_raw(child.trim().parse().unwrap()).unwrap();
        let is_there = || {
            let stat =
                std::fs::read_to_string(format!("/proc/{}/stat", child.as_raw_nonzero())).unwrap_or_default();
            rustix::process::test_kill_process(child).is_ok() && !stat.contains(") Z ")
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while is_there() {
            assert!(Instant::now() < deadline, "a child is left");
            std::thread::yield_now();
        }
    }
}
