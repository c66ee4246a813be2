//! What a daemon and its home look like at one moment, and what happened between two.

use std::fs;
use std::path::Path;

use crate::Found;
use crate::daemon::{Daemon, Home, count};
use crate::shares::of_threads;

/// One moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample {
    /// Files that were settled, good or bad.
    pub(super) settled: usize,
    /// Seconds since the first file, without those that the harness itself took.
    pub(super) seconds: f64,
    /// Processor time of the daemon.
    pub(super) cpu: f64,
    /// The same for each of its threads, by name: in the program and in the system, in hundredths of a second.
    pub(super) threads: Vec<(String, u64, u64)>,
    pub(super) resident_mib: f64,
    pub(super) descriptors: usize,
    /// memory.db with its log.
    pub(super) memory_mb: f64,
    pub(super) sled_mb: f64,
    /// daemon.log and those before it.
    pub(super) daemon_log_mb: f64,
    pub(super) master_log_mb: f64,
    /// The training set.
    pub(super) set_mb: f64,
    /// What waits to be written by the courier.
    pub(super) outbox_mb: f64,
    /// Files in done/; counted seldom, as it takes long.
    pub(super) done: Option<usize>,
}

impl Sample {
    pub(super) fn take(home: &Home, daemon: &Daemon, settled: usize, seconds: f64) -> Found<Self> {
        let root = home.root();
        Ok(Sample {
            settled,
            seconds,
            cpu: daemon.cpu_seconds()?,
            threads: of_threads(daemon.id())?,
            resident_mib: daemon.resident_mib()?,
            descriptors: daemon.descriptors(),
            memory_mb: ["memory.db", "memory.db-wal"].iter().map(|name| size(&root.join(name))).sum(),
            sled_mb: folder(&root.join("state")),
            daemon_log_mb: (1..=5).map(|n| size(&home.logs().join(format!("daemon.log.{n}")))).sum::<f64>()
                + size(&home.logs().join("daemon.log")),
            master_log_mb: size(&home.logs().join("master_log.jsonl")),
            set_mb: folder(&root.join("training_data/set")),
            outbox_mb: folder(&root.join("outbox")),
            done: None,
        })
    }

    pub(super) fn count_done(&mut self, home: &Home) {
        self.done = Some(count(&home.done()));
    }
}

/// What happened between two samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    /// Files settled at its end.
    pub(super) settled: usize,
    /// Microseconds of the daemon's processor time for each.
    pub(super) cpu_us: f64,
    /// Microseconds by the clock for each.
    pub(super) wall_us: f64,
}

impl Stretch {
    pub(super) fn between(from: &Sample, to: &Sample) -> Self {
        let files = (to.settled - from.settled).max(1) as f64;
        Stretch {
            settled: to.settled,
            cpu_us: (to.cpu - from.cpu) * 1e6 / files,
            wall_us: (to.seconds - from.seconds) * 1e6 / files,
        }
    }
}

/// Megabytes of a file.
fn size(path: &Path) -> f64 {
    fs::metadata(path).map_or(0.0, |file| file.len() as f64 / 1e6)
}

/// Megabytes of a folder, with what is below it.
fn folder(path: &Path) -> f64 {
    let Ok(entries) = fs::read_dir(path) else { return 0.0 };
    let of = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => folder(&entry.path()),
        _ => size(&entry.path()),
    };
    entries.flatten().map(of).sum()
}
