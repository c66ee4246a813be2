//! A daemon for which nothing comes, over a long time: its clock is hurried, so that each round of its regular work
//! (housekeeping, the retention's sweep, readings of the spool, looks at the training set) comes a thousand times as
//! often.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::{Home, Pipeline, chat, program};

const HURRY: u64 = 1000;

/// Threads with regular work, and how many seconds a round takes them.
const ROUNDS: [(&str, u64); 4] = [("atles", 1), ("training", 1), ("intake", 10), ("live", 10)];

/// How often a thread has waited for something and gone on.
fn waits(pid: u32, thread: &str) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |task: &Path| {
        let name = fs::read_to_string(task.join("comm")).ok()?;
        let status = fs::read_to_string(task.join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        (name.trim() == thread).then(|| line.trim().parse().unwrap_or(0))
    };
    tasks.filter_map(|task| of(&task.unwrap().path())).sum()
}

/// Resident KiB, and descriptors that stay open: in a round one is open for a moment.
fn holds(pid: u32) -> (u64, usize) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let looks = (0..20).map(|_| {
        std::thread::park_timeout(Duration::from_millis(5));
        fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
    });
    let descriptors = looks.min().unwrap();
    (line.trim_end_matches(" kB").trim().parse().unwrap(), descriptors)
}

/// An hour by default; `ATLES_IDLE_HOURS=24` for a day.
#[test]
fn an_idle_hour_costs_neither_memory_nor_descriptors() {
    if program().to_string_lossy().contains("release") {
        eprintln!("passed over: the clock of a release build cannot be hurried");
        return;
    }
    let hours: u64 = std::env::var("ATLES_IDLE_HOURS").map_or(1, |text| text.parse().unwrap());
    let home = Home::with(
        &Pipeline::new()
            .spool("rescan", "\"10s\"")
            .section("[retention]\ndone = \"90d\"\nfailed = \"90d\"\nlogs = \"90d\""),
    );
    let mut command = home.command();
    command.env("ATLES_HURRY", HURRY.to_string());
    let daemon = home.start_as(command);
    for number in 0..3 {
        let name = format!("{number}.json");
        home.drop_file(&name, chat(&format!("s{number}"), &["I live in Ghent", "Noted."]));
        home.wait_done(&name);
    }
    let begun: Vec<u64> = ROUNDS.iter().map(|(thread, _)| waits(daemon.pid(), thread)).collect();
    let lived = |part: u64| {
        ROUNDS.iter().zip(&begun).all(|((thread, period), begun)| {
            waits(daemon.pid(), thread) - begun >= hours * 3600 / period * part / 10
        })
    };
    let deadline = Instant::now() + Duration::from_secs(60 + 30 * hours);
    let wait_for_tenths = |part: u64| {
        while !lived(part) {
            assert!(Instant::now() < deadline, "the rounds do not come");
            std::thread::park_timeout(Duration::from_millis(50));
        }
        holds(daemon.pid())
    };
    // What the first rounds need is there then.
    let (early, descriptors) = wait_for_tenths(2);
    let (late, still) = wait_for_tenths(10);
    assert_eq!(still, descriptors);
    assert!(late <= early + 1024, "{early} KiB have become {late}");
    eprintln!("{hours} idle hours: {early} KiB, then {late} KiB; {still} descriptors");
    daemon.stop();
}

/// What is said of memory in docs/BENCHMARKS.md counts for a daemon that was started by hand, too.
#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn a_daemon_runs_with_an_allocator_that_gives_large_buffers_back() {
    let home = Home::with(&Pipeline::new());
    let daemon = home.start();
    let environment = fs::read(format!("/proc/{}/environ", daemon.pid())).unwrap();
    let settings = environment.split(|byte| *byte == 0).find(|entry| entry.starts_with(b"GLIBC_TUNABLES="));
    let settings = String::from_utf8_lossy(settings.expect("the allocator is set up"));
    assert!(settings.contains("glibc.malloc.mmap_threshold=131072"), "{settings}");
    daemon.stop();
}
