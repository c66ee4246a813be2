//! What a dropped session leaves behind.

use serde_json::{Value, json};

use crate::support::{Home, Pipeline, chat, numbered_chat, wait_until};

#[test]
fn a_dropped_session_is_learned_everywhere_and_rests_in_done() {
    let home = Home::new();
    let daemon = home.start();
    let question = "How do I read a large file line by line in Rust? I prefer short answers.";
    let answer = "Wrap the file in a BufReader and call lines() on it; each line is read as it is needed.";
    home.drop_file("rust.json", chat("rust-1", &[question, answer]));
    home.wait_done("rust.json");
    wait_until("the index has it", || home.is_indexed());
    daemon.stop();

    assert!(home.names("spool").is_empty() && home.names("work").is_empty() && home.failed().is_empty());
    assert_eq!(home.count("SELECT count(*) FROM sessions WHERE session_id = 'rust-1'"), 1);
    assert_eq!(
        home.count("SELECT count(*) FROM turns WHERE text LIKE '%BufReader%' AND role = 'assistant'"),
        1
    );
    assert!(home.count("SELECT count(*) FROM preferences_said WHERE quote LIKE '%short answers%'") >= 1);
    assert_eq!(home.count("SELECT count(*) FROM session_memories WHERE session_id = 'rust-1'"), 1);

    let [file] = &home.names("training_data")[..] else { panic!("{:?}", home.names("training_data")) };
    let stamp = file.strip_prefix("training_rust-1_").and_then(|rest| rest.strip_suffix(".jsonl")).unwrap();
    let plain: String = stamp.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(plain, "00000000_000000");
    assert_eq!(home.examples(), [json!({ "instruction": question, "output": answer, "context": "" })]);

    let logs = home.session_logs();
    let [(name, log)] = &logs[..] else { panic!("{logs:?}") };
    assert_eq!(*name, format!("session_log_rust-1_{stamp}.json"));
    let expected = json!({
        "session_id": "rust-1", "user_id": "ada", "start_time": "2026-04-01T10:00:00Z", "end_time": null,
        "messages_count": 2, "fine_tune_applied": false, "fine_tune_loss": null, "model_version": null,
        "errors": [], "file": "rust.json", "training_run": null,
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(log[field], *value, "{field}");
    }
    assert!(
        log["tokens_processed"].as_u64() > Some(20) && log["memory_items_created"].as_u64() >= Some(3),
        "{log}"
    );
    assert!(log["improvements"].as_array().unwrap().contains(&json!("1 training example")), "{log}");
    assert_eq!(log["key"].as_str().unwrap().len(), 64);
    let stages: Vec<&str> =
        log["stages"].as_array().unwrap().iter().map(|stage| stage["name"].as_str().unwrap()).collect();
    assert_eq!(stages, ["redact", "preferences", "memory", "training_data", "session_log"]);
    assert_eq!(home.master_log(), std::slice::from_ref(log));

    let statistics: Value =
        serde_json::from_slice(&std::fs::read(home.path("logs/daemon_stats.json")).unwrap()).unwrap();
    assert_eq!(statistics["sessions_processed"], 1);
    assert_eq!(statistics["total_messages"], 2);
    assert_eq!(statistics["total_memory_items"], log["memory_items_created"]);
    assert_eq!((&statistics["queue"], &statistics["sessions_failed"]), (&json!(0), &json!(0)));
    for field in ["total_fine_tunes", "uptime_hours", "last_updated", "start_time"] {
        assert!(!statistics[field].is_null(), "{field}: {statistics}");
    }
}

#[test]
fn each_format_is_told_by_its_shape() {
    let node = |id: &str, parent: Value, role: &str, text: &str| {
        json!({ "id": id, "parent": parent, "children": [], "message": {
            "id": id, "author": { "role": role }, "content": { "content_type": "text", "parts": [text] } } })
    };
    let chatgpt = json!([{
        "id": "gpt", "conversation_id": "gpt", "title": "Tea", "create_time": 1772449200.0, "current_node": "a",
        "mapping": { "q": node("q", Value::Null, "user", "Which tea?"), "a": node("a", json!("q"), "assistant", "Green.") },
    }]);
    let claude = json!([{
        "uuid": "claude-1", "name": "Tea", "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:05:05Z",
        "account": { "uuid": "acc" }, "chat_messages": [
            { "uuid": "m1", "sender": "human", "text": "Which tea?", "content": [], "created_at": "2026-01-02T03:04:06Z" },
            { "uuid": "m2", "sender": "assistant", "text": "Green.", "content": [], "created_at": "2026-01-02T03:04:07Z" },
        ],
    }]);
    let openai = json!({ "messages": [
        { "role": "user", "content": [{ "type": "text", "text": "Which tea?" }] },
        { "role": "assistant", "content": null, "tool_calls": [
            { "id": "c", "type": "function", "function": { "name": "look_up", "arguments": "{\"what\": \"tea\"}" } }] },
        { "role": "tool", "tool_call_id": "c", "content": "green" },
        { "role": "assistant", "content": "Green." },
    ] });
    let sharegpt = json!([{ "id": "share", "conversations": [
        { "from": "human", "value": "Which tea?" }, { "from": "gpt", "value": "Green." }] }]);
    let lines = "{\"role\": \"user\", \"content\": \"Which tea?\"}\n{\"role\": \"assistant\", \"content\": \"Green.\"}\n";
    let files = [
        ("atles", chat("native", &["Which tea?", "Green."])),
        ("chatgpt", chatgpt.to_string()),
        ("claude", claude.to_string()),
        ("openai", openai.to_string()),
        ("sharegpt", sharegpt.to_string()),
        ("jsonl", lines.to_owned()),
    ];
    let home = Home::new();
    for (format, content) in &files {
        home.drop_file(format!("{format}.json"), content);
    }
    // Only its own end tells a transcript's mistakes by line; its format is told by its shape.
    home.once(0);
    for (format, _) in &files {
        let sql = |what: &str| {
            format!("SELECT {what} FROM sessions s WHERE file = '{format}.json' AND format = '{format}'")
        };
        assert_eq!(home.count(&sql("count(*)")), 1, "{format}");
        let said =
            "(SELECT count(*) FROM messages m WHERE m.session = s.id AND m.text IN ('Which tea?', 'Green.'))";
        assert_eq!(home.count(&sql(said)), 2, "{format}");
    }
}

#[test]
fn a_file_with_many_conversations_is_one_session_each_and_one_bad_among_them_spoils_all() {
    let conversations = |bad: bool| {
        let mut list: Vec<Value> = (0..5)
            .map(|n| {
                json!({ "id": format!("c{n}-{bad}"), "conversations": [
                { "from": "human", "value": format!("Question {n}?") }, { "from": "gpt", "value": "Yes." }] })
            })
            .collect();
        if bad {
            list[3]["conversations"][0]["value"] = json!({ "not": "text" });
        }
        Value::from(list).to_string()
    };
    let home = Home::new();
    home.drop_file("good.json", conversations(false));
    home.drop_file("bad.json", conversations(true));
    home.once(3);
    assert_eq!((home.done(), home.failed()), (vec!["good.json".to_owned()], vec!["bad.json".to_owned()]));
    assert_eq!(home.count("SELECT count(*) FROM sessions"), 5, "all of one file, none of the other");
    let sidecar = home.sidecar("bad.json");
    assert_eq!(sidecar["stage"], "decode");
    assert!(sidecar["path"].as_str().unwrap().starts_with("[3].conversations[0]"), "{sidecar}");
}

#[test]
fn hundreds_of_files_at_once_are_all_learned_once() {
    const FILES: usize = 400;
    let home = Home::new();
    let daemon = home.start();
    for number in 0..FILES {
        home.drop_file(format!("{number}.json"), numbered_chat(number));
    }
    wait_until("all are done", || home.done().len() == FILES);
    wait_until("all small files are written", || home.logged() == FILES);
    let report = home.status();
    assert_eq!(report["totals"]["sessions"], FILES, "{report}");
    assert_eq!(report["totals"]["messages"], 2 * FILES);
    assert_eq!((&report["spool"], &report["work"], &report["failed"]), (&json!(0), &json!(0), &json!(0)));
    daemon.stop();
    assert_eq!(home.count("SELECT count(*) FROM sessions"), FILES as i64);
    assert_eq!(home.session_logs().len(), FILES);
}

#[test]
fn a_session_that_is_filtered_out_rests_in_done_and_nothing_of_it_is_kept() {
    let home = Home::with(&Pipeline::new().stage("kind = \"filter\"\nmin_messages = 2"));
    home.drop_file("short.json", chat("short", &["unmistakable words"]));
    home.drop_file("long.json", chat("long", &["a question", "an answer"]));
    home.once(0);
    assert_eq!(home.done(), ["long.json", "short.json"]);
    assert_eq!(home.count("SELECT count(*) FROM sessions"), 1);
    assert_eq!(home.master_log().len(), 1);
    let daemon = home.start();
    assert_eq!((home.total("filtered"), home.total("sessions")), (1, 1));
    daemon.stop();
}
