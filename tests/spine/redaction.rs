//! That nothing of a secret, and nobody but the user, gets at what was said.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use serde_json::json;

use crate::support::{Home, Pipeline, files_below, numbered_chat, wait_until};

/// Secrets and personal data, put together at run time so that no scanner takes this file for a leak.
fn secrets() -> Vec<String> {
    vec![
        format!("AKIA{}", "IOSFODNN7EXAMPLQ"),
        format!("ghp_{}", "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6"),
        format!("xoxb-{}", "1234567890-0987654321-AbCdEfGhIjKlMnOpQrStUvWx"),
        format!("postgres://shop:{}@db.internal:5432/shop", "s3cr3t-Passw0rd-77"),
        "maren.lindqvist@fjordmail.example".to_owned(),
        "DE89 3704 0044 0532 0130 00".to_owned(),
        "4111 1111 1111 1111".to_owned(),
    ]
}

/// A chat with each secret where chat apps put text: in messages, in parts, in calls of tools, in notes.
fn leaky_chat() -> String {
    let secrets = secrets();
    let [aws, github, slack, database, mail, iban, card] = &secrets[..] else { unreachable!() };
    json!({
        "session_id": "leaky", "user_id": "ada", "app": "test", "title": format!("Help with {database}"),
        "metadata": { "draft": format!("token {github}"), "nested": { "list": [slack, { "mail": mail }] } },
        "messages": [
            { "role": "system", "content": format!("The user is {mail}.") },
            { "role": "user", "content": format!("Why is {aws} rejected? My password is in {database}, I prefer short answers.") },
            { "role": "assistant", "content": [{ "type": "text", "text": format!("Never paste {aws} into a chat; revoke {github} too.") }] },
            { "role": "assistant", "content": null, "tool_calls": [{ "id": "c1", "type": "function", "function": {
                "name": "charge", "arguments": json!({ "card": card, "iban": iban, "token": slack }).to_string() } }] },
            { "role": "tool", "tool_call_id": "c1", "name": "charge", "content": json!({ "from": iban, "to": mail }).to_string() },
            { "role": "user", "content": format!("Thanks. Send it to {mail}, the card is {card}."), "metadata": { "clipboard": slack } },
            { "role": "assistant", "content": "I have sent the receipt there and charged the card that you named." },
        ],
    })
    .to_string()
}

/// The files below a folder, but for one, that hold any of the texts.
fn leaks(folder: &Path, but: &Path, texts: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for path in files_below(folder).into_iter().filter(|path| !path.starts_with(but)) {
        if fs::symlink_metadata(&path).unwrap().file_type().is_socket() {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        for text in texts {
            if memchr::memmem::find(&bytes, text.as_bytes()).is_some() {
                found.push(format!("{} holds {text}", path.display()));
            }
        }
    }
    found
}

/// Each secret, and what it is known by if it was reshaped.
fn traces() -> Vec<String> {
    let mut traces = secrets();
    traces.extend(["s3cr3t-Passw0rd-77".into(), "DE89370400440532013000".into(), "4111111111111111".into()]);
    traces
}

#[test]
fn no_secret_of_a_session_is_in_any_file_but_the_original() {
    let home = Home::with(&Pipeline::new().section("[logs]\nlevel = \"trace\""));
    let daemon = home.start();
    home.drop_file("leaky.json", leaky_chat());
    home.wait_done("leaky.json");
    wait_until("all is written", || home.status()["undelivered"] == 0 && home.session_logs().len() == 1);
    let found = leaks(home.folder(), &home.path("done"), &traces());
    assert!(found.is_empty(), "while it runs: {found:#?}");
    assert!(
        !leaks(&home.path("done"), Path::new("/-"), &traces()).is_empty(),
        "the original stays as it was"
    );
    assert!(home.total("redactions") >= 7);
    daemon.stop();
    let found = leaks(home.folder(), &home.path("done"), &traces());
    assert!(found.is_empty(), "after the end: {found:#?}");
    assert!(!home.words().contains(&secrets()[0]));
    assert!(home.count("SELECT count(*) FROM messages") == 7, "and yet it was learned");
}

#[test]
fn with_redacted_originals_no_secret_is_left_anywhere() {
    let home =
        Home::with(&Pipeline::new().edit("kind = \"redact\"", "kind = \"redact\"\noriginals = \"redact\""));
    home.drop_file("leaky.json", leaky_chat());
    home.once(0);
    assert_eq!(home.done(), ["leaky.json"]);
    let found = leaks(home.folder(), Path::new("/-"), &traces());
    assert!(found.is_empty(), "{found:#?}");
    let original = fs::read(home.path("done/leaky.json")).unwrap();
    let original: serde_json::Value = serde_json::from_slice(&original).expect("still JSON");
    assert_eq!(
        (&original["session_id"], original["messages"].as_array().unwrap().len()),
        (&json!("leaky"), 7)
    );
}

#[test]
fn a_sidecar_and_the_log_never_quote_a_chat_that_could_not_be_read() {
    let home = Home::with(&Pipeline::new().section("[logs]\nlevel = \"trace\""));
    let chat = leaky_chat();
    home.drop_file("cut.json", &chat[..chat.len() - 3]);
    home.drop_file("shape.json", chat.replace("\"role\":\"user\"", "\"role\":{\"is\":\"user\"}"));
    home.drop_file("latin.json", [chat.as_bytes(), b"\xff"].concat());
    let said = home.once(3);
    assert_eq!(home.failed(), ["cut.json", "latin.json", "shape.json"]);
    for name in home.failed() {
        let sidecar = home.sidecar(&name).to_string();
        assert!(!traces().iter().any(|trace| sidecar.contains(trace.as_str())), "{sidecar}");
    }
    for text in [&said.err, &fs::read_to_string(home.path("logs/daemon.log")).unwrap()] {
        assert!(!traces().iter().any(|trace| text.contains(trace.as_str())), "{text}");
    }
}

#[test]
fn folders_and_files_of_a_home_are_private_whatever_they_were_dropped_as() {
    let home = Home::new();
    // A home of its own making: nothing was there before.
    fs::remove_dir_all(home.path("")).unwrap();
    home.atles(&["status"]).expect(4);
    let daemon = home.start();
    for (name, text) in [("a.json", numbered_chat(1)), ("bad.json", "[]".to_owned())] {
        home.drop_file(name, text);
    }
    home.wait_done("a.json");
    home.wait_failed("bad.json");
    home.drop_file("b.json", numbered_chat(2));
    home.wait_done("b.json");
    daemon.stop();
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
    let mut open = Vec::new();
    for path in files_below(&home.path("")) {
        if mode(&path) != 0o600 {
            open.push(format!("{:o} {}", mode(&path), path.display()));
        }
    }
    for folder in
        ["", "spool", "work", "done", "failed", "logs", "training_data", "state", "state/sled", "models"]
    {
        if mode(&home.path(folder)) != 0o700 {
            open.push(format!("{:o} {folder}", mode(&home.path(folder))));
        }
    }
    assert!(open.is_empty(), "{open:#?}");
}
