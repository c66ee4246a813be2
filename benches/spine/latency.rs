//! From the rename into the spool to the file's being in done/, by how many files come in a second.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use notify::{RecursiveMode, Watcher};

use crate::daemon::{Daemon, Home};
use crate::report::Report;
use crate::{Bench, Found, Outcome, sessions};

/// Files a second, and how many of them in all.
const LOADS: [(usize, usize); 3] = [(10, 300), (100, 1500), (500, 5000)];

pub(crate) fn run(bench: &Bench, report: &mut Report) -> Outcome {
    report.part("latency", &["10 KB files/s", "files", "p50", "p90", "p99", "worst"]);
    for (load, files) in LOADS {
        let home = Home::make(bench.folder.join(format!("latency-{load}")))?;
        let mut took = under_load(&home, load, files)?;
        took.sort_by(f64::total_cmp);
        let at = |share: f64| took[((took.len() - 1) as f64 * share).round() as usize];
        let cell = |share: f64| format!("{:.1} ms", at(share));
        report.row(&[load.to_string(), files.to_string(), cell(0.5), cell(0.9), cell(0.99), cell(1.0)]);
        for (name, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("worst", 1.0)] {
            report.figure(&format!("{load}.{name}_ms"), at(share));
        }
    }
    report.line(
        "\nEach from the rename into the spool, at its appointed time, to the event that it is in done/. The Python daemon \
         looks every 5 s.",
    );
    Ok(())
}

/// Milliseconds of each file. Sent at fixed times, however long the ones before take.
fn under_load(home: &Home, load: usize, files: usize) -> Found<Vec<f64>> {
    let waiting = home.folder.join("waiting");
    sessions::fill(&waiting, 0..files, 10_000, 20);
    crate::daemon::sync();
    let daemon = Daemon::start(home)?;
    let (arrivals, arrived) = channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let now = Instant::now();
        for path in event.into_iter().flat_map(|event| event.paths) {
            let _ = path.file_name().map(|name| arrivals.send((name.to_owned(), now)));
        }
    })?;
    watcher.watch(&home.done(), RecursiveMode::NonRecursive)?;
    let started = Instant::now() + Duration::from_millis(200);
    let mut sent: HashMap<OsString, Instant> = HashMap::new();
    for number in 0..files {
        let due = started + Duration::from_secs(1) / load as u32 * number as u32;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let name = OsString::from(format!("bench-{number:06}.json"));
        fs::rename(waiting.join(&name), home.spool().join(&name))?;
        sent.insert(name, due);
    }
    let took = collect(&sent, &arrived)?;
    daemon.stop()?;
    Ok(took)
}

fn collect(sent: &HashMap<OsString, Instant>, arrived: &Receiver<(OsString, Instant)>) -> Found<Vec<f64>> {
    let mut first: HashMap<OsString, Instant> = HashMap::new();
    while first.len() < sent.len() {
        let (name, at) = arrived.recv_timeout(Duration::from_secs(20))?;
        if sent.contains_key(&name) {
            first.entry(name).or_insert(at);
        }
    }
    let milliseconds =
        |(name, at): (&OsString, &Instant)| sent.get(name).map(|due| (*at - *due).as_secs_f64() * 1e3);
    Ok(first.iter().filter_map(milliseconds).collect())
}
