//! Where the time of a backlog goes, and how often it waits for the disk, read from the system and from the logs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::daemon::{Daemon, Home, count, sync_and_settle, wait};
use crate::report::{Report, median};
use crate::{Bench, Found, Outcome, sessions};

const FILES: usize = 5000;

pub(crate) fn run(bench: &Bench, report: &mut Report) -> Outcome {
    let home = Home::make(bench.folder.join("shares"))?;
    sessions::fill(&home.spool(), 0..FILES, 10_000, 20);
    sync_and_settle();
    let daemon = Daemon::start(&home)?;
    wait(|| count(&home.done()) == FILES);
    let mut threads = of_threads(daemon.id())?;
    let all: u64 = threads.iter().map(|(_, user, system)| user + system).sum();
    threads.retain(|(_, user, system)| (user + system) * 100 >= all);
    daemon.stop()?;
    report.part("shares", &["for each of 5,000 files of 10 KB", "in the program", "in the system"]);
    let each = |ticks: u64| ticks as f64 * 1e4 / FILES as f64;
    for (thread, user, system) in threads {
        report.row(&[
            format!("processor time of `{thread}`"),
            format!("{:.0} µs", each(user)),
            format!("{:.0} µs", each(system)),
        ]);
        report.figure(&format!("thread.{thread}.user_us"), each(user));
        report.figure(&format!("thread.{thread}.system_us"), each(system));
    }
    for (stage, took) in of_stages(&home.logs().join("master_log.jsonl"))? {
        report.row(&[format!("stage `{stage}`, median"), format!("{took:.0} µs"), "-".into()]);
        report.figure(&format!("stage.{stage}.median_us"), took);
    }

    let home = Home::make(bench.folder.join("syncs"))?;
    sessions::fill(&home.spool(), 0..FILES, 10_000, 20);
    sync_and_settle();
    let counted = syncs(home.atles().args(["run", "--once"]), &home.folder.join("strace.txt"))?;
    let row = match counted {
        Some(syncs) => {
            report.figure("syncs", syncs);
            [
                "**fsync** and its kin, start and stop included".into(),
                format!("{syncs} calls in all, {:.1} files for each", FILES as f64 / syncs as f64),
                "the Python loop: none".into(),
            ]
        }
        None => ["**fsync**".into(), "not counted: `strace` is not installed".into(), "-".into()],
    };
    report.row(&row);
    Ok(())
}

/// The threads of a process by name, with their time in the program and in the system, in hundredths of a second; the
/// busiest first.
pub(crate) fn of_threads(process: u32) -> Found<Vec<(String, u64, u64)>> {
    let mut threads: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let stat = fs::read_to_string(task?.path().join("stat"))?;
        let (Some(open), Some(close)) = (stat.find('('), stat.rfind(')')) else { continue };
        let fields: Vec<&str> = stat[close + 1..].split_whitespace().collect();
        let name = stat[open + 1..close].trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
        let sums = threads.entry(name.to_owned()).or_default();
        sums.0 += fields[11].parse::<u64>()?;
        sums.1 += fields[12].parse::<u64>()?;
    }
    let mut threads: Vec<_> =
        threads.into_iter().map(|(name, (user, system))| (name, user, system)).collect();
    threads.sort_by_key(|(_, user, system)| std::cmp::Reverse(user + system));
    Ok(threads)
}

/// The stages in their order, with the median of what they took, in microseconds.
fn of_stages(master_log: &Path) -> Found<Vec<(String, f64)>> {
    let mut stages: Vec<(String, Vec<f64>)> = Vec::new();
    for line in fs::read_to_string(master_log)?.lines() {
        let log: Value = serde_json::from_str(line)?;
        for stage in log["stages"].as_array().into_iter().flatten() {
            let (Some(name), Some(took)) = (stage["name"].as_str(), stage["took_ms"].as_f64()) else {
                continue;
            };
            match stages.iter_mut().find(|(known, _)| known == name) {
                Some((_, all)) => all.push(took * 1e3),
                None => stages.push((name.to_owned(), vec![took * 1e3])),
            }
        }
    }
    Ok(stages.into_iter().map(|(name, all)| (name, median(&all))).collect())
}

/// How often a command asks the disk to be done, counted by `strace`; `None` where there is none.
fn syncs(command: &Command, report: &Path) -> Found<Option<u64>> {
    let mut traced = Command::new("strace");
    traced.args(["-f", "-c", "-e", "trace=fsync,fdatasync,sync_file_range,syncfs,msync", "-o"]).arg(report);
    traced.arg(command.get_program()).args(command.get_args()).env_remove("ATLES_CONFIG");
    match traced.stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        status => drop(status?),
    }
    let report = fs::read_to_string(report)?;
    let total = report.lines().rfind(|line| line.ends_with("total")).ok_or("strace counted nothing")?;
    Ok(Some(total.split_whitespace().nth(3).ok_or("strace reports in another form")?.parse()?))
}
