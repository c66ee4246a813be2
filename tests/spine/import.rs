//! Exports of other programs, imported by the real binary.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Home, Pipeline, wait_until};

fn conversation(number: usize) -> Value {
    let text = |text: String| json!({"content_type": "text", "parts": [text]});
    json!({"id": format!("c{number}"), "title": "t", "create_time": 1_772_449_200.0, "current_node": "a", "mapping": {
        "q": {"parent": null, "message": {"author": {"role": "user"}, "content": text(format!("Question {number}?"))}},
        "a": {"parent": "q", "message": {"author": {"role": "assistant"}, "content": text(format!("Answer {number}."))}}}})
}

fn export(home: &Home, name: &str, count: usize) -> String {
    let path = home.folder().join(name);
    let all: Vec<Value> = (0..count).map(conversation).collect();
    fs::write(&path, serde_json::to_vec(&all).unwrap()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A chain that only remembers, so that many sessions are learned soon.
fn remembering() -> Pipeline {
    Pipeline::new()
        .edit("[[stage]]\nkind = \"redact\"\n", "")
        .edit("[[stage]]\nkind = \"preferences\"\n", "")
        .edit("[[stage]]\nkind = \"training_data\"\n", "")
}

#[test]
fn an_import_that_was_killed_goes_on_and_everything_is_learned_once() {
    const COUNT: usize = 1500;
    let home = Home::with(&remembering());
    let path = export(&home, "conversations.json", COUNT);
    let mut killed = home.command().args(["import", &path]).spawn().unwrap();
    wait_until("the first conversations are in the spool", || !home.names("spool").is_empty());
    killed.kill().unwrap();
    killed.wait().unwrap();
    let handed = home.names("spool").len();

    let said = home.atles(&["import", &path, "--json"]).expect(0);
    let report = said.json();
    let (imported, already) = (report["imported"].as_u64().unwrap(), report["already"].as_u64().unwrap());
    assert_eq!(imported + already, COUNT as u64, "{report}");
    assert!(already as usize <= handed, "what was noted was handed over before");
    assert!(said.err.contains("no daemon runs"), "{}", said.err);
    assert_eq!(home.names("spool").len(), COUNT, "no conversation is there twice");
    assert_eq!(fs::read_dir(home.spool()).unwrap().count(), COUNT, "nothing hidden is left");

    home.once(0);
    assert_eq!(home.count("SELECT count(*) FROM sessions"), COUNT as i64);
    assert_eq!(home.count("SELECT count(*) FROM messages"), 2 * COUNT as i64);
    assert_eq!(
        home.count("SELECT count(DISTINCT session_id) FROM sessions WHERE app = 'chatgpt'"),
        COUNT as i64
    );
    let again = home.atles(&["import", &path, "--json"]).expect(0).json();
    assert_eq!((again["imported"].as_u64(), again["already"].as_u64()), (Some(0), Some(COUNT as u64)));
}

#[test]
fn what_was_forgotten_and_is_allowed_again_comes_back_with_an_import_that_is_done_again() {
    let home = Home::with(&remembering());
    let path = export(&home, "conversations.json", 3);
    let counts = |args: &[&str]| {
        let report = home.atles(&[&["import", path.as_str(), "--json"], args].concat()).expect(0).json();
        (report["imported"].as_u64().unwrap(), report["already"].as_u64().unwrap())
    };
    let sessions = || home.count("SELECT count(*) FROM sessions");
    assert_eq!(counts(&[]), (3, 0));
    home.once(0);
    let receipt = home.atles(&["forget", "--session", "c1", "--json"]).expect(0).json();
    assert_eq!(sessions(), 2);

    assert_eq!(counts(&[]), (0, 3));
    assert_eq!(counts(&["--again", "--dry-run"]), (3, 0));
    assert_eq!(counts(&["--again"]), (3, 0));
    home.once(0);
    assert_eq!(sessions(), 2, "it was not allowed yet");

    home.atles(&["forget", "--allow", receipt["id"].as_str().unwrap()]).expect(0);
    assert_eq!(counts(&["--again"]), (3, 0));
    home.once(0);
    assert_eq!(sessions(), 3);
    assert_eq!(home.count("SELECT count(*) FROM messages"), 6, "what was never forgotten is there once");
    assert_eq!(counts(&[]), (0, 3));
    assert_eq!(fs::metadata(home.path("state/imported")).unwrap().len(), 16 + 3 * 16, "each is noted once");
    assert_eq!(home.failed(), Vec::<String>::new());
}

#[test]
fn a_dry_run_counts_and_leaves_everything_as_it_is() {
    let home = Home::new();
    let path = export(&home, "conversations.json", 3);
    let before = home.fingerprint();
    let said = home.atles(&["import", &path, "--dry-run"]).expect(0);
    assert_eq!(said.out, "would import 3 conversations with 6 messages of 3 in 1 file\n");
    assert_eq!(home.fingerprint(), before);
    let none = home.atles(&["import", &path, "--since", "2026-04-01", "--json"]).expect(0).json();
    assert_eq!((none["imported"].as_u64(), none["older"].as_u64()), (Some(0), Some(3)));
}

#[test]
fn whose_chats_they_are_can_be_said_and_what_cannot_be_read_is_listed() {
    let home = Home::new();
    let path = export(&home, "mara.json", 1);
    home.atles(&["import", &path, "--user", "mara"]).expect(0);
    let odd = home.folder().join("odd.json");
    fs::write(&odd, format!("[{}, {{\"mapping\": 3}}]", conversation(7))).unwrap();
    let said = home.atles(&["import", odd.to_str().unwrap()]).expect(0);
    assert!(said.out.contains("1 could not be read"), "{}", said.out);
    assert!(said.err.contains("conversation 2: mapping: expected an object"), "{}", said.err);
    let hopeless = home.folder().join("hopeless.json");
    fs::write(&hopeless, "{\"a\": 1}").unwrap();
    home.atles(&["import", hopeless.to_str().unwrap(), "/nowhere/at/all.zip"]).expect(1);
    home.atles(&["import", "x.json", "--since", "soon"]).expect(2);
    home.once(0);
    assert_eq!(
        home.count("SELECT count(*) FROM sessions s JOIN users u ON u.id = s.user WHERE u.user_id = 'mara'"),
        1
    );
    assert_eq!(home.count("SELECT count(*) FROM sessions"), 2);
}
