//! Recall through the command line: learn the shipped chats, ask, and hold the figures to a floor.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn atles(home: &Path, args: &[&str], stdin: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_atles"));
    command.env_clear().env("HOME", home).current_dir(home).args(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), stdin.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn data(home: &Path, args: &[&str], stdin: &str) -> String {
    let output = atles(home, args, stdin);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(home: &Path, args: &[&str]) -> Value {
    serde_json::from_str(&data(home, args, "")).unwrap()
}

/// A home that has learned the chats of eval/.
fn learned() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    data(home.path(), &["init"], "");
    let chats = Path::new(env!("CARGO_MANIFEST_DIR")).join("eval/chats.jsonl");
    std::fs::copy(chats, home.path().join("atles_memory/spool/chats.jsonl")).unwrap();
    data(home.path(), &["run", "--once"], "");
    home
}

#[test]
fn the_shipped_questions_are_answered_as_well_as_they_were() {
    let home = learned();
    let questions = concat!(env!("CARGO_MANIFEST_DIR"), "/eval/questions.jsonl");
    let report = json(home.path(), &["eval", "recall", "--questions", questions, "--json"]);
    assert_eq!((&report["all"]["questions"], &report["unknown_evidence"]), (&60.into(), &0.into()));
    let mark = |path: &str| report.pointer(path).and_then(Value::as_f64).unwrap();
    for (path, floor) in [
        ("/all/recall/5", 0.70),
        ("/all/recall/10", 0.80),
        ("/categories/preference/hit/10", 0.75),
        ("/categories/single/recall/5", 0.80),
        ("/all/session_hit_1", 0.70),
    ] {
        assert!(mark(path) >= floor, "{path}: {} is under {floor}", mark(path));
    }
}

#[test]
fn a_question_is_answered_with_its_sources_alone_in_a_batch_and_as_a_block() {
    let home = learned();
    let hits = json(
        home.path(),
        &["recall", "Which bird was at the Albufera?", "--user", "ines", "--limit", "3", "--json"],
    );
    let hit = hits.as_array().unwrap().iter().find(|hit| hit["message_id"] == "ines-06#4").unwrap();
    assert_eq!(
        (&hit["session_id"], &hit["message_index"], &hit["kind"]),
        (&"ines-06".into(), &4.into(), &"turn".into())
    );
    assert!(hit["text"].as_str().unwrap().contains("hoopoe") && hit["score"].as_f64().unwrap() > 0.0);
    assert!(hit.get("parts").is_none());

    let lines = concat!(
        r#"{"id": 1, "user_id": "theo", "query": "Who leads the union talks?", "limit": 2}"#,
        "\n",
        r#"{"id": "b", "user_id": "nobody", "query": "\u0000 \" OR *"}"#,
        "\n\n{\"id\": 3}\nno json\n"
    );
    let output = atles(home.path(), &["recall", "--batch"], lines);
    assert_eq!(output.status.code(), Some(1), "two lines were wrong");
    let answers: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), 4);
    assert_eq!((&answers[0]["id"], &answers[0]["hits"][0]["message_id"]), (&1.into(), &"theo-03#4".into()));
    assert_eq!((&answers[1]["id"], &answers[1]["hits"]), (&"b".into(), &Value::Array(Vec::new())));
    assert!(answers[2]["error"].is_string() && answers[2]["id"] == 3 && answers[3]["error"].is_string());

    let block = ["recall", "What should I cook?", "--user", "ines", "--format", "prompt", "--budget", "300"];
    let block = data(home.path(), &block, "");
    assert!(block.starts_with("<memory>") && block.contains("lactose") && block.len() < 1200, "{block}");
    let profile = json(home.path(), &["profile", "theo", "--json"]);
    assert!(profile["preferences"].as_array().unwrap().iter().any(|it| it["object"] == "thrillers"));
}

#[test]
fn a_session_is_found_as_soon_as_it_was_learned() {
    let home = learned();
    let chat = r#"{"session_id": "late", "user_id": "theo",
        "messages": [{"role": "user", "content": "My tortoise is called Zanzibar."}]}"#;
    std::fs::write(home.path().join("atles_memory/spool/late.json"), chat).unwrap();
    assert_eq!(json(home.path(), &["recall", "Zanzibar", "--json"]), Value::Array(Vec::new()));
    data(home.path(), &["run", "--once"], "");
    assert_eq!(json(home.path(), &["recall", "Zanzibar", "--json"])[0]["session_id"], "late");
    assert_eq!(
        json(home.path(), &["recall", "Zanzibar", "--user", "ines", "--json"]),
        Value::Array(Vec::new())
    );
}

#[test]
fn before_anything_is_learned_nothing_is_found_and_nothing_is_wrong() {
    let home = tempfile::tempdir().unwrap();
    data(home.path(), &["init"], "");
    assert_eq!(json(home.path(), &["recall", "anything", "--json"]), Value::Array(Vec::new()));
    assert_eq!(
        data(home.path(), &["recall", "--batch"], "{\"id\":7,\"query\":\"x\"}\n"),
        "{\"id\":7,\"hits\":[]}\n"
    );
}

/// A second home that has learned nothing yet.
fn fresh() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    data(home.path(), &["init"], "");
    home
}

#[test]
fn what_was_exported_and_imported_elsewhere_is_the_same_and_twice_changes_nothing() {
    let home = learned();
    let export = data(home.path(), &["export"], "");
    assert_eq!(export.lines().count(), 28);
    for field in
        [r#""facts":[{"#, r#""preferences":[{"#, r#""examples":[""#, r#""topics":[{"#, r#""timestamp":"#]
    {
        assert!(export.contains(field), "{field} is not in the export");
    }
    let other = fresh();
    let file = other.path().join("memory.jsonl");
    data(home.path(), &["export", "--output", file.to_str().unwrap()], "");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), export);
    let import = ["import", "memory", file.to_str().unwrap(), "--json"];
    let counts = |imported: u64, unchanged: u64| serde_json::json!({"imported": imported, "replaced": 0, "unchanged": unchanged, "older": 0});
    assert_eq!(json(other.path(), &import), counts(28, 0));
    assert_eq!(data(other.path(), &["export"], ""), export);
    assert_eq!(json(other.path(), &import), counts(0, 28));
    assert_eq!(data(other.path(), &["export"], ""), export);

    // The imported memory answers like the learned one, and a chat that is in it is not learned twice.
    for ask in [&["recall", "Which bird was at the Albufera?", "--json"][..], &["profile", "ines", "--json"]]
    {
        assert_eq!(json(other.path(), ask), json(home.path(), ask));
    }
    let chats = Path::new(env!("CARGO_MANIFEST_DIR")).join("eval/chats.jsonl");
    std::fs::copy(chats, other.path().join("atles_memory/spool/chats.jsonl")).unwrap();
    data(other.path(), &["run", "--once"], "");
    assert_eq!(data(other.path(), &["export"], ""), export);
}

#[test]
fn an_export_can_be_narrowed_read_and_trained_on() {
    let home = learned();
    let lines = |args: &[&str]| data(home.path(), args, "").lines().count();
    let of_ines = lines(&["export", "--user", "ines"]);
    assert!(of_ines > 0 && of_ines + lines(&["export", "--user", "theo"]) == 28);
    assert_eq!(lines(&["export", "--user", "nobody"]), 0);
    let late = lines(&["export", "--since", "2026-01-01"]);
    assert!(late > 0 && late < 28);
    assert_eq!(atles(home.path(), &["export", "--since", "soon"], "").status.code(), Some(2));

    let page = data(home.path(), &["export", "--format", "markdown", "--user", "ines"], "");
    assert!(page.starts_with("# ines") && page.contains("\n## ") && page.contains("\n> "), "{page}");
    let training = data(home.path(), &["export", "--format", "training"], "");
    let mut written = 0;
    for entry in std::fs::read_dir(home.path().join("atles_memory/training_data")).unwrap() {
        let path = entry.unwrap().path();
        // The folder beside them is the training set.
        if path.is_file() {
            written += std::fs::read_to_string(path).unwrap().lines().count();
        }
    }
    assert!(written > 0 && training.lines().count() == written);
    assert!(training.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["output"].is_string()));
}

#[test]
fn a_file_with_bad_lines_names_them_and_imports_nothing() {
    let home = learned();
    let export = data(home.path(), &["export"], "");
    let first = export.lines().find(|line| line.contains(r#""facts":[{"#)).unwrap();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut line: Value = serde_json::from_str(first).unwrap();
        change(&mut line);
        line.to_string()
    };
    let bad = [
        "no json".to_owned(),
        changed(&|it| it["facts"][0]["quote"]["text"] = "never said".into()),
        changed(&|it| it["facts"][0]["quote"]["message"] = 999.into()),
        changed(&|it| it["facts"][0]["quote"]["end"] = u64::MAX.into()),
        changed(&|it| it["facts"][0]["confidence"] = 7.into()),
        changed(&|it| it["key"] = "../../etc".into()),
        changed(&|it| it["start_time"] = "yesterday".into()),
        changed(&|it| it["topics"] = serde_json::json!({"a": 1})),
        changed(&|it| it["messages"][0]["role"] = "narrator".into()),
        changed(&|it| it["surprise"] = 1.into()),
        changed(&|it| it["atles_memory"] = 2.into()),
        changed(&|it| it["items"] = u64::MAX.into()),
    ];
    let other = fresh();
    let file = other.path().join("memory.jsonl");
    let text = format!("{first}\n\n{}\n", bad.join("\n"));
    std::fs::write(&file, text).unwrap();
    let output = atles(other.path(), &["import", "memory", file.to_str().unwrap()], "");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    for line in 3..3 + bad.len() {
        assert!(said.contains(&format!("memory.jsonl, line {line}: ")), "{line} is not named in\n{said}");
    }
    assert!(said.contains("nothing was imported: 12 lines are wrong"), "{said}");
    assert_eq!(data(other.path(), &["export"], ""), "");
}
