//! What apps, people and accidents do in the spool.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::support::{Home, Pipeline, chat, numbered_chat, wait_until};

const TEA: [&str; 2] = ["Which tea keeps one awake?", "Black tea has the most caffeine of the common teas."];

/// Waits for a time to pass: what is tested is that a pause of a writer is survived.
pub(crate) fn pause(time: Duration) {
    let over = Instant::now() + time;
    wait_until("time passes", || Instant::now() >= over);
}

#[test]
fn a_writer_that_pauses_in_the_middle_is_waited_for_within_the_grace_period() {
    let home = Home::with(&Pipeline::new().spool("settle", "\"30ms\"").spool("grace", "\"20s\""));
    let daemon = home.start();
    let text = chat("slow", &TEA);
    let mut file = fs::File::create(home.spool().join("slow.json")).unwrap();
    let (pieces, last) = text.as_bytes().split_at(text.len() - 10);
    for piece in pieces.chunks(text.len() / 3) {
        file.write_all(piece).unwrap();
        wait_until("it is seen", || home.status()["settling"] == 1);
        pause(Duration::from_millis(100));
        assert_eq!((home.names("spool").len(), home.failed().len()), (1, 0), "three settle times later");
    }
    file.write_all(last).unwrap();
    drop(file);
    home.wait_done("slow.json");
    assert_eq!(home.total("messages"), 2);
    daemon.stop();
}

#[test]
fn a_file_that_never_becomes_whole_fails_after_the_grace_period_with_its_line_and_column() {
    let home = Home::new();
    let daemon = home.start();
    fs::write(
        home.spool().join("cut.json"),
        "{\n  \"session_id\": \"cut\",\n  \"messages\": [{\"role\": \"us",
    )
    .unwrap();
    let sidecar = home.wait_failed("cut.json");
    assert_eq!((&sidecar["stage"], &sidecar["kind"]), (&json!("decode"), &json!("syntax")), "{sidecar}");
    assert_eq!((&sidecar["line"], &sidecar["column"]), (&json!(3), &json!(28)), "{sidecar}");
    assert_eq!(sidecar["attempts"].as_array().unwrap().len(), 1);
    assert!(!sidecar["what_to_do"].as_str().unwrap().is_empty());
    daemon.stop();
}

#[test]
fn a_hard_link_and_a_rename_within_the_spool_publish_a_file_too() {
    let home = Home::new();
    let daemon = home.start();
    let aside = home.spool().join(".writing");
    fs::write(&aside, chat("linked", &TEA)).unwrap();
    fs::hard_link(&aside, home.spool().join("linked.json")).unwrap();
    fs::remove_file(&aside).unwrap();
    home.wait_done("linked.json");

    fs::write(home.spool().join("chat.json.part"), chat("renamed", &TEA)).unwrap();
    pause(Duration::from_millis(150));
    assert!(home.path("spool/chat.json.part").exists(), "unfinished names are left alone");
    fs::rename(home.spool().join("chat.json.part"), home.spool().join("chat.json")).unwrap();
    home.wait_done("chat.json");
    assert_eq!(home.total("sessions"), 2);
    daemon.stop();
}

#[test]
fn a_name_dropped_again_overwrites_nothing() {
    let home = Home::new();
    let daemon = home.start();
    for round in 1..=3 {
        home.drop_file("chat.json", chat(&format!("round-{round}"), &TEA));
        wait_until("settled", || home.done().len() == round);
    }
    daemon.stop();
    assert_eq!(home.done(), ["chat.json", "chat~2.json", "chat~3.json"]);
    assert_eq!(home.count("SELECT count(*) FROM sessions"), 3);
    let first = fs::read_to_string(home.path("done/chat.json")).unwrap();
    assert!(first.contains("round-1"), "{first}");
}

#[test]
fn a_name_dropped_again_while_the_first_is_under_way_is_a_file_of_its_own() {
    let wait = "kind = \"exec\"\nname = \"wait\"\ncommand = [\"./wait.sh\"]";
    let home = Home::with(&Pipeline::new().stage(wait));
    let gate = home.folder().join("open");
    home.script("wait.sh", &format!("#!/bin/sh\nwhile [ ! -e '{}' ]; do sleep 0.02; done\n", gate.display()));
    let daemon = home.start();
    home.drop_file("chat.json", chat("one", &TEA));
    wait_until("the first is under way", || home.status()["in_flight"] == 1);
    home.drop_file("chat.json", chat("two", &TEA));
    wait_until("the second too", || home.status()["in_flight"] == 2);
    fs::write(gate, "").unwrap();
    wait_until("both are done", || home.done().len() == 2);
    assert_eq!((home.total("sessions"), home.total("messages")), (2, 4));
    daemon.stop();
}

#[test]
fn a_file_rewritten_after_it_was_claimed_is_learned_as_it_is_in_the_end() {
    let wait = "kind = \"exec\"\nname = \"wait\"\ncommand = [\"./wait.sh\"]";
    let home = Home::with(&Pipeline::new().stage(wait));
    let gate = home.folder().join("open");
    home.script("wait.sh", &format!("#!/bin/sh\nwhile [ ! -e '{}' ]; do sleep 0.02; done\n", gate.display()));
    let daemon = home.start();
    let aside = home.spool().join(".aside");
    fs::write(&aside, chat("grown", &TEA)).unwrap();
    let mut held = OpenOptions::new().write(true).open(&aside).unwrap();
    fs::rename(&aside, home.spool().join("grown.json")).unwrap();
    wait_until("it is under way", || home.status()["in_flight"] == 1);
    // The app still has the file open, and writes a longer chat over it.
    held.write_all(chat("grown", &[TEA[0], TEA[1], "And green tea?", "It has about half of it."]).as_bytes())
        .unwrap();
    drop(held);
    fs::write(gate, "").unwrap();
    home.wait_done("grown.json");
    assert_eq!((home.total("sessions"), home.total("messages"), home.total("revisions")), (1, 4, 0));
    daemon.stop();
    assert_eq!(home.count("SELECT count(*) FROM messages"), 4);
    assert_eq!((home.master_log().len(), home.session_logs().len()), (1, 1));
}

#[test]
fn the_same_content_under_another_name_is_learned_once() {
    let home = Home::new();
    let daemon = home.start();
    let text = chat("tea", &TEA);
    home.drop_file("first.json", &text);
    home.wait_done("first.json");
    home.drop_file("second.json", &text);
    // Other white space, and the keys in another order: the same chat.
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    home.drop_file("third.json", serde_json::to_string_pretty(&value).unwrap());
    home.wait_done("second.json");
    home.wait_done("third.json");
    assert_eq!((home.total("sessions"), home.total("duplicates"), home.total("messages")), (1, 2, 2));
    daemon.stop();
    assert_eq!((home.master_log().len(), home.session_logs().len(), home.examples().len()), (1, 1, 1));
    assert_eq!(home.count("SELECT count(*) FROM sessions"), 1);
}

#[test]
fn two_drops_of_one_chat_in_the_same_moment_are_learned_once() {
    let home = Home::new();
    for number in 0..40 {
        home.drop_file(format!("{number}.json"), chat("same", &TEA));
    }
    home.once(0);
    assert_eq!(home.done().len(), 40);
    assert_eq!((home.master_log().len(), home.session_logs().len(), home.examples().len()), (1, 1, 1));
    assert_eq!(home.count("SELECT count(*) FROM sessions"), 1);
}

#[test]
fn a_longer_revision_takes_the_place_of_the_earlier_one_everywhere() {
    let home = Home::new();
    let daemon = home.start();
    let more = [
        "And which one for the evening?",
        "Rooibos: it has no caffeine at all, and it tastes sweet by itself.",
    ];
    home.drop_file("tea.json", chat("tea", &TEA));
    home.wait_done("tea.json");
    wait_until("the log is written", || home.session_logs().len() == 1);
    let before = (home.session_logs()[0].0.clone(), home.names("training_data"));

    home.drop_file("tea.json", chat("tea", &[TEA[0], TEA[1], more[0], more[1]]));
    wait_until("settled", || home.done().len() == 2);
    wait_until("the small files are written", || home.logged() == 2);
    assert_eq!((home.total("sessions"), home.total("revisions"), home.total("messages")), (1, 1, 4));
    assert_eq!((home.total("examples"), home.total("duplicates")), (2, 0));

    let logs = home.session_logs();
    assert_eq!((logs.len(), &logs[0].0), (1, &before.0), "the log is replaced");
    assert_eq!(logs[0].1["messages_count"], 4);
    assert_eq!(home.names("training_data"), before.1, "the training file is replaced");
    let outputs: Vec<_> = home.examples().iter().map(|example| example["output"].clone()).collect();
    assert_eq!(outputs, [json!(TEA[1]), json!(more[1])]);
    assert_eq!(
        (home.count("SELECT count(*) FROM sessions"), home.count("SELECT count(*) FROM messages")),
        (1, 4)
    );
    let items: i64 =
        home.master_log().iter().map(|line| line["memory_items_created"].as_i64().unwrap()).sum();
    assert_eq!(items, home.count("SELECT items FROM sessions"), "each item counted once");
    assert_eq!(home.total("memory_items") as i64, items);

    // The earlier one arrives once more, and a version in between that was never seen.
    home.drop_file("late.json", chat("tea", &TEA));
    home.drop_file("between.json", chat("tea", &[TEA[0], TEA[1], more[0]]));
    home.wait_done("late.json");
    home.wait_done("between.json");
    assert_eq!((home.total("sessions"), home.total("revisions"), home.total("messages")), (1, 1, 4));
    daemon.stop();
    assert_eq!(home.count("SELECT count(*) FROM messages"), 4);
    assert_eq!((home.session_logs()[0].1["messages_count"].clone(), home.examples().len()), (json!(4), 2));
}

#[test]
fn another_chat_under_a_reused_id_displaces_nothing() {
    let home = Home::new();
    home.drop_file("a.json", chat("1", &TEA));
    home.once(0);
    home.drop_file(
        "b.json",
        chat("1", &["Where is Ljubljana?", "It is the capital of Slovenia, in the middle of it."]),
    );
    home.once(0);
    assert_eq!(
        (home.count("SELECT count(*) FROM sessions"), home.count("SELECT count(*) FROM messages")),
        (2, 4)
    );
    assert_eq!((home.session_logs().len(), home.examples().len()), (2, 2));
}

#[test]
fn what_is_no_regular_file_is_refused_without_being_opened() {
    let home = Home::new();
    let secret = home.folder().join("secret.json");
    fs::write(&secret, chat("secret", &["the launch code is zebra-eleven", "Noted."])).unwrap();
    let read_before = fs::metadata(&secret).unwrap().atime_nsec();
    let daemon = home.start();
    symlink(&secret, home.spool().join("link.json")).unwrap();
    symlink("/nowhere", home.spool().join("dangling.json")).unwrap();
    assert!(Command::new("mkfifo").arg(home.spool().join("fifo.json")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(home.spool().join("socket.json")).unwrap();
    fs::create_dir(home.spool().join("folder.json")).unwrap();
    // /dev/zero; only root can make one, and some containers let nobody.
    let device = home.spool().join("zero.json");
    let made = Command::new("mknod")
        .arg(&device)
        .args(["c", "1", "5"])
        .output()
        .is_ok_and(|run| run.status.success());

    let mut refused = vec!["dangling.json", "fifo.json", "link.json", "socket.json"];
    if made {
        refused.push("zero.json");
    }
    for name in &refused {
        let sidecar = home.wait_failed(name);
        assert_eq!(
            (&sidecar["stage"], &sidecar["kind"]),
            (&json!("spool"), &json!("not_a_file")),
            "{sidecar}"
        );
    }
    home.drop_file("after.json", chat("after", &TEA));
    home.wait_done("after.json");
    assert_eq!(home.total("sessions"), 1);
    assert_eq!(home.names("spool"), ["folder.json"], "a folder is left where it is");
    daemon.stop();

    assert!(home.path("failed/link.json").symlink_metadata().unwrap().is_symlink());
    assert_eq!(fs::metadata(&secret).unwrap().atime_nsec(), read_before);
    assert!(fs::read_to_string(&secret).unwrap().contains("zebra-eleven"));
    // The same again at a start, from the spool and from work/.
    for name in refused.iter().filter(|name| **name != "socket.json") {
        let folder = if *name == "link.json" { "work" } else { "spool" };
        fs::rename(home.path("failed").join(name), home.path(folder).join(name)).unwrap();
        fs::remove_file(home.path(format!("failed/{name}.error.json"))).unwrap();
    }
    home.once(3);
    assert_eq!(home.failed(), {
        refused.sort_unstable();
        refused
    });
}

/// Names that apps and people come up with; the longest have to be cut where a sidecar's name needs room.
fn odd_names() -> Vec<OsString> {
    vec![
        OsString::from_vec(b"caf\xe9-\xff\xfe.json".to_vec()),
        format!("{}.json", "x".repeat(250)).into(),
        format!("{}x.json", "ä".repeat(124)).into(),
        "new\nline.json".into(),
        "-rf.json".into(),
        "$(touch pwned).json".into(),
        "a b\t'c\".json".into(),
    ]
}

#[test]
fn odd_names_are_taken_and_nothing_is_lost_of_them() {
    let home = Home::new();
    let daemon = home.start();
    let mut contents = Vec::new();
    for (number, name) in odd_names().iter().enumerate() {
        contents.push(numbered_chat(number));
        home.drop_file(name, &contents[number]);
    }
    wait_until("all are in done/", || home.done().len() == contents.len());
    daemon.stop();
    let mut done: Vec<String> = crate::support::files_below(&home.path("done"))
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    done.sort();
    contents.sort();
    assert_eq!(done, contents);
    for name in odd_names().iter().filter(|name| name.len() < 200) {
        assert!(home.path("done").join(name).exists(), "{name:?} keeps its name");
    }
    assert_eq!(home.count("SELECT count(*) FROM sessions"), contents.len() as i64);
    assert!(!home.folder().join("pwned").exists());
    for line in home.words().lines().filter(|line| !line.starts_with("learning")) {
        assert!(line.starts_with("20"), "a name that makes up a line of the log: {line}");
    }
}

#[test]
fn dead_letters_of_odd_names_have_their_sidecars_and_can_be_put_back() {
    let home = Home::new();
    let daemon = home.start();
    let names = odd_names();
    for name in &names {
        home.drop_file(name, "{ not json");
    }
    wait_until("all are in failed/", || home.failed().len() == names.len());
    let list = home.atles(&["failed", "list", "--json"]).expect(0).json();
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), names.len());
    for letter in list {
        assert_eq!(letter["kind"], "syntax", "each has its sidecar: {letter}");
    }
    let odd = list.iter().find(|letter| !letter["name_bytes"].is_null()).expect("the one that is not UTF-8");
    assert_eq!(odd["name_bytes"], "636166e92dfffe2e6a736f6e");
    // The program takes the odd name as an argument.
    fs::write(home.path("failed").join(&names[0]), chat("mended", &TEA)).unwrap();
    let mut retry = home.command();
    crate::support::said(retry.args(["failed", "retry"]).arg(Path::new(&names[0]))).expect(0);
    wait_until("it is in done/", || home.path("done").join(&names[0]).exists());
    home.atles(&["failed", "retry", "--all"]).expect(0);
    wait_until("the others failed again", || {
        home.failed().len() == names.len() - 1 && home.names("work").is_empty()
    });
    daemon.stop();
}

#[test]
fn a_file_over_max_size_fails_unread_and_one_of_just_that_size_is_learned() {
    let text = chat("sized", &TEA);
    let home = Home::with(&Pipeline::new().spool("max_size", &text.len().to_string()));
    home.drop_file("fits.json", &text);
    home.drop_file("large.json", format!("{text} "));
    home.once(3);
    assert_eq!((home.done(), home.failed()), (vec!["fits.json".to_owned()], vec!["large.json".to_owned()]));
    let sidecar = home.sidecar("large.json");
    assert_eq!((&sidecar["stage"], &sidecar["kind"]), (&json!("spool"), &json!("too_large")));
    assert!(sidecar["message"].as_str().unwrap().contains(&(text.len() + 1).to_string()), "{sidecar}");
    assert!(sidecar["what_to_do"].as_str().unwrap().contains("max_size"));
}

#[test]
fn a_file_that_may_not_be_read_fails_with_what_to_do() {
    // Root reads everything, so the daemon must be somebody else; that needs setpriv and a place to be.
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let home = Home::new();
    home.drop_file("closed.json", chat("closed", &TEA));
    fs::set_permissions(home.spool().join("closed.json"), fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = if is_root {
        let can = Command::new("setpriv").args(["--reuid=65534", "--clear-groups", "true"]).output();
        if !can.is_ok_and(|run| run.status.success()) {
            return;
        }
        assert!(Command::new("chown").args(["-R", "65534"]).arg(home.folder()).status().unwrap().success());
        // The program itself may lie where that user cannot go.
        let program = home.folder().join("atles");
        fs::copy(env!("CARGO_BIN_EXE_atles"), &program).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--clear-groups"]).arg(program);
        command.env_clear().env("ATLES_CONFIG", home.config()).current_dir(home.folder());
        command
    } else {
        home.command()
    };
    crate::support::said(command.args(["run", "--once"])).expect(3);
    let sidecar = home.sidecar("closed.json");
    assert_eq!((&sidecar["stage"], &sidecar["kind"]), (&json!("spool"), &json!("unreadable")), "{sidecar}");
    assert!(sidecar["what_to_do"].as_str().unwrap().contains("read the file"), "{sidecar}");
}

#[test]
fn retention_deletes_what_the_user_limited_and_nothing_else() {
    let limits = "[retention]\ndone = \"1s\"\nlogs = \"1s\"";
    let home = Home::with(&Pipeline::new().section(limits));
    home.drop_file("old.json", chat("old", &TEA));
    home.drop_file("bad.json", "[]");
    home.once(3);
    assert_eq!(home.failed(), ["bad.json"]);
    // The age counts from when the file was settled, so a second has to pass.
    wait_until("it is old enough to go", || {
        home.once(0);
        home.done().is_empty() && home.session_logs().is_empty()
    });
    assert_eq!(
        (home.failed(), home.master_log().len(), home.examples().len()),
        (vec!["bad.json".to_owned()], 1, 1)
    );
    assert_eq!(home.count("SELECT count(*) FROM messages"), 2, "what was learned stays");
}

#[test]
fn a_second_daemon_on_a_home_is_told_which_process_has_it() {
    let home = Home::new();
    let daemon = home.start();
    let second = home.atles(&["run"]).expect(1);
    assert!(second.err.contains(&format!("process {}", daemon.pid())), "{}", second.err);
    assert!(second.err.contains("hint:"), "{}", second.err);
    home.drop_file("a.json", chat("a", &TEA));
    home.wait_done("a.json");
    daemon.stop();
    home.once(0);
}

#[test]
fn a_home_with_a_path_too_long_for_a_socket_answers_all_the_same() {
    let deep = ["a".repeat(60), "b".repeat(60), "c".repeat(60)].join("/");
    let folder = TempDir::with_prefix("atles-").unwrap();
    let home = Home::below(folder, Path::new(&deep), &Pipeline::new().text());
    let daemon = home.start();
    home.drop_file("a.json", chat("a", &TEA));
    home.wait_done("a.json");
    let report = home.status();
    assert_eq!((&report["running"], &report["totals"]["sessions"]), (&json!(true), &json!(1)));
    assert_eq!(report["pid"], daemon.pid());
    daemon.stop();
    assert_eq!(home.atles(&["status"]).code, Some(4));
}

#[test]
fn polling_finds_what_events_would_have_told() {
    let home = Home::with(&Pipeline::new().spool("watcher", "\"poll\"").spool("rescan", "\"100ms\""));
    let daemon = home.start();
    assert_eq!(home.status()["watcher"], "poll");
    home.drop_file("a.json", chat("a", &TEA));
    home.wait_done("a.json");
    daemon.stop();
}

#[test]
fn a_spool_that_is_replaced_is_watched_again() {
    let home = Home::new();
    let daemon = home.start();
    fs::rename(home.spool(), home.path("old-spool")).unwrap();
    wait_until("the loss is told", || {
        home.status()["paused"].as_str().is_some_and(|why| why.contains("spool"))
    });
    fs::create_dir(home.spool()).unwrap();
    home.drop_file("a.json", chat("a", &TEA));
    home.wait_done("a.json");
    wait_until("all is well", || home.status()["paused"].is_null());
    daemon.stop();
}
