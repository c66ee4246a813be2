//! Folders of other programs, learned from by the real daemon.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::Connection;
use serde_json::json;

use crate::support::{Home, Pipeline, files_below, wait_until};

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sources").join(path)
}

/// Every file of a folder: content and time of the last write.
fn fingerprint(folder: &Path) -> Vec<(PathBuf, blake3::Hash, SystemTime)> {
    let of = |path: PathBuf| {
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        (path.clone(), blake3::hash(&fs::read(&path).unwrap()), written)
    };
    let files = files_below(folder).into_iter();
    files.filter(|path| path.symlink_metadata().unwrap().is_file()).map(of).collect()
}

/// A home with sources that lie in `theirs/` beside its pipeline.toml.
fn home(sources: &[(&str, &str)]) -> Home {
    Home::with(&watching(sources, "1s"))
}

fn watching(sources: &[(&str, &str)], quiet: &str) -> Pipeline {
    let mut pipeline = Pipeline::new();
    for (path, format) in sources {
        let text = format!(
            "[[source]]\npath = \"theirs/{path}\"\nformat = \"{format}\"\nmode = \"observe\"\nquiet = \"{quiet}\"\nuser = \"ada\"\n"
        );
        pipeline = pipeline.section(&text);
    }
    pipeline
}

fn said(home: &Home, session: &str) -> Vec<String> {
    let db = home.memory();
    let mut rows = db
        .prepare("SELECT m.text FROM messages m JOIN sessions s ON s.id = m.session WHERE s.session_id = ?1 ORDER BY m.id")
        .unwrap();
    let texts = rows.query_map([session], |row| row.get(0)).unwrap();
    texts.collect::<Result<_, _>>().unwrap()
}

fn line(uuid: &str, parent: &str, session: &str, role: &str, text: &str) -> String {
    let stop = if role == "assistant" { ",\"stop_reason\":\"end_turn\"" } else { "" };
    format!(
        "{{\"type\":\"{role}\",\"uuid\":\"{uuid}\",\"parentUuid\":\"{parent}\",\"sessionId\":\"{session}\",\
         \"timestamp\":\"2026-03-02T11:00:00.000Z\",\"isSidechain\":false,\
         \"message\":{{\"role\":\"{role}\",\"content\":[{{\"type\":\"text\",\"text\":\"{text}\"}}]{stop}}}}}\n"
    )
}

#[test]
fn a_transcript_is_learned_at_rest_again_when_it_grows_and_nothing_in_its_folder_changes() {
    let home = home(&[("projects", "claude-code")]);
    let folder = home.folder().join("theirs/projects/-srv-heron");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("5f0c.jsonl");
    fs::copy(fixture("claude-code/5f0c.jsonl"), &file).unwrap();
    let before = fingerprint(&folder);
    let daemon = home.start();
    wait_until("the transcript is learned", || home.total("sessions") == 1);
    assert_eq!(fingerprint(&folder), before);
    let first = said(&home, "5f0c");
    assert_eq!(first.len(), 4, "{first:?}");
    for foreign in ["peanuts", "Oslo", "Subagent", "tabs", "default model"] {
        assert_eq!(
            home.count(&format!("SELECT count(*) FROM messages WHERE text LIKE '%{foreign}%'")),
            0,
            "{foreign}"
        );
    }

    let more =
        line("u9", "a4", "5f0c", "user", "I have a cat.") + &line("a9", "u9", "5f0c", "assistant", "Nice.");
    OpenOptions::new().append(true).open(&file).unwrap().write_all(more.as_bytes()).unwrap();
    wait_until("what was added is learned", || home.total("revisions") == 1);
    assert_eq!(said(&home, "5f0c").len(), 6);

    // Resumed under another id: the older lines are copied into the new file.
    let resumed =
        fs::read_to_string(&file).unwrap().replace("\"sessionId\":\"5f0c\"", "\"sessionId\":\"7a11\"");
    let resumed = resumed
        + &line("u10", "a9", "7a11", "user", "And a canary.")
        + &line("a10", "u10", "7a11", "assistant", "Oh.");
    fs::write(folder.join("7a11.jsonl"), resumed).unwrap();
    wait_until("the resumed transcript is learned", || home.total("sessions") == 2);
    assert_eq!(said(&home, "7a11"), ["And a canary.", "Oh."]);
    daemon.stop();

    // A new start finds nothing new.
    let files = home.done().len();
    let daemon = home.start();
    // A link is not followed, wherever it leads and whenever something happens there.
    let outside = home.folder().join("outside");
    fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, folder.parent().unwrap().join("linked")).unwrap();
    fs::write(
        outside.join("9c33.jsonl"),
        line("v", "", "9c33", "user", "Mine?") + &line("w", "v", "9c33", "assistant", "No."),
    )
    .unwrap();
    fs::write(
        folder.join("8b22.jsonl"),
        line("x", "", "8b22", "user", "Hm?") + &line("y", "x", "8b22", "assistant", "Yes."),
    )
    .unwrap();
    wait_until("a third transcript is learned", || home.total("sessions") == 3);
    assert_eq!(home.done().len(), files + 1);
    daemon.stop();
}

#[test]
fn sources_are_taken_up_and_given_up_while_the_daemon_runs_and_the_status_tells_how_they_stand() {
    let home = home(&[]);
    let theirs = home.folder().join("theirs");
    let (projects, conversations) = (theirs.join("projects/-srv-heron"), theirs.join("lm"));
    fs::create_dir_all(&projects).unwrap();
    fs::copy(fixture("claude-code/5f0c.jsonl"), projects.join("5f0c.jsonl")).unwrap();
    let daemon = home.start();
    assert_eq!(home.status()["sources"], json!([]));

    let both = [("projects", "claude-code"), ("lm", "lm-studio")];
    home.edit_pipeline(&watching(&both, "1s"));
    let source = |index: usize| home.status()["sources"][index].clone();
    wait_until("the transcript is learned", || source(0)["learned"] == 1);
    let claude = source(0);
    assert_eq!((&claude["watcher"], &claude["conversations"]), (&json!("native"), &json!(1)), "{claude}");
    assert!(claude["last_learned"].as_str().is_some_and(|at| at.starts_with("20")), "{claude}");
    assert_eq!(claude["problems_total"], 0);
    let missing = source(1);
    assert_eq!((&missing["watcher"], missing["trouble"].is_string()), (&json!(""), true), "{missing}");

    // A source that comes into being is found at the next look; an edit of something else makes that now.
    fs::create_dir_all(&conversations).unwrap();
    fs::write(conversations.join("0.conversation.json"), "{\"messages\": 7}").unwrap();
    fs::write(conversations.join("1.conversation.json"), "{\"messages\": [").unwrap();
    let only = [both[1]];
    home.edit_pipeline(&watching(&only, "2s"));
    wait_until("the first source is given up", || home.status()["sources"].as_array().unwrap().len() == 1);
    fs::write(
        projects.join("8b22.jsonl"),
        line("x", "", "8b22", "user", "Hm?") + &line("y", "x", "8b22", "assistant", "Yes."),
    )
    .unwrap();
    let good = fixture("lm-studio/1772445600000.conversation.json");
    fs::copy(good, conversations.join("2.conversation.json")).unwrap();
    wait_until("what cannot be read is told", || source(0)["problems_total"] == 1);
    assert_eq!(source(0)["problems"][0]["file"], "1.conversation.json");
    assert_eq!(source(0)["without_conversation"], 1, "of a shape that is not known");
    wait_until("the conversation is learned", || source(0)["learned"] == 1);
    assert_eq!(home.count("SELECT count(*) FROM sessions WHERE session_id = '8b22'"), 0, "not watched");
    let page = home.atles(&["status"]).expect(0).out;
    assert!(page.contains("source    lm-studio: ") && page.contains("1 conversation, 1 learned"), "{page}");
    assert!(page.contains("1.conversation.json: "), "{page}");

    // A bad edit changes nothing; the next good one has the chats wait longer.
    home.edit_text(&watching(&only, "2s").text().replace("lm-studio", "lm-studios"));
    wait_until("the bad edit is told", || !home.status()["pipeline_problem"].is_null());
    assert_eq!(source(0)["format"], "lm-studio");
    home.edit_pipeline(&watching(&only, "1h"));
    wait_until("the edit is taken over", || home.status()["pipeline_problem"].is_null());
    fs::write(conversations.join("3.conversation.json"), "{}").unwrap();
    wait_until("a chat waits to be at rest", || source(0)["waiting"].as_u64() >= Some(1));
    daemon.stop();

    let daemon = home.start();
    wait_until("what was learned before is counted", || source(0)["learned"] == 1);
    assert_eq!(source(0)["conversations"], 1);
    daemon.stop();
}

#[test]
fn a_database_in_use_is_learned_from_and_left_as_it_is() {
    let home = home(&[("webui.db", "open-webui")]);
    let folder = home.folder().join("theirs");
    fs::create_dir_all(&folder).unwrap();
    let writer = Connection::open(folder.join("webui.db")).unwrap();
    writer.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).unwrap();
    writer.execute_batch(include_str!("../sources/open-webui/webui.sql")).unwrap();
    let before = fingerprint(&folder);
    assert_eq!(before.len(), 3, "database, log and shared memory");
    let daemon = home.start();
    wait_until("both chats are learned", || home.total("sessions") == 2);
    assert_eq!(fingerprint(&folder), before);
    assert_eq!(said(&home, "w1"), ["I am vegetarian. Which wine with mushrooms?", "Pinot noir."]);
    writer
        .execute(
            "UPDATE chat SET updated_at = updated_at + 1000, chat = replace(chat, 'Comt\", \"done\": false', 'Comté.\", \"done\": true') WHERE id = 'w2'",
            [],
        )
        .unwrap();
    wait_until("the chat that went on is learned anew", || home.total("revisions") == 1);
    assert_eq!(said(&home, "w2")[1], "Comté.");
    daemon.stop();
}

#[test]
fn every_program_is_learned_from_in_one_run_and_a_second_one_adds_nothing() {
    let programs = [
        ("claude-code", "claude-code"),
        ("codex", "codex"),
        ("gemini-cli", "gemini-cli"),
        ("copilot", "copilot"),
        ("lm-studio", "lm-studio"),
        ("jan", "jan"),
        ("webui.db", "open-webui"),
        ("logs.db", "llm"),
    ];
    let home = home(&programs);
    let theirs = home.folder().join("theirs");
    // At rest since long, so that one look is enough. Gemini's chat waits for an answer that never came.
    let long_ago = SystemTime::now() - std::time::Duration::from_secs(3600);
    for (folder, _) in &programs[..6] {
        for file in files_below(&fixture(folder)) {
            let to = theirs.join(file.strip_prefix(fixture("")).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(&file, &to).unwrap();
            OpenOptions::new().write(true).open(&to).unwrap().set_modified(long_ago).unwrap();
        }
    }
    for (name, sql) in [("webui.db", "open-webui/webui.sql"), ("logs.db", "llm/logs.sql")] {
        let db = Connection::open(theirs.join(name)).unwrap();
        db.execute_batch(&fs::read_to_string(fixture(sql)).unwrap()).unwrap();
    }
    // A link is not followed, wherever it leads.
    std::os::unix::fs::symlink(fixture("jan/threads/t1"), theirs.join("jan/threads/linked")).unwrap();
    let before = fingerprint(&theirs);
    home.once(0);
    let db = home.memory();
    let mut rows = db.prepare("SELECT app || ' ' || session_id FROM sessions ORDER BY 1").unwrap();
    let found: Vec<String> = rows.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    let lm_studio = found.iter().find(|name| name.starts_with("lm-studio")).unwrap();
    assert_eq!(
        found,
        [
            "claude-code 5f0c",
            "codex 0195",
            "copilot 77d2",
            "gemini-cli 9b1e",
            "jan t1",
            "llm c1",
            "llm t1",
            "llm t2",
            lm_studio,
            "open-webui w1",
            "open-webui w2"
        ]
    );
    assert_eq!(said(&home, "t2"), ["In Greek."], "what the fork shares with t1 is t1's");
    for foreign in ["peanuts", "Oslo", "Subagent", "tabs"] {
        assert_eq!(
            home.count(&format!("SELECT count(*) FROM messages WHERE text LIKE '%{foreign}%'")),
            0,
            "{foreign}"
        );
    }
    assert_eq!(fingerprint(&theirs), before);
    let files = home.done().len();
    home.once(0);
    assert_eq!(home.done().len(), files);
    assert_eq!(fingerprint(&theirs), before);
}
