use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::sources::SourceReport;
use crate::spool::{Home, InstanceLock, SIDECAR_SUFFIX};
use crate::state::Totals;

/// What `atles status` tells.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Whether a daemon runs on the home.
    pub running: bool,
    /// The daemon's process.
    pub pid: Option<u32>,
    /// Its version.
    pub version: String,
    /// The home folder.
    pub home: String,
    /// The pipeline.toml it runs with.
    pub pipeline: Option<String>,
    /// The names of its stages, in order.
    pub stages: Vec<String>,
    /// What is wrong with a pipeline.toml that was edited since and not taken over.
    pub pipeline_problem: Option<String>,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// `native` or `poll`.
    pub watcher: String,
    /// Why nothing is taken from the spool now, if so.
    pub paused: Option<String>,
    /// Files in the spool.
    pub spool: u64,
    /// Of them, files that are still being written.
    pub settling: u64,
    /// Chats that run now, as their live files tell.
    pub live: u64,
    /// Files in `work/`.
    pub work: u64,
    /// Files under way now.
    pub in_flight: u64,
    /// Files that wait to be tried again.
    pub retrying: u64,
    /// Files in `done/`.
    pub done: u64,
    /// Files in `failed/`.
    pub failed: u64,
    /// Commits whose session logs and training data are still to be written.
    pub undelivered: u64,
    /// The training run that is under way, if one is.
    pub training: Option<String>,
    /// Answers that wait for a training run.
    pub queued_answers: u64,
    /// Counts over the life of the home; absent where no daemon runs.
    pub totals: Option<Totals>,
    /// How the `[[source]]`s stand, in the order of pipeline.toml; none where no daemon runs.
    pub sources: Vec<SourceReport>,
}

impl Report {
    /// Fills in what the folders tell.
    pub(super) fn look_at(mut self, home: &Home) -> Self {
        self.home = home.root.display().to_string();
        self.spool = count(&home.spool, |name| !name.starts_with('.'));
        self.work = count(&home.work, |name| !name.starts_with('.'));
        self.done = count(&home.done, |name| !name.starts_with('.'));
        self.failed = count(&home.failed, |name| !name.ends_with(SIDECAR_SUFFIX));
        self
    }
}

/// What the folders tell, without a daemon's help.
pub fn from_folders(home: &Home) -> Report {
    Report { running: InstanceLock::is_taken(home), ..Report::default() }.look_at(home)
}

fn count(dir: &Path, counts: impl Fn(&str) -> bool) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries.flatten().filter(|entry| counts(&entry.file_name().to_string_lossy())).count() as u64
}
