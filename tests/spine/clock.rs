//! A clock that is set while the daemon runs, and between two runs of it: by days, forwards and backwards. The C library's
//! clock is replaced by one of ours (`clock.c`); the times of files stay what the system says.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Daemon, Home, Pipeline, numbered_chat, wait_until};

const DAY: i64 = 86_400;

/// A clock for one home.
struct SetClock {
    library: PathBuf,
    off: PathBuf,
}

impl SetClock {
    fn new(home: &Home) -> Self {
        let (source, library) = (home.folder().join("clock.c"), home.folder().join("clock.so"));
        fs::write(&source, include_str!("clock.c")).unwrap();
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source);
        assert!(compiler.status().unwrap().success(), "a C compiler is needed, as for the build itself");
        let clock = SetClock { library, off: home.folder().join("off") };
        clock.set(0);
        clock
    }

    fn set(&self, days: i64) {
        // In one piece and in its place: a reader never sees half of it.
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&self.off).unwrap();
        file.write_all(&(days * DAY).to_ne_bytes()).unwrap();
    }

    fn start<'a>(&self, home: &'a Home) -> Daemon<'a> {
        let mut command = home.command();
        command.env("LD_PRELOAD", &self.library).env("CLOCK_OFF", &self.off);
        home.start_as(command)
    }
}

/// A file that is written where it lies, with a look of the daemon at its first half.
fn write_in_place(home: &Home, number: usize) {
    let content = numbered_chat(number);
    let (front, back) = content.split_at(content.len() / 2);
    let mut file = fs::File::create(home.spool().join(format!("{number}.json"))).unwrap();
    file.write_all(front.as_bytes()).unwrap();
    wait_until("the unfinished file is seen", || home.status()["settling"] == 1);
    file.write_all(back.as_bytes()).unwrap();
}

#[test]
fn a_clock_that_jumps_by_a_year_either_way_holds_nothing_up_and_doubles_nothing() {
    let home = Home::with(&Pipeline::new().spool("grace", "\"20s\""));
    let clock = SetClock::new(&home);
    let daemon = clock.start(&home);
    let mut dropped = 0;
    for days in [0, 400, -400, 0] {
        clock.set(days);
        home.drop_file(format!("{dropped}.json"), numbered_chat(dropped));
        home.wait_done(&format!("{dropped}.json"));
        write_in_place(&home, dropped + 1);
        home.wait_done(&format!("{}.json", dropped + 1));
        dropped += 2;
    }
    wait_until("all small files are written", || home.status()["undelivered"] == 0);
    daemon.stop();
    let sessions = home.count("SELECT count(*) FROM sessions");
    assert_eq!((home.done().len(), sessions, home.failed().len()), (dropped, dropped as i64, 0));
    let small = [home.master_log().len(), home.session_logs().len(), home.examples().len()];
    assert_eq!(small, [dropped; 3], "lines of the master log, session logs, examples");
    let days = home.count("SELECT (max(learned_ms) - min(learned_ms)) / 86400000 FROM sessions");
    assert!((799..=800).contains(&days), "{days} days between what the daemon took for the time");
}

#[test]
fn a_retry_waits_no_longer_than_was_planned_when_the_clock_was_set_back_meanwhile() {
    let stage = "kind = \"exec\"\nname = \"late\"\ncommand = [\"./late.sh\"]\n\
                 retry = { attempts = 3, backoff = \"2s\", max_backoff = \"2s\" }";
    let home = Home::with(&Pipeline::new().stage(stage));
    let tried = home.folder().join("tried");
    home.script(
        "late.sh",
        &format!("#!/bin/sh\n[ -e '{0}' ] || {{ touch '{0}'; exit 75; }}\n", tried.display()),
    );
    let clock = SetClock::new(&home);
    let daemon = clock.start(&home);
    home.drop_file("0.json", numbered_chat(0));
    wait_until("it is to be tried again", || home.status()["retrying"] == 1);
    daemon.stop();
    clock.set(-30);
    let begun = Instant::now();
    let daemon = clock.start(&home);
    home.wait_done("0.json");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    daemon.stop();
    assert_eq!(home.count("SELECT count(*) FROM sessions"), 1);
}
