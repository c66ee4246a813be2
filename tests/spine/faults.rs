//! What the system does to a daemon: it runs out of descriptors, it stands still, its events are lost, its spool goes
//! away and comes back.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::spool::pause;
use crate::support::{Home, Pipeline, numbered_chat, program, wait_until};

/// Every file in `done/`, and every session in all that is left of it, once.
fn assert_learned_once(home: &Home, files: usize) {
    let mut names: Vec<String> = (0..files).map(|number| format!("{number}.json")).collect();
    names.sort();
    assert_eq!(home.done(), names);
    assert!(home.names("work").is_empty() && home.failed().is_empty());
    assert_eq!(home.count("SELECT count(*) FROM sessions"), files as i64);
    let small = [home.master_log().len(), home.session_logs().len(), home.examples().len()];
    assert_eq!(small, [files; 3], "lines of the master log, session logs, examples");
}

/// The daemon with a limit that a shell sets before it.
fn limited(home: &Home, limit: &str) -> Command {
    let mut command = home.command_of(Command::new("sh"));
    command.args(["-c", &format!("ulimit {limit}; exec \"$0\" \"$@\"")]).arg(program());
    command
}

#[test]
#[cfg(target_os = "linux")]
fn a_daemon_that_runs_out_of_descriptors_blames_no_file_and_goes_on() {
    const FILES: usize = 60;
    let home = Home::with(&Pipeline::new().section("[workers]\nin_flight = 16"));
    home.drop_file("0.json", numbered_chat(0));
    let daemon = home.start();
    home.wait_done("0.json");
    let open = PathBuf::from(format!("/proc/{}/fd", daemon.pid())).read_dir().unwrap().count();
    daemon.stop();

    let daemon = home.start_as(limited(&home, &format!("-n {}", open + 1)));
    wait_until("it has started", || home.words().matches("started").count() >= 2);
    for number in 1..FILES {
        home.drop_file(format!("{number}.json"), numbered_chat(number));
    }
    wait_until("all are settled", || home.done().len() + home.failed().len() == FILES);
    daemon.stop();
    // Logs that could not be written so far are written by the next start.
    home.once(0);
    assert_learned_once(&home, FILES);
}

#[test]
fn a_daemon_that_stands_still_for_longer_than_its_patience_goes_on_as_if_nothing_had_been() {
    let stage = "kind = \"exec\"\nname = \"slow\"\ncommand = [\"./slow.sh\"]\ntimeout = \"1s\"\n\
                 when = \"file.name == '0.json'\"\nretry = { attempts = 5, backoff = \"20ms\", max_backoff = \"100ms\" }";
    let home = Home::with(&Pipeline::new().stage(stage).spool("grace", "\"2s\""));
    let asked = home.folder().join("asked");
    home.script("slow.sh", &format!("#!/bin/sh\ntouch '{}'\nsleep 0.3\n", asked.display()));
    let daemon = home.start();
    home.drop_file("0.json", numbered_chat(0));
    wait_until("the program runs", || asked.exists());
    let slow = numbered_chat(1);
    let (front, back) = slow.split_at(slow.len() / 2);
    let (middle, back) = back.split_at(back.len() / 2);
    let path = home.spool().join("1.json");
    let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
    file.write_all(front.as_bytes()).unwrap();
    wait_until("the unfinished file is seen", || home.status()["settling"] == 1);

    daemon.signal("STOP");
    home.drop_file("2.json", numbered_chat(2));
    pause(Duration::from_millis(3000));
    // It is written to while nobody looks: its grace begins anew.
    file.write_all(middle.as_bytes()).unwrap();
    daemon.signal("CONT");
    pause(Duration::from_millis(200));
    file.write_all(back.as_bytes()).unwrap();
    drop(file);
    wait_until("all are settled", || home.done().len() + home.failed().len() == 3);
    wait_until("all small files are written", || home.status()["undelivered"] == 0);
    daemon.stop();
    assert_learned_once(&home, 3);
}

#[test]
#[cfg(target_os = "linux")]
fn events_that_are_lost_because_too_many_came_are_made_up_for_by_looking() {
    let queue = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let queue: usize = queue.trim().parse().unwrap();
    let home = Home::with(&Pipeline::new().spool("rescan", "\"1h\""));
    let daemon = home.start();
    assert_eq!(home.status()["watcher"], "native");
    daemon.signal("STOP");
    // Each makes several events; the last files come when there is no room for another.
    for number in 0..queue / 2 {
        let path = home.spool().join(format!(".noise-{number}"));
        fs::write(&path, "").unwrap();
        fs::remove_file(path).unwrap();
    }
    for number in 0..5 {
        home.drop_file(format!("{number}.json"), numbered_chat(number));
    }
    daemon.signal("CONT");
    wait_until("all are settled", || home.done().len() == 5);
    wait_until("all small files are written", || home.status()["undelivered"] == 0);
    daemon.stop();
    assert_learned_once(&home, 5);
}

#[test]
fn a_spool_that_goes_away_and_comes_back_is_read_with_all_that_is_in_it() {
    let home = Home::new();
    let daemon = home.start();
    let away = home.path("away");
    fs::rename(home.spool(), &away).unwrap();
    wait_until("the loss is told", || {
        home.status()["paused"].as_str().is_some_and(|why| why.contains("spool"))
    });
    fs::write(away.join("0.json"), numbered_chat(0)).unwrap();
    fs::rename(&away, home.spool()).unwrap();
    home.wait_done("0.json");
    // It is watched again too.
    home.drop_file("1.json", numbered_chat(1));
    home.wait_done("1.json");
    wait_until("all is well", || home.status()["paused"].is_null() && home.status()["undelivered"] == 0);
    daemon.stop();
    assert_learned_once(&home, 2);
}
