//! `atles run -- COMMAND`: an app in the foreground, and a daemon that learns from it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Home, Pipeline, Said, chat, program, said, said_with_input, wait_until};

fn home() -> Home {
    // Far longer than any test: what an app leaves behind is learned at its end, not after a silence.
    Home::with(&Pipeline::new().spool("live_timeout", "\"1h\"").stage("kind = \"facts\""))
}

/// `atles run OPTIONS -- python3 -c CODE`, with the client at hand.
fn python(home: &Home, options: &[&str], code: &str) -> Command {
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/python");
    let mut command = home.command();
    command.env("PYTHONPATH", client).env("HOME", home.folder());
    command.arg("run").args(options).args(["--", "python3", "-c", code]);
    command
}

fn shell(home: &Home, script: &str) -> Command {
    let mut command = home.command();
    command.args(["run", "--", "sh", "-c", script]);
    command
}

fn is_running(home: &Home) -> bool {
    home.status()["running"] == true
}

#[test]
fn an_app_is_learned_from_with_no_daemon_running_and_none_runs_afterwards() {
    let home = home();
    let code = "from atles_client import SessionTracker\nimport os, sys\n\
                t = SessionTracker(user_id='ada'); t.log_message('user', 'I live in Lisbon.')\n\
                t.log_message('assistant', 'Noted.'); t.end_session()\n\
                print('hello', sys.stdin.read()); sys.exit(7)";
    let said = said_with_input(&mut python(&home, &[], code), b"terminal").expect(7);
    assert_eq!(said.out, "hello terminal\n", "stdin and stdout are the app's");
    assert_eq!(said.err, "learned 1 session: 2 messages, 1 fact, 0 preferences\n  ada: lives_in = Lisbon\n");
    assert!(!is_running(&home));
    assert_eq!((home.done().len(), home.names("spool").len()), (1, 0));
}

#[test]
fn an_app_that_is_killed_is_learned_from_as_soon_as_it_is_dead() {
    let home = home();
    let code = "from atles_client import SessionTracker\nimport os\n\
                t = SessionTracker(user_id='ada'); t.log_message('user', 'I live in Lisbon.')\n\
                os.kill(os.getpid(), 9)";
    let said = said(&mut python(&home, &[], code)).expect(128 + 9);
    assert!(said.err.contains("ada: lives_in = Lisbon"), "{}", said.err);
    assert!(home.done()[0].starts_with("completed_live-"), "{:?}", home.done());
}

#[test]
fn only_what_the_app_itself_said_is_told() {
    let home = home();
    let daemon = home.start();
    let script = "cp other completed_other-00112233445566ff.json && mv completed_other-* $ATLES_SPOOL/ && \
                  cp plain $ATLES_SPOOL/.plain && mv $ATLES_SPOOL/.plain $ATLES_SPOOL/plain.json";
    std::fs::write(home.folder().join("other"), chat("other", &["I live in Porto.", "Fine."])).unwrap();
    std::fs::write(home.folder().join("plain"), chat("plain", &["My name is Ada.", "Hello."])).unwrap();
    let said = said(&mut shell(&home, script)).expect(0);
    assert!(said.err.contains("ada: name = Ada") && !said.err.contains("Porto"), "{}", said.err);
    home.wait_done("completed_other-00112233445566ff.json");
    assert!(is_running(&home), "a daemon that ran before runs on");
    daemon.stop();
}

#[test]
fn what_cannot_be_learned_is_told_and_the_status_is_still_the_apps() {
    let home = home();
    let said = said(&mut shell(&home, "echo '{\"colour\": 1}' > $ATLES_SPOOL/bad.json")).expect(0);
    assert!(said.err.contains("not learned: bad.json: decode:"), "{}", said.err);
}

#[test]
fn a_daemon_that_was_started_may_be_kept() {
    for option in ["--keep", "--no-wait"] {
        let home = home();
        let said: Said = said(&mut python(&home, &[option], "pass")).expect(0);
        wait_until("the daemon runs", || is_running(&home) && home.status()["pid"].is_u64());
        let told = if option == "--keep" { "nothing new was learned\n" } else { "" };
        assert_eq!(said.err, told);
        let pid = home.status()["pid"].to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        wait_until("it ends", || !is_running(&home));
    }
}

#[test]
fn signals_reach_the_app_and_it_decides_what_becomes_of_them() {
    let home = home();
    for (signal, number) in [("TERM", 5), ("INT", 6), ("HUP", 7)] {
        let script = format!(
            "trap 'exit {number}' {signal}; echo $$ > pid.new; mv pid.new pid; while :; do sleep 0.02; done"
        );
        let mut command = shell(&home, &script);
        let mut child = command.current_dir(home.folder()).stderr(Stdio::null()).spawn().unwrap();
        let pid = home.folder().join("pid");
        wait_until("the app runs", || pid.exists());
        let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(child.wait().unwrap().code(), Some(number), "{signal}");
        std::fs::remove_file(pid).unwrap();
    }
    assert!(!is_running(&home));
}

#[test]
fn the_terminal_is_the_apps_and_a_ctrl_c_typed_in_it_reaches_the_app_once() {
    let home = home();
    home.script(
        "app.sh",
        "#!/bin/sh\ntrap 'echo hit >> hits' INT\n[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo yes > terminal\n\
         while [ ! -e over ]; do sleep 0.02; done\nexit 9\n",
    );
    // Without `script` there is no terminal to be had.
    let mut terminal = home.command_of(Command::new("script"));
    let line = format!("exec '{}' run -- ./app.sh", program().display());
    terminal.args(["-qec", &line, "/dev/null"]).current_dir(home.folder()).stdin(Stdio::piped());
    let Ok(mut terminal) = terminal.spawn() else { return };
    let mut keyboard = terminal.stdin.take().unwrap();
    let file = |name: &str| home.folder().join(name);
    wait_until("the app has the terminal", || file("terminal").exists());
    keyboard.write_all(b"\x03").unwrap();
    wait_until("Ctrl-C reaches the app", || file("hits").exists());
    std::fs::write(file("over"), "").unwrap();
    assert_eq!(terminal.wait().unwrap().code(), Some(9));
    assert_eq!(std::fs::read_to_string(file("hits")).unwrap(), "hit\n");
    wait_until("no daemon is left", || !is_running(&home));
}

#[test]
fn an_app_that_is_not_there_is_told_as_shells_do() {
    let home = home();
    let mut command = home.command();
    let said = said(command.args(["run", "--", "no-such-app"])).expect(127);
    assert!(said.err.contains("cannot start no-such-app"), "{}", said.err);
    wait_until("no daemon is left", || !is_running(&home));
    home.atles(&["run", "--once", "--", "true"]).expect(2);
    home.atles(&["run", "--keep"]).expect(2);
}
