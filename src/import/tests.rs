use jiff::Timestamp;
use serde_json::{Value, json};

use super::zip::tests::write_zip;
use super::{Import, Options, Report, Since};
use crate::session::formats::Format;
use crate::spool::{Home, InstanceLock};

fn chat(id: usize) -> Value {
    let text = |text: &str| json!({"content_type": "text", "parts": [text]});
    json!({"id": format!("c{id}"), "title": null, "create_time": 1_772_449_200 + id, "current_node": "a",
        "mapping": {
            "q": {"parent": null, "message": {"author": {"role": "user"}, "content": text(&format!("Question {id}?"))}},
            "a": {"parent": "q", "message": {"author": {"role": "assistant"}, "content": text("Yes."),
                "create_time": 1_772_449_200 + id}}}})
}

fn options() -> Options {
    Options {
        format: Format::Auto,
        user: None,
        since: None,
        again: false,
        dry_run: false,
        max_size: 64 << 20,
        min_free: 0,
        waiting: 4096,
    }
}

fn import(home: &Home, path: &std::path::Path, options: Options) -> Report {
    Import::run(home, &[path.to_path_buf()], options, |_| (), &mut |_| ()).unwrap()
}

fn fresh() -> (tempfile::TempDir, Home) {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path().join("home"));
    home.prepare().unwrap();
    (dir, home)
}

fn waiting(home: &Home) -> usize {
    std::fs::read_dir(&home.spool).unwrap().count()
}

#[test]
fn a_zip_is_imported_once_and_only_what_is_new_later() {
    let (dir, home) = fresh();
    let path = dir.path().join("export.zip");
    let numbered = |from: usize, to: usize| json!((from..to).map(chat).collect::<Vec<_>>()).to_string();
    write_zip(
        &path,
        &[
            ("conversations-000.json", numbered(0, 700).as_bytes()),
            ("conversations-001.json", numbered(700, 900).as_bytes()),
            ("user.json", b"{}"),
        ],
    );
    let dry = import(&home, &path, Options { dry_run: true, ..options() });
    assert_eq!((dry.conversations, dry.imported, dry.messages, waiting(&home)), (900, 900, 1800, 0));
    let since = Some(Since(Timestamp::from_second(1_772_449_200 + 100).unwrap()));
    let report = import(&home, &path, Options { since, ..options() });
    assert_eq!((report.imported, report.older, report.already, waiting(&home)), (800, 100, 0, 800));
    let report = import(&home, &path, options());
    assert_eq!((report.imported, report.already, waiting(&home)), (100, 800, 900));
    let again = import(&home, &path, Options { again: true, ..options() });
    assert_eq!((again.imported, waiting(&home)), (900, 900), "by name each is there once");
    let twice = Options { again: true, ..options() };
    let report = Import::run(&home, &[path.clone(), path.clone()], twice, |_| (), &mut |_| ()).unwrap();
    assert_eq!((report.imported, report.already), (900, 900), "one run takes a chat once");
    let other = import(&home, &path, Options { user: Some("mara".into()), ..options() });
    assert_eq!(other.imported, 900, "another user's chats are others");
}

#[test]
fn what_can_be_read_is_imported_and_the_rest_is_listed() {
    let (dir, home) = fresh();
    let path = dir.path().join("conversations.json");
    let mut odd = chat(1);
    odd["mapping"]["x"] =
        json!({"parent": "q", "message": {"author": {"role": "oracle"}, "content": {"parts": ["?"]}}});
    odd["mapping"]["a"]["parent"] = json!("x");
    odd["mapping"]["y"] = json!(7);
    let mut circle = chat(2);
    circle["mapping"]["q"]["parent"] = json!("a");
    let mut orphan = chat(3);
    orphan["mapping"]["q"]["parent"] = json!("gone");
    let hopeless = json!({"id": "c4", "mapping": 5});
    let silent = json!({"id": "c5"});
    let mut text = json!([odd, circle, hopeless, orphan, silent, chat(6)]).to_string();
    text.pop();
    text.push_str(", {\"id\": \"c7\", \"mapp");
    std::fs::write(&path, text).unwrap();
    let report = import(&home, &path, options());
    assert_eq!((report.imported, waiting(&home)), (4, 4), "{report:#?}");
    let problems: Vec<_> =
        report.problems.iter().map(|p| (p.conversation.unwrap(), p.why.as_str())).collect();
    assert_eq!(problems[0], (3, "mapping: expected an object of nodes by id, found a number"));
    assert_eq!(problems[1].0, 5);
    assert_eq!(problems[2], (7, "the file ends in the middle of it"));
    assert_eq!(report.skipped["messages that cannot be read"], 2);
}

#[test]
fn every_program_is_told_by_its_shape() {
    let (dir, home) = fresh();
    let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sources");
    for folder in ["lm-studio", "jan", "claude-code"] {
        let report = import(&home, &sources.join(folder), options());
        assert_eq!((report.imported, &report.problems[..]), (1, &[][..]), "{folder}: {report:?}");
    }
    let files = [
        (
            "webui.json",
            r#"[{"id": "c", "chat": {"history": {"currentId": "q", "messages": {"q": {"role": "user", "content": "Hi"}}}}}]"#,
        ),
        (
            "libre.json",
            r#"{"conversationId": "c", "messages": [{"messageId": "m", "parentMessageId": "0", "isCreatedByUser": true, "text": "Hi"}]}"#,
        ),
        (
            "claude.json",
            r#"[{"uuid": "c", "chat_messages": [{"uuid": "m", "sender": "human", "text": "Hi"}]}]"#,
        ),
        ("bare.json", r#"[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]"#),
        (
            "wrapped.json",
            r#"{"conversations": [{"title": "x", "messages": [{"role": "user", "content": "Ho"}]}]}"#,
        ),
        ("chat.md", "**User:** Hi\n\n**Assistant:** Yo"),
    ];
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let report = import(&home, &path, options());
        assert_eq!((report.imported, &report.problems[..]), (1, &[][..]), "{name}: {report:?}");
    }
}

#[test]
fn while_a_daemon_runs_the_spool_does_not_fill_beyond_what_it_can_take() {
    let (dir, home) = fresh();
    let path = dir.path().join("conversations.json");
    std::fs::write(&path, json!((0..2000).map(chat).collect::<Vec<_>>()).to_string()).unwrap();
    let lock = InstanceLock::take(&home).unwrap();
    let (spool, over) = (home.spool.clone(), std::sync::atomic::AtomicBool::new(false));
    let most = std::thread::scope(|scope| {
        let daemon = scope.spawn(|| {
            let (mut most, mut taken, begun) = (0, 0, std::time::Instant::now());
            while taken < 2000
                && begun.elapsed().as_secs() < 60
                && !over.load(std::sync::atomic::Ordering::Acquire)
            {
                let names = std::fs::read_dir(&spool).unwrap().map(|entry| entry.unwrap());
                let waiting: Vec<_> =
                    names.filter(|n| !n.file_name().as_encoded_bytes().starts_with(b".")).collect();
                most = most.max(waiting.len());
                for entry in waiting.iter().take(50) {
                    std::fs::remove_file(entry.path()).unwrap();
                    taken += 1;
                }
            }
            most
        });
        let report = import(&home, &path, Options { waiting: 300, ..options() });
        assert_eq!(report.imported, 2000);
        // What is left waits for a daemon that takes its time.
        while waiting(&home) > 0 && !daemon.is_finished() {
            std::thread::yield_now();
        }
        over.store(true, std::sync::atomic::Ordering::Release);
        daemon.join().unwrap()
    });
    drop(lock);
    assert!(most <= 300 + 512, "{most} files waited at once");
}
