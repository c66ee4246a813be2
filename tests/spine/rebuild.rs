//! That memory.db can be made anew from `done/`, and what becomes of a damaged one.

use std::fs;

use rusqlite::types::Value as Cell;
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use crate::support::{Home, Pipeline, chat, files_below, numbered_chat, wait_until};

const FILES: usize = 30;

fn pipeline() -> Pipeline {
    Pipeline::new().stage("kind = \"topics\"").stage("kind = \"patterns\"").stage("kind = \"facts\"")
}

/// Chats of two users, with revisions, a duplicate, an export, times and none, facts that supersede each other.
fn fill(home: &Home) {
    for number in 0..FILES {
        let chat = numbered_chat(number);
        home.drop_file(
            format!("{number}.json"),
            if number % 3 == 0 { chat.replace("\"ada\"", "\"bob\"") } else { chat },
        );
    }
    home.once(0);
    let told = "I live in Ljubljana. I prefer green tea. Which river runs through it?";
    let answer = "The Ljubljanica runs through the middle of Ljubljana.";
    home.drop_file("short.json", chat("grows", &[told, answer]));
    home.once(0);
    home.drop_file(
        "long.json",
        chat(
            "grows",
            &[told, answer, "I moved: I live in Maribor. And there?", "The Drava does, and it is wide."],
        ),
    );
    home.drop_file("same.json", numbered_chat(4));
    let untimed =
        |id: &str, text: &str| json!({ "session_id": id, "messages": [{ "role": "user", "content": text }] });
    home.drop_file(
        "export.json",
        json!([untimed("x", "I live in Koper."), untimed("y", "I like figs.")]).to_string(),
    );
    home.once(0);
}

/// Every row of every table, in the order of the tables' own keys.
fn rows(home: &Home) -> Vec<String> {
    let memory = home.memory();
    let mut tables =
        memory.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(tables.len() >= 9, "{tables:?}");
    let mut all = Vec::new();
    for table in tables {
        let mut statement = memory.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
        let columns = statement.column_count();
        let mut found = statement.query([]).unwrap();
        while let Some(row) = found.next().unwrap() {
            let cells: Vec<Cell> = (0..columns).map(|column| row.get(column).unwrap()).collect();
            all.push(format!("{table} {cells:?}"));
        }
    }
    all
}

/// Everything in the home but memory.db and what stands beside it, with its content.
fn others(home: &Home) -> Vec<(String, String)> {
    let skipped = ["memory.db", "state/", "daemon.l"];
    let paths = files_below(&home.path("")).into_iter();
    let named = paths.map(|path| (path.strip_prefix(home.path("")).unwrap().display().to_string(), path));
    named
        .filter(|(name, _)| !skipped.iter().any(|it| name.contains(it)))
        .map(|(name, path)| (name, blake3::hash(&fs::read(path).unwrap()).to_string()))
        .collect()
}

fn answers(home: &Home) -> Vec<String> {
    let recall = home.atles(&["recall", "where do I live?", "--json"]).expect(0).out;
    let profile = |user: &str| {
        let mut profile = home.atles(&["profile", user, "--json"]).expect(0).json();
        // Numbers of rows are another matter.
        profile["facts"].as_array_mut().unwrap().iter_mut().for_each(|fact| fact["id"] = json!(0));
        profile.to_string()
    };
    vec![recall, profile("ada"), profile("bob")]
}

#[test]
fn a_rebuild_answers_as_before_and_twice_in_a_row_gives_the_same_rows() {
    let home = Home::with(&pipeline());
    fill(&home);
    let (before, beside) = (answers(&home), others(&home));
    let rebuilt = home.atles(&["rebuild", "--json"]).expect(0).json();
    assert_eq!((&rebuilt["files"], &rebuilt["failed"]), (&json!(FILES + 4), &json!([])), "{rebuilt}");
    assert_eq!(rebuilt["sessions"], FILES + 3, "{rebuilt}");
    let first = rows(&home);
    assert_eq!((answers(&home), others(&home)), (before, beside), "and nothing else of the home was touched");
    assert!(!home.path("state/rebuild").exists());
    home.atles(&["rebuild"]).expect(0);
    let second = rows(&home);
    let differ: Vec<_> = first.iter().zip(&second).filter(|(a, b)| a != b).take(5).collect();
    assert!(differ.is_empty() && first.len() == second.len(), "{differ:#?}");
    // The ledger still knows everything.
    home.drop_file("again.json", numbered_chat(1));
    home.once(0);
    assert_eq!(rows(&home), second);
}

/// Whether some of the files are in the new database, and it has not taken the old one's place.
fn is_half_way(home: &Home) -> bool {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let Ok(new) = Connection::open_with_flags(home.path("state/rebuild/memory.db"), flags) else {
        return false;
    };
    new.query_row("SELECT 1 FROM meta WHERE name = 'rebuilt'", [], |_| Ok(())).is_ok()
}

#[test]
fn a_rebuild_that_is_killed_goes_on_and_comes_to_the_same() {
    let home = Home::with(&pipeline());
    fill(&home);
    for number in 0..600 {
        home.drop_file(format!("more-{number}.json"), numbered_chat(1000 + number));
    }
    home.once(0);
    home.atles(&["rebuild"]).expect(0);
    let expected = rows(&home);
    let mut resumed = false;
    for _ in 0..12 {
        let mut child = home.command().args(["rebuild"]).spawn().unwrap();
        wait_until("it is under way, or through", || {
            is_half_way(&home) || child.try_wait().unwrap().is_some()
        });
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(rows(&home), expected, "what is there stays in its place until the end");
        let rebuilt = home.atles(&["rebuild", "--json"]).expect(0).json();
        assert_eq!(rows(&home), expected);
        resumed = rebuilt["resumed"] == true;
        if resumed {
            break;
        }
    }
    assert!(resumed, "it never was killed half-way");
}

#[test]
fn sessions_whose_files_are_gone_are_taken_over_and_forgotten_ones_are_not() {
    let home = Home::with(&pipeline());
    fill(&home);
    let before = home.count("SELECT count(*) FROM messages");
    fs::remove_file(home.path("done/5.json")).unwrap();
    fs::remove_file(home.path("done/long.json")).unwrap();
    fs::remove_file(home.path("done/short.json")).unwrap();
    home.atles(&["forget", "--session", "chat-7"]).expect(0);
    let rebuilt = home.atles(&["rebuild", "--json"]).expect(0).json();
    assert_eq!((&rebuilt["carried"], &rebuilt["sessions"]), (&json!(2), &json!(FILES + 2)), "{rebuilt}");
    assert_eq!(home.count("SELECT count(*) FROM messages"), before - 2);
    assert_eq!(home.count("SELECT count(*) FROM sessions WHERE session_id = 'chat-7'"), 0);
    let profile = home.atles(&["profile", "ada", "--json"]).expect(0).json();
    assert!(profile["facts"].to_string().contains("Maribor"), "{profile}");
    let first = rows(&home);
    home.atles(&["rebuild"]).expect(0);
    assert_eq!(rows(&home), first);
}

#[test]
fn a_rebuild_takes_todays_pipeline_and_asks_no_program_again() {
    let home = Home::new();
    let asked = home.folder().join("asked");
    home.script("count.sh", &format!("#!/bin/sh\necho x >> '{}'\necho '{{}}'\n", asked.display()));
    let exec = "kind = \"exec\"\nname = \"counter\"\ncommand = [\"./count.sh\"]";
    home.edit_pipeline(&Pipeline::new().stage(exec));
    home.drop_file(
        "a.json",
        chat("a", &["I live in Koper. Is it by the sea?", "It lies by the sea, and has a port."]),
    );
    home.once(0);
    let asked = || fs::read_to_string(&asked).unwrap_or_default().lines().count();
    assert_eq!((asked(), home.count("SELECT count(*) FROM facts")), (1, 0));
    home.edit_pipeline(&pipeline().stage(exec));
    let rebuilt = home.atles(&["rebuild", "--json"]).expect(0).json();
    assert_eq!(rebuilt["not_run"], json!(["counter"]));
    assert_eq!((asked(), home.count("SELECT count(*) FROM facts")), (1, 1));
}

#[test]
fn while_a_daemon_runs_a_rebuild_is_refused_and_says_what_to_do() {
    let home = Home::new();
    let daemon = home.start();
    let said = home.atles(&["rebuild"]).expect(1);
    assert!(
        said.err.contains("a daemon already runs") && said.err.contains("stop the daemon"),
        "{}",
        said.err
    );
    daemon.stop();
    home.atles(&["rebuild"]).expect(0);
}

/// Ways in which a database breaks.
fn damages(content: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let length = content.len();
    let noise: Vec<u8> = (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 7) as u8).collect();
    let mut hole = content.to_vec();
    hole[length / 4..length * 3 / 4].fill(0xA5);
    vec![
        ("noise", noise),
        ("zeros", vec![0; length]),
        ("cut in half", content[..length / 2].to_vec()),
        ("a hole", hole),
    ]
}

#[test]
fn a_damaged_memory_is_reported_by_whoever_reads_it_and_a_rebuild_mends_it() {
    let home = Home::with(&pipeline());
    fill(&home);
    // Without the old one, when something was learned is what the ledger says, some milliseconds later.
    fs::write(home.path("memory.db"), "no database").unwrap();
    home.atles(&["rebuild"]).expect(0);
    let expected = rows(&home);
    fs::write(
        home.folder().join("q.jsonl"),
        "{\"question\": \"where do I live?\", \"evidence\": [\"x#0\"]}\n",
    )
    .unwrap();
    let questions = home.folder().join("q.jsonl").display().to_string();
    for (how, damaged) in damages(&fs::read(home.path("memory.db")).unwrap()) {
        fs::write(home.path("memory.db"), &damaged).unwrap();
        let mut reported = 0;
        for args in [
            vec!["recall", "where do I live?"],
            vec!["profile", "ada"],
            vec!["eval", "recall", "--questions", &questions],
        ] {
            let said = home.atles(&args);
            assert!(matches!(said.code, Some(0 | 1)), "{how}: {args:?}: {said:?}");
            assert!(!said.err.contains("panicked"), "{how}: {args:?}: {}", said.err);
            if said.code == Some(1) {
                assert!(
                    said.err.contains("damaged") && said.err.contains("atles rebuild"),
                    "{how}: {}",
                    said.err
                );
                reported += 1;
            }
        }
        assert!(reported > 0, "{how}: nobody noticed");
        let said = home.atles(&["rebuild", "--json"]).expect(0);
        assert!(said.json()["set_aside"].is_string(), "{how}: {}", said.out);
        assert_eq!(rows(&home), expected, "{how}");
    }
    assert!(home.names("").iter().any(|name| name.contains("memory.db.damaged-")));
    home.atles(&["forget", "--session", "chat-7"]).expect(0);
    assert!(!home.names("").iter().any(|name| name.contains("damaged")), "copies go with what is forgotten");
}

#[test]
fn a_daemon_with_a_damaged_memory_goes_on_learning_and_a_rebuild_brings_everything_together() {
    let home = Home::new();
    for number in 0..5 {
        home.drop_file(format!("{number}.json"), numbered_chat(number));
    }
    home.once(0);
    let length = home.path("memory.db").metadata().unwrap().len() as usize;
    fs::write(home.path("memory.db"), vec![0x5A; length]).unwrap();
    let daemon = home.start();
    wait_until("it is told", || home.words().contains("`atles rebuild` makes it anew"));
    home.drop_file("new.json", numbered_chat(99));
    home.wait_done("new.json");
    daemon.stop();
    assert_eq!(home.count("SELECT count(*) FROM sessions"), 1);
    home.atles(&["rebuild"]).expect(0);
    assert_eq!(home.count("SELECT count(*) FROM sessions"), 6);
    // The ledger knows them again: nothing is learned twice.
    for number in 0..5 {
        home.drop_file(format!("again-{number}.json"), numbered_chat(number));
    }
    let daemon = home.start();
    wait_until("all are settled", || home.done().len() == 11);
    assert_eq!((home.total("sessions"), home.total("duplicates")), (6, 5), "{}", home.status());
    daemon.stop();
    assert_eq!((home.count("SELECT count(*) FROM sessions"), home.examples().len()), (6, 6));
}

#[test]
fn a_memory_that_breaks_while_the_daemon_runs_is_set_aside_and_learning_goes_on() {
    let home = Home::new();
    for number in 0..5 {
        home.drop_file(format!("{number}.json"), numbered_chat(number));
    }
    home.once(0);
    let daemon = home.start();
    wait_until("the index is whole", || home.is_indexed());
    let database = home.path("memory.db");
    let length = database.metadata().unwrap().len() as usize;
    // In its place, as a failing disk would: the file stays the same.
    let mut file = fs::OpenOptions::new().write(true).open(&database).unwrap();
    std::io::Write::write_all(&mut file, &vec![0x5A; length]).unwrap();
    for number in 10..14 {
        home.drop_file(format!("{number}.json"), numbered_chat(number));
        home.wait_done(&format!("{number}.json"));
    }
    daemon.stop();
    home.atles(&["rebuild"]).expect(0);
    assert_eq!(home.count("SELECT count(*) FROM sessions"), 9, "{}", home.words());
}
