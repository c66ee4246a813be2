//! Fine-tuning from outside: sessions dropped into the spool, a version at the end. The base is a tiny model with
//! random weights, written by the test.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Home, Pipeline, chat, wait_for};
use crate::tiny;

const STAGE: &str = "kind = \"fine_tune\"";

/// A home whose `[training]` suits a tiny model.
fn home(trigger: &str, more: &str) -> Home {
    let section = format!(
        "[training]\nbase = \"tiny.gguf\"\nrank = 4\nalpha = 8.0\nlearning_rate = 1e-2\nmax_length = 72\n\
         threads = 1\nheld_out = 0.3\nmin_answers = 8\n{more}\n[training.gate]\nanchor = 1.0\nrelevance = 0.0\n\
         [training.trigger]\n{trigger}\n"
    );
    let pipeline = Pipeline::new().section(&section).edit(
        "[[stage]]\nkind = \"session_log\"",
        &format!("[[stage]]\n{STAGE}\n[[stage]]\nkind = \"session_log\""),
    );
    let home = Home::with(&pipeline);
    tiny::write(&home.folder().join("tiny.gguf"), "llama", 21);
    home
}

fn word(number: u32, part: u32) -> String {
    blake3::hash(&[number.to_le_bytes(), part.to_le_bytes()].concat()).to_hex()[..6].to_owned()
}

/// Two questions and two answers that no other session has.
fn session(number: u32) -> String {
    let texts: Vec<String> = (0..2)
        .flat_map(|part| {
            let word = word(number, part);
            [format!("what is {word}?"), format!("the {word} is the an")]
        })
        .collect();
    chat(&format!("chat-{number}"), &texts.iter().map(String::as_str).collect::<Vec<_>>())
}

fn drop_sessions(home: &Home, numbers: std::ops::Range<u32>) {
    for number in numbers {
        home.drop_file(format!("{number:03}.json"), session(number));
    }
}

fn training_log(home: &Home) -> Vec<Value> {
    let text = std::fs::read_to_string(home.path("logs/training_log.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn run_once_finishes_the_training_that_its_sessions_asked_for() {
    let home = home("examples = 30", "");
    drop_sessions(&home, 0..10);
    home.once(0);
    assert!(!home.path("models/v0001").exists(), "20 answers, 30 are waited for");
    assert!(home.session_logs().iter().all(|(_, log)| log["training_run"] == "queued"));
    let waiting = home.atles(&["train", "--json"]).expect(0).json();
    assert_eq!((&waiting["new_answers"], &waiting["due"]), (&20.into(), &Value::Null));

    drop_sessions(&home, 10..16);
    home.once(0);
    let lines = training_log(&home);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(
        (&lines[0]["version"], &lines[0]["decision"]),
        (&"v0001".into(), &"promoted".into()),
        "{lines:?}"
    );
    assert_eq!(std::fs::read_to_string(home.path("models/current")).unwrap(), "v0001\n");
    for (name, log) in home.session_logs() {
        assert_eq!(
            (&log["fine_tune_applied"], &log["training_run"]),
            (&true.into(), &lines[0]["run"]),
            "{name}"
        );
        assert_eq!(log["model_version"], "v0001");
    }
    let statistics = std::fs::read(home.path("logs/daemon_stats.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&statistics).unwrap()["total_fine_tunes"], 1);

    // A revision goes back into the queue, and takes the place of what was there.
    let longer = session(3).replace("]", ",{\"role\":\"user\",\"content\":\"and more?\"},{\"role\":\"assistant\",\"content\":\"the more is the other one\"}]");
    home.drop_file("again.json", longer);
    home.once(0);
    let waiting = home.atles(&["train", "--json"]).expect(0).json();
    assert_eq!((&waiting["new_sessions"], &waiting["sessions"]), (&1.into(), &16.into()));
}

#[test]
fn train_now_prints_the_record_and_models_tells_of_the_versions() {
    let home = home("mode = \"manual\"", "");
    let none = home.atles(&["train", "--now"]).expect(1);
    assert!(none.err.contains("too little to learn from"), "{}", none.err);
    drop_sessions(&home, 0..16);
    home.once(0);
    let rehearsal = home.atles(&["train", "--dry-run", "--json"]).expect(0).json();
    assert_eq!((&rehearsal["would_train"], &rehearsal["sessions_new"]), (&true.into(), &16.into()));
    assert!(home.names("models").is_empty());

    let record = home.atles(&["train", "--now", "--json"]).expect(0).json();
    let mut keys: Vec<&str> = record.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    let mut expected = [
        "version",
        "base",
        "sessions",
        "examples_train",
        "examples_held_out",
        "tokens",
        "tokens_per_second",
        "peak_rss_bytes",
        "loss_first",
        "loss_last",
        "held_out_before",
        "held_out_after",
        "anchor_before",
        "anchor_after",
        "decision",
        "reason",
    ];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!((&record["version"], &record["decision"]), (&"v0001".into(), &"promoted".into()), "{record}");
    let again = home.atles(&["train", "--now"]).expect(1);
    assert!(again.err.contains("nothing new"), "{}", again.err);

    let list = home.atles(&["models", "list", "--json"]).expect(0).json();
    assert_eq!((&list[0]["version"], &list[0]["current"]), (&"v0001".into(), &true.into()));
    let shown = home.atles(&["models", "show"]).expect(0).out;
    assert!(shown.starts_with("v0001 Promoted, current") && shown.contains('▁'), "{shown}");
    assert!(std::fs::read_to_string(home.path("models/v0001/loss.svg")).unwrap().contains("<polyline"));
    home.atles(&["models", "rollback"]).expect(0);
    assert!(!home.path("models/current").exists());
    home.atles(&["models", "promote", "v0009"]).expect(1);
    home.atles(&["models", "promote", "v0001"]).expect(0);
    assert_eq!(home.atles(&["models", "list", "--json"]).json()[0]["current"], true);
    for path in crate::support::files_below(&home.path("models")) {
        let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
        assert_eq!(mode & 0o077, 0, "{path:?}");
    }
}

#[test]
fn a_daemon_trains_beside_the_pipeline_and_a_stopped_or_killed_run_goes_on() {
    // So many epochs that the run can be caught in the middle.
    let home = home("mode = \"per_session\"", "epochs = 8");
    drop_sessions(&home, 0..16);
    let under_way = || {
        let training = home.status()["training"].as_str()?.to_owned();
        training.contains("step").then_some(training)
    };
    let mut daemon = home.start();
    let run = wait_for("a run is under way", under_way);
    // The pipeline goes on beside it.
    drop_sessions(&home, 16..17);
    home.wait_done("016.json");
    let asked = Instant::now();
    daemon.signal("TERM");
    assert_eq!(daemon.wait(), Some(0), "{}", home.words());
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?} to stop", asked.elapsed());
    assert!(training_log(&home).is_empty() && home.path("models/run/plan.json").exists());

    let name = run.split(',').next().unwrap().to_owned();
    let daemon = home.start();
    let ended = || Some(training_log(&home).first()?["run"].as_str()?.to_owned());
    let again = wait_for("the run goes on", || under_way().or_else(ended));
    assert!(again.starts_with(&name), "{run} {again}");
    daemon.kill();
    let daemon = home.start();
    // Training gives way to everything else, so on a busy machine this is slow.
    let patience = Instant::now() + Duration::from_secs(300);
    while training_log(&home).is_empty() && Instant::now() < patience {
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let line = &training_log(&home)[0];
    assert_eq!(
        (&line["run"], &line["version"], &line["sessions"]),
        (&name.as_str().into(), &"v0001".into(), &16.into())
    );
    daemon.stop();
}

#[test]
fn without_a_base_the_sessions_stay_queued_and_the_log_says_why() {
    let home = home("mode = \"per_session\"", "");
    std::fs::remove_file(home.folder().join("tiny.gguf")).unwrap();
    drop_sessions(&home, 0..16);
    home.once(0);
    let lines = training_log(&home);
    assert_eq!((lines.len(), &lines[0]["decision"]), (1, &"failed".into()));
    assert!(lines[0]["reason"].as_str().unwrap().contains("tiny.gguf"), "{lines:?}");
    assert!(home.session_logs().iter().all(|(_, log)| log["training_run"] == "queued"));
    assert_eq!(home.done().len(), 16);
    tiny::write(&home.folder().join("tiny.gguf"), "qwen2", 4);
    home.once(0);
    assert_eq!(training_log(&home)[1]["version"], "v0001");
}
