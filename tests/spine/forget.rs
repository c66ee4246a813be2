//! That what a user takes back is gone from every byte of the home, and does not come back.

use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Daemon, Home, Pipeline, files_below, numbered_chat, wait_until};

/// Words that stand nowhere but in what is to be forgotten.
const SECRET: &str = "zylophantic";
const OTHER_SECRET: &str = "quorbustle";

fn session(id: &str, user: &str, texts: &[&str]) -> Value {
    let roles = ["user", "assistant"].into_iter().cycle();
    let message = |(number, (role, text)): (usize, (&str, &&str))| json!({ "role": role, "content": text, "id": format!("{id}#{number}") });
    let messages: Vec<Value> = roles.zip(texts).enumerate().map(message).collect();
    json!({
        "session_id": id, "user_id": user, "app": "test", "title": format!("About {id}"),
        "start_time": "2026-04-01T10:00:00Z", "messages": messages,
    })
}

/// A chat that leaves something in every place: turns, a fact, a preference, an example, logs.
fn secret_chat(id: &str, user: &str) -> Value {
    let told =
        format!("I live in Zylophantic. I prefer {SECRET} tea. Which {SECRET} tea keeps one awake at night?");
    let answer =
        format!("The {SECRET} tea from the {OTHER_SECRET} hills has the most caffeine of the common teas.");
    session(
        id,
        user,
        &[
            &told,
            &answer,
            "And in the morning, which one would you take?",
            "Rooibos has no caffeine at all, and is sweet by itself.",
        ],
    )
}

fn plain_chat(id: &str, user: &str) -> Value {
    session(
        id,
        user,
        &[
            "I live in Ljubljana. Which river runs through it?",
            "The Ljubljanica runs through the middle of Ljubljana.",
        ],
    )
}

fn pipeline() -> Pipeline {
    Pipeline::new()
        .stage("kind = \"topics\"")
        .stage("kind = \"patterns\"")
        .stage("kind = \"facts\"")
        .section("[logs]\nlevel = \"debug\"")
}

/// The files of the home that hold a word, but for those below some folders.
fn holding(home: &Home, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for path in files_below(&home.path("")) {
        if fs::symlink_metadata(&path).is_ok_and(|it| it.is_file()) {
            let bytes = fs::read(&path).unwrap_or_default().to_ascii_lowercase();
            for word in words {
                if memchr::memmem::find(&bytes, word.to_ascii_lowercase().as_bytes()).is_some() {
                    found.push(format!("{}: {word}", path.display()));
                }
            }
        }
    }
    found
}

#[track_caller]
fn assert_gone(home: &Home, words: &[&str]) {
    let found = holding(home, words);
    assert!(found.is_empty(), "{found:#?}");
}

fn places(home: &Home, word: &str) -> usize {
    holding(home, &[word]).len()
}

/// A home with the secret chat alone in a file, another one of it in an export, and chats that stay.
fn learned() -> Home {
    let home = Home::with(&pipeline());
    home.drop_file("secret.json", secret_chat("secret-chat", "ada").to_string());
    home.drop_file("stays.json", plain_chat("stays", "ada").to_string());
    home.drop_file("bob.json", numbered_chat(7).replace("\"ada\"", "\"bob\""));
    let export =
        json!([plain_chat("first", "eve"), secret_chat("exported", "eve"), plain_chat("last", "eve")]);
    home.drop_file("export.json", export.to_string());
    home.once(0);
    // The index has every word, and what was overwritten lies about in the logs of both stores.
    assert_eq!(
        home.atles(&["recall", SECRET, "--json"]).expect(0).json().as_array().map(Vec::is_empty),
        Some(false)
    );
    assert!(places(&home, SECRET) >= 4, "{:?}", holding(&home, &[SECRET]));
    home
}

/// With a daemon that runs meanwhile, or without.
fn with_and_without_a_daemon(test: impl Fn(&Home, Option<Daemon<'_>>)) {
    for running in [false, true] {
        let home = learned();
        test(&home, running.then(|| home.start()));
    }
}

fn stopped(daemon: Option<Daemon<'_>>) {
    if let Some(daemon) = daemon {
        daemon.stop();
    }
}

#[test]
fn a_forgotten_session_stands_in_no_byte_of_the_home_and_does_not_come_back() {
    with_and_without_a_daemon(|home, daemon| {
        let plan =
            home.atles(&["forget", "--session", "secret-chat", "--dry-run", "--json"]).expect(0).json();
        assert_eq!((&plan["memory"]["sessions"], &plan["complete"]), (&json!(1), &json!(false)), "{plan}");
        assert!(places(home, "secret-chat") > 0, "a dry run changes nothing");
        assert!(home.names("receipts").is_empty());

        let receipt = home.atles(&["forget", "--session", "secret-chat", "--json"]).expect(0).json();
        assert_eq!(
            (&receipt["complete"], &receipt["memory"]["sessions"]),
            (&json!(true), &json!(1)),
            "{receipt}"
        );
        assert!(!receipt.to_string().contains("secret") && !receipt.to_string().contains("ada"), "{receipt}");
        home.atles(&["forget", "--session", "exported"]).expect(0);
        let gone = [SECRET, OTHER_SECRET, "secret-chat", "exported"];
        assert_gone(home, &gone);
        assert_eq!(home.done(), ["bob.json", "export.json", "stays.json"]);
        let export: Value =
            serde_json::from_slice(&fs::read(home.path("done/export.json")).unwrap()).unwrap();
        assert_eq!(
            export,
            json!([plain_chat("first", "eve"), plain_chat("last", "eve")]),
            "the rest as it was"
        );
        assert_eq!(home.count("SELECT count(*) FROM sessions"), 4);

        // The same file, and one that goes on, under other names.
        let again = |name: &str, chat: &Value| {
            home.drop_file(name, chat.to_string());
            if daemon.is_none() {
                home.once(0);
            }
            home.wait_done(name);
        };
        let mut longer = secret_chat("secret-chat", "ada");
        longer["messages"].as_array_mut().unwrap().push(json!({ "role": "user", "content": "And now?" }));
        again("again.json", &secret_chat("secret-chat", "ada"));
        again("longer.json", &longer);
        again("export-again.json", &json!([secret_chat("exported", "eve"), plain_chat("new", "eve")]));
        assert_gone(home, &[SECRET, OTHER_SECRET]);
        assert_eq!(home.count("SELECT count(*) FROM sessions"), 5, "only the new one");

        let id = receipt["id"].as_str().unwrap();
        home.atles(&["forget", "--allow", id]).expect(0);
        stopped(daemon);
        home.drop_file("allowed.json", secret_chat("secret-chat", "ada").to_string());
        home.once(0);
        assert_eq!(home.count("SELECT count(*) FROM sessions WHERE session_id = 'secret-chat'"), 1);
        assert!(places(home, SECRET) > 0);
    });
}

#[test]
fn everything_of_a_forgotten_user_goes_and_everything_of_others_stays() {
    with_and_without_a_daemon(|home, daemon| {
        let before = home.count("SELECT count(*) FROM messages m JOIN sessions s ON s.id = m.session JOIN users u ON u.id = s.user WHERE u.user_id = 'bob'");
        home.atles(&["forget", "--user", "eve"]).expect(0);
        home.atles(&["forget", "--user", "ada"]).expect(0);
        assert_gone(home, &[SECRET, OTHER_SECRET, "\"ada\"", "\"eve\"", "secret-chat", "exported"]);
        assert_eq!(home.done(), ["bob.json"]);
        assert_eq!(home.count("SELECT count(*) FROM users WHERE id > 0"), 1);
        assert_eq!(home.count("SELECT count(*) FROM messages"), before);
        assert_eq!((home.session_logs().len(), home.master_log().len(), home.examples().len()), (1, 1, 1));
        assert_eq!(home.atles(&["forget", "--user", "ada"]).code, Some(1), "nothing is left of it");
        home.drop_file("ada.json", plain_chat("new", "ada").to_string());
        stopped(daemon);
        home.once(0);
        assert_eq!(home.count("SELECT count(*) FROM sessions"), 2, "a user may come back with new chats");
    });
}

#[test]
fn the_turns_that_hold_some_words_go_and_their_sessions_stay() {
    with_and_without_a_daemon(|home, daemon| {
        let receipt = home.atles(&["forget", "--matching", "ZYLOphantic", "--json"]).expect(0).json();
        assert_eq!(receipt["complete"], true, "{receipt}");
        assert_eq!(receipt["memory"]["messages"], 4, "{receipt}");
        assert_gone(home, &[SECRET, OTHER_SECRET]);
        assert_eq!(home.count("SELECT count(*) FROM sessions"), 6);
        assert_eq!(home.count("SELECT count(*) FROM messages"), 16, "emptied turns keep their place");
        let hits =
            home.atles(&["recall", "rooibos in the morning", "--user", "ada", "--json"]).expect(0).json();
        let found = |hit: &Value| hit["message_index"] == 3 && hit["session_id"] == "secret-chat";
        assert!(hits.as_array().unwrap().iter().any(found), "the others are found as before: {hits}");

        for (name, extra) in [("again.json", None), ("longer.json", Some("Which one is from Assam?"))] {
            let mut chat = secret_chat("secret-chat", "ada");
            if let Some(text) = extra {
                chat["messages"].as_array_mut().unwrap().push(json!({ "role": "user", "content": text }));
            }
            home.drop_file(name, chat.to_string());
            if daemon.is_none() {
                home.once(0);
            }
            home.wait_done(name);
        }
        assert_gone(home, &[SECRET, OTHER_SECRET]);
        assert_eq!(home.count("SELECT count(*) FROM messages"), 17, "what the chat went on with is learned");
        stopped(daemon);
    });
}

#[test]
fn a_fact_goes_with_every_turn_that_states_it() {
    let home = learned();
    let mut later = session(
        "later",
        "ada",
        &["As I said, I live in Zylophantic.", "So you said before, I remember it well."],
    );
    later["start_time"] = json!("2026-05-01T10:00:00Z");
    home.drop_file("later.json", later.to_string());
    home.once(0);
    let sql = format!(
        "SELECT max(id) FROM facts WHERE value LIKE '%{SECRET}%' AND user = (SELECT id FROM users WHERE user_id = 'ada')"
    );
    let number = home.count(&sql);
    let id = number.to_string();
    let profile = home.atles(&["profile", "ada", "--json"]).expect(0).json();
    assert!(profile["facts"].as_array().unwrap().iter().any(|fact| fact["id"] == number), "{profile}");
    home.atles(&["forget", "--fact", &id]).expect(0);
    let sql =
        "SELECT count(*) FROM messages m JOIN sessions s ON s.id = m.session JOIN users u ON u.id = s.user
               WHERE u.user_id = 'ada' AND m.role = 0 AND m.text LIKE '%zylo%'";
    assert_eq!(home.count(sql), 0);
    assert!(
        !home.atles(&["profile", "ada", "--json"]).expect(0).json()["facts"].to_string().contains(SECRET)
    );
    assert!(places(&home, SECRET) > 0, "what others said, and what the assistant answered, stays");
    assert_eq!(home.atles(&["forget", "--fact", &id]).code, Some(1));
}

#[test]
fn what_waits_or_failed_is_forgotten_too_and_a_session_under_way_is_let_go_of() {
    let wait = "kind = \"exec\"\nname = \"wait\"\ncommand = [\"./wait.sh\"]\nwhen = \"session.session_id == 'slow'\"\n\
                retry = { attempts = 9, backoff = \"1h\", max_backoff = \"1h\" }";
    let home = Home::with(&pipeline().stage(wait));
    let gate = home.folder().join("open");
    home.script(
        "wait.sh",
        &format!("#!/bin/sh\n[ -e '{}' ] && exit 75\nwhile :; do sleep 0.05; done\n", gate.display()),
    );
    let daemon = home.start();
    home.drop_file("plain.json", plain_chat("plain", "bob").to_string());
    home.wait_done("plain.json");
    home.drop_file("broken.json", secret_chat("cut", "ada").to_string().trim_end_matches('}'));
    home.wait_failed("broken.json");
    home.drop_file("slow.json", secret_chat("slow", "ada").to_string());
    wait_until("it is under way", || home.status()["in_flight"] == 1);
    home.atles(&["forget", "--user", "ada"]).expect(0);
    assert_gone(&home, &[SECRET, OTHER_SECRET]);
    assert!(home.names("work").is_empty() && home.names("failed").is_empty());
    home.drop_file("more.json", plain_chat("more", "bob").to_string());
    home.wait_done("more.json");
    daemon.stop();
    assert_eq!(home.count("SELECT count(*) FROM sessions"), 2);
}

#[test]
fn model_versions_that_were_trained_on_it_are_marked_and_a_training_is_asked_for() {
    let home = learned();
    let key = |id: &str| {
        let lines = home.master_log();
        lines.iter().find(|line| line["session_id"] == id).unwrap()["key"].as_str().unwrap().to_owned()
    };
    let version = |name: &str, ids: &[&str]| {
        let dir = home.path("models").join(name);
        fs::create_dir_all(&dir).unwrap();
        let sessions: Vec<Value> = ids.iter().map(|id| json!({ "session_id": id, "key": key(id) })).collect();
        fs::write(dir.join("lineage.json"), json!({ "sessions": sessions, "other": 1 }).to_string()).unwrap();
        let held_out = json!({ "instruction": SECRET, "session_id": "secret-chat" });
        fs::write(dir.join("held_out.jsonl"), format!("{held_out}\n{}\n", json!({ "instruction": "stays" })))
            .unwrap();
    };
    version("v0001", &["stays"]);
    version("v0002", &["stays", "secret-chat"]);
    let run = home.path("models/run/work");
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join("train.jsonl"), SECRET).unwrap();
    fs::write(home.path("models/v0001/Modelfile"), format!("SYSTEM {SECRET}")).unwrap();
    let set = home.path("training_data/set");
    fs::create_dir_all(&set).unwrap();
    let line = |id: &str, text: &str| {
        format!("{}\n", json!({ "session_id": id, "key": key(id), "instruction": text }))
    };
    fs::write(set.join("train.jsonl"), line("secret-chat", SECRET) + &line("stays", "a river")).unwrap();
    let planned = home.atles(&["forget", "--session", "secret-chat", "--dry-run", "--json"]).expect(0).json();
    let answers = home.path("state/extracted").join(planned["sessions"][0]["identity"].as_str().unwrap());
    fs::create_dir_all(&answers).unwrap();
    fs::write(answers.join("a.json"), SECRET).unwrap();
    let receipt = home.atles(&["forget", "--session", "secret-chat", "--json"]).expect(0).json();
    home.atles(&["forget", "--session", "exported"]).expect(0);
    assert_eq!(receipt["tainted"], json!(["v0002"]));
    assert_gone(&home, &[SECRET, "secret-chat"]);
    assert!(!home.path("models/v0001/tainted.json").exists());
    let mark: Value =
        serde_json::from_slice(&fs::read(home.path("models/v0002/tainted.json")).unwrap()).unwrap();
    assert_eq!((&mark["receipt"], &mark["sessions"]), (&receipt["id"], &json!(1)));
    let wish: Value = serde_json::from_slice(&fs::read(home.path("models/retrain.json")).unwrap()).unwrap();
    assert_eq!(wish["versions"], json!(["v0002"]));
    assert_eq!(fs::read_to_string(set.join("train.jsonl")).unwrap().lines().count(), 1);
}

#[test]
fn forgetting_that_broke_off_is_finished_by_the_next_start() {
    let home = learned();
    // Where a file stands in the way of a folder, the state store cannot be written anew.
    fs::write(home.path("state/sled.fresh"), "in the way").unwrap();
    assert_eq!(home.atles(&["forget", "--matching", SECRET]).code, Some(1));
    let receipts = || -> Vec<Value> {
        let read = |name: &String| fs::read(home.path("receipts").join(name)).unwrap();
        home.names("receipts").iter().map(|name| serde_json::from_slice(&read(name)).unwrap()).collect()
    };
    assert_eq!(receipts()[0]["complete"], false);
    fs::remove_file(home.path("state/sled.fresh")).unwrap();
    home.once(0);
    assert_eq!((receipts().len(), &receipts()[0]["complete"]), (1, &json!(true)));
    assert_gone(&home, &[SECRET, OTHER_SECRET]);
}

#[test]
fn a_kill_at_any_moment_leaves_nothing_that_the_next_start_does_not_finish() {
    for delay in [2, 8, 15, 25, 40, 60, 90] {
        let home = learned();
        let mut child = home.command().args(["forget", "--matching", SECRET]).spawn().unwrap();
        std::thread::park_timeout(Duration::from_millis(delay));
        child.kill().unwrap();
        child.wait().unwrap();
        let begun = home.path("state/forget.json").exists() || !home.names("receipts").is_empty();
        home.once(0);
        if !begun {
            home.atles(&["forget", "--matching", SECRET]).expect(0);
        }
        assert_gone(&home, &[SECRET, OTHER_SECRET]);
        assert_eq!(home.count("SELECT count(*) FROM sessions"), 6, "after {delay} ms");
        home.drop_file("again.json", secret_chat("secret-chat", "ada").to_string());
        home.once(0);
        assert_gone(&home, &[SECRET, OTHER_SECRET]);
    }
}

#[test]
fn a_session_of_several_users_is_not_guessed_and_nothing_is_an_error_with_a_hint() {
    let home = Home::with(&pipeline());
    home.drop_file("a.json", plain_chat("same", "ada").to_string());
    home.drop_file("b.json", numbered_chat(1).replace("chat-1", "same").replace("\"ada\"", "\"bob\""));
    home.once(0);
    let said = home.atles(&["forget", "--session", "same"]).expect(1);
    assert!(said.err.contains("2 users") && said.err.contains("--user"), "{}", said.err);
    home.atles(&["forget", "--session", "same", "--user", "bob"]).expect(0);
    assert_eq!(home.done(), ["a.json"]);
    for (args, code) in [
        (vec!["forget"], 2),
        (vec!["forget", "--matching", "a "], 2),
        (vec!["forget", "--session", "never"], 1),
        (vec!["forget", "--fact", "123456789"], 1),
        (vec!["forget", "--allow", "../../etc/passwd"], 1),
    ] {
        assert_eq!(home.atles(&args).code, Some(code), "{args:?}");
    }
    assert_eq!(home.count("SELECT count(*) FROM sessions"), 1);
}

fn below(folder: &Path) -> usize {
    files_below(folder).len()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 8, ..ProptestConfig::default() })]
    /// Whatever was said by whom, in files of one chat or many: what is forgotten is in no file, the rest still is.
    #[test]
    fn what_is_forgotten_is_in_no_file_and_the_rest_is_where_it_was(
        chats in proptest::collection::vec((0..3usize, 1..4usize, any::<bool>()), 2..7),
        which in 0..3usize,
        by_words in any::<bool>(),
    ) {
        let home = Home::with(&pipeline());
        let word = |user: usize| format!("wxq{}v{user}z", ["ab", "cd", "ef"][user]);
        let users = ["u-one", "u-two", "u-three"];
        let mut export = Vec::new();
        for (number, (user, turns, alone)) in chats.iter().enumerate() {
            let texts: Vec<String> = (0..2 * turns)
                .map(|turn| format!("Turn {turn} of chat {number} is about {} and a kettle, a ferry and glaciers.", word(*user)))
                .collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let chat = session(&format!("id-{number}"), users[*user], &texts);
            if *alone { home.drop_file(format!("{number}.json"), chat.to_string()) } else { export.push(chat) }
        }
        if !export.is_empty() {
            home.drop_file("export.json", Value::Array(export).to_string());
        }
        home.once(0);
        let met = chats.iter().any(|(user, ..)| *user == which);
        let what = if by_words { ["--matching", &word(which)].map(str::to_owned) } else { ["--user", users[which]].map(str::to_owned) };
        let said = home.atles(&["forget", &what[0], &what[1]]);
        prop_assert_eq!(said.code, Some(i32::from(!met)), "{:?}", said);
        let found = holding(&home, &[&word(which)]);
        prop_assert!(found.is_empty(), "{:#?}", found);
        for user in (0..3).filter(|user| *user != which) {
            let turns: usize = chats.iter().filter(|chat| chat.0 == user).map(|chat| 2 * chat.1).sum();
            let sql = format!("SELECT count(*) FROM messages WHERE text LIKE '%{}%'", word(user));
            prop_assert_eq!(home.count(&sql), turns as i64);
        }
        prop_assert!(below(&home.path("")) > 0);
    }
}
