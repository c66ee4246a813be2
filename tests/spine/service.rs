//! `atles service` and the script for a double click.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Home, said, wait_until};

#[test]
fn print_shows_what_would_be_done_and_does_nothing() {
    let home = Home::new();
    let before = home.fingerprint();
    let atles = |words: &[&str]| {
        let mut command = home.command();
        said(command.env("HOME", home.folder()).arg("service").args(words))
    };
    let shown = atles(&["install", "--print", "--name", "mine"]).expect(0).out;
    assert!(shown.contains("ExecStart=\"") && shown.contains("NoNewPrivileges=yes"), "{shown}");
    assert!(shown.contains(&format!("--config \"{}\" run", home.config().display())), "{shown}");
    assert!(
        shown.ends_with("systemctl --user enable mine.service\nsystemctl --user restart mine.service\n"),
        "{shown}"
    );
    let shown = atles(&["uninstall", "--print"]).expect(0).out;
    assert!(shown.starts_with("systemctl --user disable --now atles.service\n"), "{shown}");
    atles(&["install", "--print", "--name", "../evil"]).expect(2);
    home.edit_text("version = \"wrong\"");
    atles(&["install", "--print"]).expect(78);
    assert!(
        atles(&["stop", "--print"]).expect(0).out.contains("stop atles.service"),
        "a wrong file is no hindrance"
    );
    assert!(!home.folder().join(".config").exists());
    let kept = |path: &Path| !path.ends_with("pipeline.toml");
    let files: Vec<_> = home.fingerprint().into_iter().filter(|(path, _)| kept(path)).collect();
    assert_eq!(files, before.into_iter().filter(|(path, _)| kept(path)).collect::<Vec<_>>());
}

#[test]
fn the_script_for_a_double_click_makes_what_is_missing_and_runs_the_daemon() {
    let home = Home::new();
    let folder = home.folder().join("some body");
    fs::create_dir(&folder).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/start_atles_daemon.sh");
    let mut command = Command::new("sh");
    command.arg(script).env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", &folder);
    command.env("ATLES_BIN", env!("CARGO_BIN_EXE_atles")).current_dir("/");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let config = folder.join(".config/atles");
    let pid = config.join("atles_memory/daemon.lock");
    wait_until("the daemon runs", || {
        config.join("atles_memory/control.sock").exists()
            && fs::read_to_string(&pid).is_ok_and(|pid| !pid.is_empty())
    });
    assert!(config.join("pipeline.toml").exists());
    let pid = fs::read_to_string(&pid).unwrap();
    assert!(Command::new("kill").arg(pid.trim()).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
