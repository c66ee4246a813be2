//! The chain: conditions, errors, timeouts, checkpoints, reloads, and how the daemon stops.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Home, Pipeline, chat, numbered_chat, wait_until};

const TEA: [&str; 2] = ["Which tea keeps one awake?", "Black tea has the most caffeine of the common teas."];

fn lines(home: &Home, name: &str) -> usize {
    fs::read_to_string(home.folder().join(name)).unwrap_or_default().lines().count()
}

/// A program that notes that it ran, and then does something.
fn noting(home: &Home, name: &str, then: &str) {
    let note = home.folder().join(format!("{name}.ran"));
    home.script(name, &format!("#!/bin/sh\ncat > /dev/null\necho x >> '{}'\n{then}\n", note.display()));
}

/// Waits, once it runs, until the file `open` is beside pipeline.toml.
fn gated(home: &Home, name: &str) {
    noting(
        home,
        name,
        &format!("while [ ! -e '{}' ]; do sleep 0.02; done", home.folder().join("open").display()),
    );
}

#[test]
fn a_stage_is_skipped_where_its_condition_does_not_hold() {
    let when = "kind = \"exec\"\nname = \"long-only\"\ncommand = [\"./note.sh\"]\nwhen = \"size(session.messages) > 2\"";
    let home = Home::with(&Pipeline::new().stage(when));
    noting(&home, "note.sh", "echo '{\"learned\": {\"mood\": \"calm\"}}'");
    home.drop_file("short.json", chat("short", &TEA));
    home.drop_file("long.json", chat("long", &[TEA[0], TEA[1], "And now?"]));
    home.once(0);
    assert_eq!(lines(&home, "note.sh.ran"), 1);
    let status = |id: &str| {
        let log = home.master_log().into_iter().find(|line| line["session_id"] == id).unwrap();
        log["stages"].as_array().unwrap().iter().find(|stage| stage["name"] == "long-only").unwrap()["status"]
            .clone()
    };
    assert_eq!((status("short"), status("long")), (json!("skipped"), json!("done")));
}

#[test]
fn a_failing_program_leaves_a_sidecar_that_says_all_and_no_trace_in_what_was_learned() {
    let exec = "kind = \"exec\"\nname = \"judge\"\ncommand = [\"./judge.sh\"]";
    let home = Home::with(&Pipeline::new().last_stage(exec));
    noting(&home, "judge.sh", "echo 'no model here' >&2\nexit 9");
    home.drop_file("a.json", chat("a", &TEA));
    home.once(3);
    let sidecar = home.sidecar("a.json");
    let expected = json!({ "file": "a.json", "stage": "judge", "kind": "permanent", "causes": [] });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(sidecar[field], *value, "{sidecar}");
    }
    let message = sidecar["message"].as_str().unwrap();
    assert!(
        message.contains("judge.sh") && message.contains('9') && message.contains("no model here"),
        "{message}"
    );
    assert!(sidecar["what_to_do"].as_str().unwrap().contains("failed retry"), "{sidecar}");
    let [attempt] = &sidecar["attempts"].as_array().unwrap()[..] else { panic!("{sidecar}") };
    assert_eq!((&attempt["stage"], &attempt["error"]), (&json!("judge"), &sidecar["message"]));
    assert!(attempt["at"].as_str().unwrap().ends_with('Z'));

    // The late stage failed after memory, training data and log: nothing of them is there.
    assert_eq!(home.count("SELECT count(*) FROM sessions"), 0);
    assert!(home.master_log().is_empty() && home.session_logs().is_empty() && home.examples().is_empty());
    noting(&home, "judge.sh", "");
    home.atles(&["failed", "retry", "a.json"]).expect(0);
    home.once(0);
    assert_eq!((home.done(), home.failed().len()), (vec!["a.json".to_owned()], 0));
    assert_eq!(
        (home.count("SELECT count(*) FROM sessions"), home.master_log().len(), home.examples().len()),
        (1, 1, 1)
    );
}

#[test]
fn a_stage_that_may_fail_is_passed_over_and_the_session_log_says_so() {
    let exec = "kind = \"exec\"\nname = \"mood\"\ncommand = [\"./mood.sh\"]\non_error = \"continue\"";
    let home = Home::with(&Pipeline::new().stage(exec));
    noting(&home, "mood.sh", "exit 9");
    home.drop_file("a.json", chat("a", &TEA));
    home.once(0);
    let log = &home.session_logs()[0].1;
    assert!(log["errors"][0].as_str().unwrap().starts_with("mood: mood.sh ended with"), "{log}");
    assert_eq!(home.count("SELECT count(*) FROM messages"), 2);
}

#[test]
fn a_stage_that_takes_too_long_is_broken_off_tried_again_and_then_given_up() {
    let exec = "kind = \"exec\"\nname = \"slow\"\ncommand = [\"./slow.sh\"]\ntimeout = \"150ms\"\n\
                retry = { attempts = 3, backoff = \"10ms\" }";
    let home = Home::with(&Pipeline::new().stage(exec));
    noting(&home, "slow.sh", "sleep 60");
    home.drop_file("a.json", chat("a", &TEA));
    home.once(3);
    let sidecar = home.sidecar("a.json");
    assert_eq!((&sidecar["stage"], &sidecar["kind"]), (&json!("slow"), &json!("timeout")), "{sidecar}");
    let attempts = sidecar["attempts"].as_array().unwrap();
    assert_eq!((attempts.len(), lines(&home, "slow.sh.ran")), (3, 3));
    let times: Vec<&str> = attempts.iter().map(|attempt| attempt["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted() && times[0] != times[2], "{times:?}");
    assert!(sidecar["what_to_do"].as_str().unwrap().contains("timeout"), "{sidecar}");
}

#[test]
fn what_an_outside_stage_did_is_not_done_again_when_a_later_one_failed() {
    let first = "kind = \"exec\"\nname = \"first\"\ncommand = [\"./first.sh\"]";
    let second = "kind = \"exec\"\nname = \"second\"\ncommand = [\"./second.sh\"]";
    let pipeline = Pipeline::new().stage(first).stage(second);
    let home = Home::with(&pipeline);
    noting(&home, "first.sh", "echo '{\"learned\": {\"mood\": \"calm\"}}'");
    noting(&home, "second.sh", "exit 9");
    home.drop_file("a.json", chat("a", &TEA));
    let daemon = home.start();
    assert_eq!(home.wait_failed("a.json")["stage"], "second");
    home.atles(&["failed", "retry", "a.json"]).expect(0);
    wait_until("it failed again", || lines(&home, "second.sh.ran") == 2 && home.failed().len() == 1);
    assert_eq!(lines(&home, "first.sh.ran"), 1);
    daemon.stop();

    // Over a restart too; a change of the stage's settings makes its checkpoint void.
    noting(&home, "second.sh", "");
    home.atles(&["failed", "retry", "--all"]).expect(0);
    home.once(0);
    assert_eq!((lines(&home, "first.sh.ran"), lines(&home, "second.sh.ran")), (1, 3));
    let log = &home.session_logs()[0].1;
    assert_eq!(log["stages"][2]["note"], "from the checkpoint", "{log}");

    noting(&home, "second.sh", "exit 9");
    home.drop_file("b.json", numbered_chat(1));
    home.once(3);
    assert_eq!(lines(&home, "first.sh.ran"), 2);
    let changed = Pipeline::new().stage(&format!("{first}\nset = {{ MODE = \"new\" }}")).stage(second);
    home.edit_pipeline(&changed);
    noting(&home, "second.sh", "");
    home.atles(&["failed", "retry", "b.json"]).expect(0);
    home.once(0);
    assert_eq!(lines(&home, "first.sh.ran"), 3, "asked anew under its new settings");
}

#[test]
fn a_program_that_refused_a_session_is_asked_again_when_it_is_dropped_again() {
    let home =
        Home::with(&Pipeline::new().stage("kind = \"exec\"\nname = \"judge\"\ncommand = [\"./judge.sh\"]"));
    noting(&home, "judge.sh", "echo '{\"refuse\": \"not today\"}'");
    home.drop_file("a.json", chat("a", &TEA));
    home.once(0);
    assert_eq!((home.done().len(), home.count("SELECT count(*) FROM sessions")), (1, 0));
    noting(&home, "judge.sh", "");
    home.drop_file("again.json", chat("a", &TEA));
    home.once(0);
    assert_eq!((lines(&home, "judge.sh.ran"), home.count("SELECT count(*) FROM sessions")), (2, 1));
}

#[test]
fn an_edited_pipeline_is_taken_over_and_a_bad_edit_changes_nothing() {
    let home = Home::new();
    let daemon = home.start();
    let exec = "kind = \"exec\"\nname = \"mood\"\ncommand = [\"./mood.sh\"]";
    noting(&home, "mood.sh", "");
    home.edit_pipeline(&Pipeline::new().stage(exec));
    wait_until("the new chain is in force", || {
        home.status()["stages"].as_array().unwrap().contains(&json!("mood"))
    });
    home.drop_file("a.json", chat("a", &TEA));
    home.wait_done("a.json");
    assert_eq!(lines(&home, "mood.sh.ran"), 1);

    home.edit_text("version = 1\n[[stage]]\nkind = \"decode\"\n[[stage]]\nkind = \"memorie\"\n");
    wait_until("the mistake is told", || home.status()["pipeline_problem"].is_string());
    let page = home.atles(&["status"]).expect(0).out;
    assert!(page.contains("not taken over"), "{page}");
    home.drop_file("b.json", numbered_chat(1));
    home.wait_done("b.json");
    assert_eq!(lines(&home, "mood.sh.ran"), 2, "the chain before the bad edit");

    home.edit_pipeline(&Pipeline::new());
    wait_until("all is well", || home.status()["pipeline_problem"].is_null());
    home.drop_file("c.json", numbered_chat(2));
    home.wait_done("c.json");
    assert_eq!(lines(&home, "mood.sh.ran"), 2);
    daemon.stop();
}

#[test]
fn a_stop_lets_what_is_under_way_finish_and_takes_nothing_new() {
    let exec = "kind = \"exec\"\nname = \"wait\"\ncommand = [\"./wait.sh\"]";
    let home = Home::with(&Pipeline::new().stage(exec).section("[workers]\nin_flight = 1"));
    gated(&home, "wait.sh");
    let mut daemon = home.start();
    home.drop_file("a.json", chat("a", &TEA));
    wait_until("it is under way", || lines(&home, "wait.sh.ran") == 1);
    daemon.signal("TERM");
    wait_until("it is stopping", || home.words().contains("stopping: finishing"));
    home.drop_file("late.json", numbered_chat(1));
    fs::write(home.folder().join("open"), "").unwrap();
    assert_eq!(daemon.wait(), Some(0));
    assert_eq!(home.done(), ["a.json"]);
    assert_eq!((home.session_logs().len(), home.names("spool")), (1, vec!["late.json".to_owned()]));
    assert!(!home.path("control.sock").exists());
    home.once(0);
    assert_eq!(home.done(), ["a.json", "late.json"]);
}

#[test]
fn what_does_not_finish_by_the_deadline_is_let_go_of_and_learned_at_the_next_start() {
    let exec = "kind = \"exec\"\nname = \"wait\"\ncommand = [\"./wait.sh\"]";
    let home = Home::with(&Pipeline::new().stage(exec).section("[shutdown]\ndeadline = \"300ms\""));
    gated(&home, "wait.sh");
    let mut daemon = home.start();
    home.drop_file("a.json", chat("a", &TEA));
    wait_until("it is under way", || lines(&home, "wait.sh.ran") == 1);
    let asked = Instant::now();
    daemon.signal("TERM");
    assert_eq!(daemon.wait(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(20), "it did not wait for the program");
    assert_eq!(
        (home.names("work"), home.done().len(), home.failed().len()),
        (vec!["a.json".to_owned()], 0, 0)
    );
    fs::write(home.folder().join("open"), "").unwrap();
    home.once(0);
    assert_eq!((home.done(), home.count("SELECT count(*) FROM sessions")), (vec!["a.json".to_owned()], 1));
}

#[test]
fn a_second_signal_stops_at_once() {
    let exec = "kind = \"exec\"\nname = \"wait\"\ncommand = [\"./wait.sh\"]";
    let home = Home::with(&Pipeline::new().stage(exec).section("[shutdown]\ndeadline = \"1h\""));
    gated(&home, "wait.sh");
    let mut daemon = home.start();
    home.drop_file("a.json", chat("a", &TEA));
    wait_until("it is under way", || lines(&home, "wait.sh.ran") == 1);
    daemon.signal("INT");
    wait_until("it is stopping", || home.words().contains("stopping: finishing"));
    daemon.signal("INT");
    assert_eq!(daemon.wait(), Some(130));
    fs::write(home.folder().join("open"), "").unwrap();
    home.once(0);
    assert_eq!(home.done(), ["a.json"]);
}

#[test]
fn a_stop_ends_by_its_deadline_though_the_logs_cannot_be_written() {
    let home = Home::with(&Pipeline::new().section("[shutdown]\ndeadline = \"500ms\""));
    let mut daemon = home.start();
    fs::rename(home.path("training_data"), home.path("away")).unwrap();
    fs::write(home.path("training_data"), "in the way").unwrap();
    home.drop_file("a.json", chat("a", &TEA));
    home.wait_done("a.json");
    wait_until("the trouble is told", || home.words().contains("cannot write session logs or training data"));
    daemon.signal("TERM");
    assert!(matches!(daemon.wait(), Some(0 | 1)));
    // The journal keeps them: once they can be written they are.
    fs::remove_file(home.path("training_data")).unwrap();
    fs::rename(home.path("away"), home.path("training_data")).unwrap();
    home.once(0);
    assert_eq!((home.examples().len(), home.session_logs().len(), home.master_log().len()), (1, 1, 1));
}

#[test]
fn too_little_free_space_pauses_the_intake_until_there_is_enough() {
    let home = Home::with(&Pipeline::new().section("[disk]\nmin_free = \"4000000GiB\""));
    let daemon = home.start();
    home.drop_file("a.json", chat("a", &TEA));
    wait_until("it says why it waits", || {
        home.status()["paused"].as_str().is_some_and(|why| why.contains("min_free"))
    });
    let page = home.atles(&["status"]).expect(0).out;
    assert!(page.contains("paused ") && page.contains("are free on the disk"), "{page}");
    assert!(home.done().is_empty() && home.failed().is_empty());
    home.edit_pipeline(&Pipeline::new());
    home.wait_done("a.json");
    wait_until("nothing is said of a pause", || home.status()["paused"].is_null());
    daemon.stop();
}

#[test]
fn once_says_why_it_could_not_work_and_loses_nothing() {
    let home = Home::with(&Pipeline::new().section("[disk]\nmin_free = \"4000000GiB\""));
    home.drop_file("a.json", chat("a", &TEA));
    let said = home.once(1);
    assert!(said.err.contains("min_free"), "{}", said.err);
    assert_eq!(home.names("spool").len() + home.names("work").len(), 1);
    home.edit_pipeline(&Pipeline::new());
    home.once(0);
    assert_eq!(home.done(), ["a.json"]);
}
