//! The commands: what they say where, and how they end.

use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::support::{Home, Pipeline, chat, numbered_chat, said, said_with_input, wait_until};

const TEA: [&str; 2] = ["Which tea keeps one awake?", "Black tea has the most caffeine of the common teas."];

#[test]
fn init_writes_a_pipeline_that_is_good_and_never_overwrites_one() {
    let home = Home::with_text("");
    let folder = home.folder().join("mine");
    let init = || said(home.command().arg("init").arg(&folder));
    let first = init().expect(0);
    assert!(first.out.is_empty() && first.err.contains("wrote ") && first.err.contains("spool"), "{first:?}");
    let config = folder.join("pipeline.toml");
    let check = said(home.command().arg("check").arg("--config").arg(&config)).expect(0);
    assert!(check.out.is_empty() && check.err.contains("is good"), "{check:?}");

    fs::write(&config, "version = 1\n[[stage]]\nkind = \"decode\"\n[[stage]]\nkind = \"redact\"\n").unwrap();
    let again = init().expect(0);
    assert!(again.err.contains("stays as it is"), "{}", again.err);
    assert!(fs::read_to_string(&config).unwrap().len() < 100);
}

#[test]
fn the_config_is_found_by_flag_then_variable_then_folder_then_the_users_own() {
    let home = Home::new();
    let elsewhere = TempDir::new().unwrap();
    let named = |command: &mut std::process::Command| {
        said(command.args(["status", "--json"])).expect(4).json()["home"].clone()
    };
    let own = json!(home.path("").to_string_lossy().trim_end_matches('/'));
    let other = Home::new();
    let other_home = json!(other.path("").to_string_lossy().trim_end_matches('/'));

    assert_eq!(named(&mut home.command()), own, "by $ATLES_CONFIG");
    let mut flag = home.command();
    assert_eq!(named(flag.arg("--config").arg(other.config())), other_home, "--config comes first");
    let mut here = home.command();
    here.env_remove("ATLES_CONFIG").current_dir(other.folder());
    assert_eq!(named(&mut here), other_home, "in the current folder");
    fs::create_dir_all(elsewhere.path().join("xdg/atles")).unwrap();
    fs::copy(home.config(), elsewhere.path().join("xdg/atles/pipeline.toml")).unwrap();
    let mut users = home.command();
    users
        .env_remove("ATLES_CONFIG")
        .env("XDG_CONFIG_HOME", elsewhere.path().join("xdg"))
        .current_dir(elsewhere.path());
    let users = named(&mut users);
    assert!(users.as_str().unwrap().contains("xdg/atles"), "{users}");

    let mut none = home.command();
    none.env_remove("ATLES_CONFIG").current_dir(elsewhere.path());
    let none = said(none.arg("status")).expect(78);
    assert!(
        none.out.is_empty() && none.err.contains("there is no pipeline.toml") && none.err.contains("init"),
        "{none:?}"
    );
    let missing = said(home.command().args(["--config", "/nowhere/pipeline.toml", "status"])).expect(78);
    assert!(missing.err.contains("/nowhere/pipeline.toml"), "{}", missing.err);
}

#[test]
fn a_bad_pipeline_is_told_in_full_by_every_command_that_needs_it() {
    let text = "version = 1\n[spool]\nsettel = \"1s\"\nmax_size = \"big\"\n[[stage]]\nkind = \"decode\"\n[[stage]]\n\
                kind = \"redcat\"\n[[stage]]\nkind = \"exec\"\n";
    let home = Home::with_text(text);
    let said = home.atles(&["check"]).expect(78);
    assert!(said.out.is_empty());
    for problem in [
        "settel",
        "settle",
        "max_size",
        "redcat",
        "redact",
        "command",
        "pipeline.toml:3:",
        "pipeline.toml:8:",
    ] {
        assert!(said.err.contains(problem), "{problem} is missing: {}", said.err);
    }
    let list = home.atles(&["check", "--json"]).expect(78).json();
    let errors = list.as_array().unwrap().iter().filter(|problem| problem["severity"] == "error").count();
    assert!(errors >= 4, "{list:#}");
    for args in [&["run", "--once"][..], &["status"], &["failed", "list"], &["submit", "x.json"]] {
        assert_eq!(home.atles(args).code, Some(78), "{args:?}");
    }
    assert!(!home.path("memory.db").exists() && !home.path("work").exists(), "nothing was begun");
}

#[test]
fn a_rehearsal_shows_each_stage_and_changes_nothing() {
    let exec = "kind = \"exec\"\nname = \"mood\"\ncommand = [\"./mood.sh\"]";
    let home = Home::with(&Pipeline::new().stage(exec));
    home.script("mood.sh", &format!("#!/bin/sh\ntouch '{}'\n", home.folder().join("ran").display()));
    home.drop_file("known.json", chat("known", &TEA));
    home.once(0);
    fs::remove_file(home.folder().join("ran")).unwrap();
    let (good, bad) = (home.folder().join("good.json"), home.folder().join("bad.json"));
    fs::write(&good, chat("new", &["I prefer green tea. Write to maren@fjordmail.example", TEA[1]])).unwrap();
    fs::write(&bad, "{\"messages\": 7}").unwrap();

    let before = home.fingerprint();
    let rehearse = |file: &Path| said(home.command().args(["check", "--dry-run"]).arg(file));
    let said_good = rehearse(&good).expect(0);
    for word in [
        "decode",
        "redact",
        "preferences",
        "mood",
        "would run",
        "memory",
        "training_data",
        "session_log",
        "green tea",
    ] {
        assert!(said_good.out.contains(word), "{word} is missing: {}", said_good.out);
    }
    assert!(!said_good.out.contains("maren@"), "{}", said_good.out);
    let said_bad = rehearse(&bad).expect(3);
    assert!(said_bad.out.contains("would fail"), "{}", said_bad.out);
    assert_eq!(rehearse(Path::new("/nowhere.json")).code, Some(1));
    assert_eq!(home.fingerprint(), before, "no file was made, changed or removed");
}

#[test]
fn submit_copies_files_and_standard_input_into_the_spool() {
    let home = Home::new();
    let folder = home.folder().join("files");
    fs::create_dir(&folder).unwrap();
    for (number, name) in ["one.json", "two.txt"].iter().enumerate() {
        fs::write(folder.join(name), numbered_chat(number)).unwrap();
    }
    let mut submit = home.command();
    let files = said(
        submit
            .arg("submit")
            .arg(folder.join("one.json"))
            .arg(folder.join("two.txt"))
            .arg(folder.join("one.json")),
    );
    let files = files.expect(0);
    assert_eq!(files.out.lines().count(), 3, "each path on a line: {}", files.out);
    assert!(files.out.lines().all(|path| Path::new(path).exists()) && files.err.is_empty(), "{files:?}");
    let mut submit = home.command();
    let input = said_with_input(submit.args(["submit", "-"]), numbered_chat(2).as_bytes()).expect(0);
    assert_eq!(input.out.lines().count(), 1);
    let missing = home.atles(&["submit", "/nowhere.json"]).expect(1);
    assert!(missing.out.is_empty() && missing.err.contains("/nowhere.json"), "{missing:?}");
    home.once(0);
    assert_eq!(home.done().len(), 4);
    assert_eq!(home.count("SELECT count(*) FROM sessions"), 3, "the copy of the first is a duplicate");
    assert!(folder.join("one.json").exists(), "copied, not moved");
}

#[test]
fn status_tells_the_folders_without_a_daemon_and_asks_one_that_runs() {
    let home = Home::new();
    home.drop_file("a.json", chat("a", &TEA));
    home.drop_file("bad.json", "[]");
    let before = home.atles(&["status", "--json"]).expect(4).json();
    assert_eq!(
        (&before["running"], &before["spool"], &before["totals"]),
        (&json!(false), &json!(2), &json!(null))
    );
    home.once(3);
    let stopped = home.atles(&["status"]).expect(4);
    assert!(
        stopped.out.contains("stopped")
            && stopped.out.contains("1  in done")
            && stopped.out.contains("1  in failed")
    );

    let daemon = home.start();
    let report = home.atles(&["status", "--json"]).expect(0).json();
    assert_eq!((&report["pid"], &report["watcher"]), (&json!(daemon.pid()), &json!("native")));
    assert_eq!(
        (&report["done"], &report["failed"], &report["totals"]["sessions"]),
        (&json!(1), &json!(1), &json!(1))
    );
    let page = home.atles(&["status"]).expect(0);
    assert!(page.out.contains(&format!("process {}", daemon.pid())) && page.err.is_empty(), "{page:?}");
    assert!(page.out.contains("redact → preferences → memory"), "{}", page.out);
    daemon.kill();
    // Its socket is still there; nobody answers.
    assert!(home.path("control.sock").exists());
    home.atles(&["status"]).expect(4);
    home.start().stop();
}

#[test]
fn dead_letters_are_listed_shown_and_put_back() {
    let home = Home::new();
    assert!(home.atles(&["failed", "list"]).expect(0).out.is_empty());
    home.drop_file("cut.json", "{\n  \"messages\": [}");
    home.drop_file("shape.json", "{\"theme\": \"dark\"}");
    home.once(3);

    let list = home.atles(&["failed", "list"]).expect(0);
    assert!(
        list.out.contains("cut.json\n    decode: ") && list.out.contains("(line 2, column 16)"),
        "{}",
        list.out
    );
    assert!(list.err.contains("2 dead letters"), "{}", list.err);
    let json = home.atles(&["failed", "list", "--json"]).expect(0).json();
    assert_eq!(
        (&json[0]["name"], &json[0]["line"], &json[1]["kind"]),
        (&json!("cut.json"), &json!(2), &json!("wrong_shape"))
    );

    let show = home.atles(&["failed", "show", "cut.json"]).expect(0);
    assert!(
        show.out.contains("line 2, column 16") && show.out.contains("to do") && show.out.contains("try 1"),
        "{}",
        show.out
    );
    let raw = home.atles(&["failed", "show", "--json", "failed/cut.json.error.json"]).expect(0).json();
    assert_eq!(raw, home.sidecar("cut.json"));
    let none = home.atles(&["failed", "show", "nothing.json"]).expect(1);
    assert!(none.err.contains("nothing.json") && none.err.contains("hint:"), "{}", none.err);

    // Mended in place, while the daemon runs.
    let daemon = home.start();
    assert_eq!(home.total("failed"), 2);
    fs::write(home.path("failed/cut.json"), chat("cut", &TEA)).unwrap();
    home.atles(&["failed", "retry", "cut.json"]).expect(0);
    home.wait_done("cut.json");
    assert_eq!((home.total("failed"), home.total("sessions")), (1, 1));
    assert!(!home.path("failed/cut.json.error.json").exists());
    // Not mended: it is back in a moment.
    home.atles(&["failed", "retry", "--all"]).expect(0);
    wait_until("it failed again", || home.failed() == ["shape.json"] && home.total("failed") == 1);
    daemon.stop();
}

#[test]
fn usage_is_told_on_stderr_and_help_on_stdout() {
    let home = Home::new();
    for args in [
        &["no-such-verb"][..],
        &[],
        &["run", "--twice"],
        &["failed", "retry"],
        &["check", "--json", "--dry-run", "x"],
    ] {
        let said = home.atles(args).expect(2);
        assert!(said.out.is_empty() && said.err.contains("Usage"), "{args:?}: {said:?}");
    }
    let help = home.atles(&["--help"]).expect(0);
    for verb in ["init", "check", "run", "demo", "submit", "status", "failed", "completions"] {
        assert!(help.out.contains(&format!("\n  {verb} ")), "{verb}: {}", help.out);
    }
    assert!(help.err.is_empty());
    let version = home.atles(&["--version"]).expect(0);
    assert_eq!(version.out, format!("atles {}\n", env!("CARGO_PKG_VERSION")));
    for shell in ["bash", "zsh", "fish"] {
        let said = home.atles(&["completions", shell]).expect(0);
        assert!(said.out.contains("atles") && said.out.contains("dry-run") && said.err.is_empty(), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let home = Home::new();
    let command = format!(
        "'{}' completions bash | head -n 1 > /dev/null; exit ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_atles")
    );
    let mut shell = std::process::Command::new("bash");
    let said = said(shell.args(["-c", &command]).env_clear().env("PATH", std::env::var_os("PATH").unwrap()));
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    drop(home);
}
