//! Disks that fail, refuse or take their time under the real daemon. `strace` has system calls fail on given files;
//! where it is missing, or this user may not mount, the tests that need it pass over.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::state::{assert_learned_in, assert_learned_once};
use crate::support::{Daemon, Home, Pipeline, numbered_chat, wait_for, wait_until};

const FILES: usize = 12;
const LEDGER: &str = "state/sled/db";
const REDO: &str = "state/sled/redo.log";
const JOURNALS: [&str; 3] =
    ["state/outbox/0000000001.journal", "state/outbox/0000000002.journal", "state/outbox/0000000003.journal"];

/// A fault that a running daemon meets, as long as this lives: `strace`, attached to it.
struct Fault {
    strace: Child,
    trace: PathBuf,
}

impl Fault {
    /// From now on `calls` on these files of the home meet `fault`. `None` where there is no `strace`, or this user may
    /// not attach it.
    fn begin(home: &Home, daemon: &Daemon<'_>, files: &[&str], calls: &str, fault: &str) -> Option<Self> {
        let (trace, words) = (home.folder().join("trace"), home.folder().join("strace.stderr"));
        let mut command = Command::new("strace");
        command.args(["-f", "-p", &daemon.pid().to_string(), "-o"]).arg(&trace);
        for file in files {
            command.arg("-P").arg(home.path(file));
        }
        command.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:{fault}")]);
        let mut strace = command.stderr(fs::File::create(&words).unwrap()).spawn().ok()?;
        let attached = wait_for("strace is attached", || {
            let ended = strace.try_wait().unwrap().is_some();
            let said = fs::read_to_string(&words).unwrap();
            (ended || said.contains(" attached")).then_some(!ended)
        });
        attached.then_some(Fault { strace, trace })
    }

    /// Calls that met it so far.
    fn met(&self) -> usize {
        let trace = fs::read_to_string(&self.trace).unwrap_or_default();
        trace.lines().filter(|line| line.contains("INJECTED") || line.contains("DELAYED")).count()
    }

    /// It is over.
    fn end(mut self) {
        let pid = self.strace.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
        self.strace.wait().unwrap();
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

fn home() -> Home {
    Home::with(&Pipeline::new().section("[retry]\nbackoff = \"50ms\""))
}

/// A few at a time, so that there are several batches.
fn drop_all(home: &Home) {
    for number in 0..FILES {
        home.drop_file(format!("{number}.json"), numbered_chat(number));
        std::thread::park_timeout(Duration::from_millis(40));
    }
}

/// Calls on these files fail for a while; then all is learned once, without anybody doing anything.
fn goes_on_by_itself(files: &[&str], calls: &str, error: &str) {
    let home = home();
    let daemon = home.start();
    let Some(fault) = Fault::begin(&home, &daemon, files, calls, &format!("error={error}")) else { return };
    drop_all(&home);
    wait_until(&format!("{calls} on {files:?} meet {error}"), || fault.met() >= 2);
    fault.end();
    wait_until(&format!("all is learned after {calls} on {files:?} met {error}"), || {
        home.done().len() == FILES
    });
    let all_written = || home.status()["undelivered"] == 0 && home.master_log().len() == FILES;
    // Where the ledger was written although its disk said that it was not, the journal is kept for the next start.
    if !files.contains(&LEDGER) && !files.contains(&REDO) {
        wait_until("all small files are written", all_written);
    }
    wait_until("nothing is said of a pause", || home.status()["paused"].is_null());
    daemon.stop();
    let daemon = home.start();
    wait_until("all small files are written", all_written);
    assert_learned_once(&home, FILES);
    daemon.stop();
}

#[test]
fn a_memory_that_cannot_be_written_for_a_while_is_waited_for() {
    goes_on_by_itself(&["memory.db-wal"], "pwrite64", "EIO");
    goes_on_by_itself(&["memory.db-wal"], "fsync,fdatasync", "EIO");
}

#[test]
fn a_ledger_that_cannot_be_written_for_a_while_is_waited_for() {
    goes_on_by_itself(&[LEDGER], "pwrite64", "EIO");
    goes_on_by_itself(&[REDO], "write,fdatasync", "EIO");
}

#[test]
fn a_journal_and_logs_that_cannot_be_written_for_a_while_are_waited_for() {
    goes_on_by_itself(&JOURNALS, "write,fdatasync", "EIO");
    goes_on_by_itself(&["logs/master_log.jsonl"], "write", "EIO");
}

#[test]
fn moves_reads_and_syncs_of_folders_that_fail_for_a_while_are_done_again() {
    goes_on_by_itself(&["spool/3.json", "done/5.json"], "renameat2", "EIO");
    goes_on_by_itself(&["work/3.json"], "read", "EIO");
    goes_on_by_itself(&["done", "logs", "training_data"], "fsync", "EIO");
}

#[test]
fn a_quota_or_a_disk_that_turns_read_only_is_waited_for() {
    let stores = [&["memory.db-wal", "logs/master_log.jsonl"], &JOURNALS[..]].concat();
    goes_on_by_itself(&stores, "write,pwrite64,fdatasync", "EDQUOT");
    let all = [&["spool/3.json", "done/5.json", LEDGER, REDO], &stores[..]].concat();
    goes_on_by_itself(&all, "write,pwrite64,renameat2", "EROFS");
}

#[test]
fn a_file_that_can_never_be_read_is_a_dead_letter_and_holds_nobody_up() {
    let home = Home::with(&Pipeline::new().section("[retry]\nattempts = 3\nbackoff = \"10ms\""));
    let daemon = home.start();
    let Some(fault) = Fault::begin(&home, &daemon, &["work/3.json"], "read", "error=EIO") else { return };
    drop_all(&home);
    let sidecar = home.wait_failed("3.json");
    assert_eq!((&sidecar["stage"], &sidecar["kind"]), (&json!("spool"), &json!("unreadable")), "{sidecar}");
    assert_eq!(sidecar["attempts"].as_array().unwrap().len(), 3, "{sidecar}");
    wait_until("the others are learned", || home.done().len() == FILES - 1);
    fault.end();
    home.atles(&["failed", "retry", "3.json"]).expect(0);
    home.wait_done("3.json");
    daemon.stop();
    let daemon = home.start();
    assert_learned_in(&home, FILES, FILES + 1);
    daemon.stop();
}

#[test]
fn a_slow_disk_slows_the_daemon_and_neither_its_answers_nor_its_end() {
    let home = home();
    let daemon = home.start();
    let calls = "fsync,fdatasync,syncfs,sync_file_range,pwrite64";
    let files = [&["memory.db-wal", "memory.db", LEDGER, REDO, "done", "logs"], &JOURNALS[..]].concat();
    let Some(fault) = Fault::begin(&home, &daemon, &files, calls, "delay_enter=100000") else { return };
    drop_all(&home);
    let mut slowest = Duration::ZERO;
    wait_until("all is learned", || {
        let begun = Instant::now();
        let report = home.status();
        slowest = slowest.max(begun.elapsed());
        assert!(report["paused"].is_null(), "{report}");
        home.done().len() == FILES
    });
    // A call takes 100 ms at least, a batch many of them; the answer waits for none. The rest is starting a program.
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    let begun = Instant::now();
    daemon.stop();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(fault.met() > 5, "{} calls were delayed", fault.met());
    drop(fault);
    let daemon = home.start();
    assert_learned_once(&home, FILES);
    daemon.stop();
}

/// A folder that nothing can be written to, root included; well again when dropped.
struct ReadOnly<'a>(&'a Path);

impl<'a> ReadOnly<'a> {
    /// `None` where this user may not mount.
    fn make(folder: &'a Path) -> Option<Self> {
        let mount = |options: &str| {
            let mut command = Command::new("mount");
            command.args(["-o", options]).arg(folder).arg(folder);
            command.output().is_ok_and(|run| run.status.success())
        };
        if !mount("bind") {
            return None;
        }
        let made = ReadOnly(folder);
        mount("remount,bind,ro").then_some(made)
    }
}

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).output();
    }
}

#[test]
fn a_read_only_home_is_told_at_once_and_changes_nothing() {
    let home = home();
    drop_all(&home);
    let root = home.path("");
    let Some(read_only) = ReadOnly::make(&root) else { return };
    for args in [&["run"][..], &["run", "--once"], &["submit", "pipeline.toml"]] {
        let said = home.atles(args).expect(1);
        assert!(said.err.contains("Read-only file system"), "{args:?}: {}", said.err);
        assert!(!said.err.contains("panicked"), "{}", said.err);
    }
    home.atles(&["status"]).expect(4);
    home.atles(&["failed", "list"]).expect(0);
    drop(read_only);
    home.once(0);
    let daemon = home.start();
    assert_learned_once(&home, FILES);
    daemon.stop();
}

#[test]
fn many_daemons_that_start_at_once_on_one_home_learn_everything_once() {
    const MANY: usize = 60;
    let home = Home::new();
    for number in 0..MANY {
        home.drop_file(format!("{number}.json"), numbered_chat(number));
    }
    let starts: Vec<_> = (0..6).map(|_| home.command().args(["run", "--once"]).spawn().unwrap()).collect();
    let mut worked = 0;
    for start in starts {
        let output = start.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => worked += 1,
            code => assert!(code == Some(1) && err.contains("process "), "{code:?}: {err}"),
        }
    }
    assert!(worked >= 1);
    let daemon = home.start();
    assert_learned_once(&home, MANY);
    daemon.stop();
}

/// A byte of a file is another one: at so many places, spread over it, each on a copy of the home. How often it was
/// noticed.
fn damaged_byte_by_byte(file: &str, places: usize) -> usize {
    const LEARNED: usize = 4;
    let home = Home::new();
    for number in 0..LEARNED {
        home.drop_file(format!("{number}.json"), numbered_chat(number));
    }
    home.once(0);
    let (root, sound) = (home.path(""), home.folder().join("sound"));
    let copy = |from: &Path, to: &Path| {
        let _ = fs::remove_dir_all(to);
        assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
    };
    copy(&root, &sound);
    let bytes = fs::read(root.join(file)).unwrap();
    let mut set_aside = 0;
    for place in 0..places {
        copy(&sound, &root);
        // The head first, where the format's own numbers stand, then all over.
        let at = if place < places / 3 { place * 2 } else { bytes.len() / places * place };
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x41;
        fs::write(root.join(file), damaged).unwrap();
        home.drop_file("new.json", numbered_chat(LEARNED));
        let mut said = home.atles(&["run", "--once"]);
        if said.code == Some(1) && said.err.contains("a new one is begun") {
            // It was noticed only at work.
            said = home.atles(&["run", "--once"]);
        }
        assert_eq!(said.code, Some(0), "byte {at} of {file}: {}", said.err);
        assert!(!said.err.contains("panicked"), "byte {at} of {file}: {}", said.err);
        assert_eq!(home.done().len(), LEARNED + 1, "byte {at} of {file}: {}", said.err);
        assert!(home.failed().is_empty() && home.names("work").is_empty() && home.names("spool").is_empty());
        let aside = [home.names(""), home.names("state")].concat();
        let aside = aside.iter().any(|name| name.contains(".damaged-"));
        set_aside += usize::from(aside);
        let of_new = "SELECT count(*) FROM sessions WHERE session_id = 'chat-4'";
        assert_eq!(home.count(of_new), 1, "byte {at} of {file}: what came later is learned");
        let of_old = home.count("SELECT count(*) FROM sessions WHERE session_id LIKE 'chat-%'");
        assert!(of_old <= LEARNED as i64 + 1, "byte {at} of {file}: {of_old} sessions");
    }
    set_aside
}

#[test]
fn a_ledger_with_one_wrong_byte_anywhere_loses_and_doubles_nothing() {
    assert!(damaged_byte_by_byte(LEDGER, 36) > 0);
    // After an orderly end it is not needed.
    assert_eq!(damaged_byte_by_byte(REDO, 12), 0);
}

#[test]
fn a_memory_with_one_wrong_byte_anywhere_is_set_aside_or_goes_on() {
    assert!(damaged_byte_by_byte("memory.db", 36) > 0);
}
