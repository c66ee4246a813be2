use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ByteSize, Glob, Span, Training};
use crate::sources::Program;

/// The version of pipeline.toml that this build reads.
pub const VERSION: i64 = 1;

/// Everything in pipeline.toml but the stages.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where memory, training data, logs and state live.
    pub home: Home,
    /// The folder that is watched, and the folders its files move to.
    pub spool: Spool,
    /// Folders of other programs that are learned from, one table each; absent: none. docs/SOURCES.md has a recipe for
    /// each program. Nothing in them is moved or changed.
    pub source: Vec<SourceSettings>,
    /// How long files and logs are kept. Nothing is ever deleted unless it is written here.
    pub retention: Retention,
    /// How much is done at once.
    pub workers: Workers,
    /// How often, and after what pauses, a session is tried again when a stage fails in a way that may pass.
    pub retry: Retry,
    /// How the daemon stops.
    pub shutdown: Shutdown,
    /// What is written to logs/daemon.log.
    pub logs: Logs,
    /// What happens when the disk fills up.
    pub disk: Disk,
    /// Fine-tuning a model on what the stage `fine_tune` collected.
    pub training: Training,
    /// How what was learned is found again.
    pub recall: Recall,
}

/// Where memory, training data, logs and state live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Home {
    /// The home folder. A relative path is read from the folder that holds pipeline.toml. Made with mode 0700 when
    /// it is missing.
    pub path: PathBuf,
}

impl Default for Home {
    fn default() -> Self {
        Home { path: "atles_memory".into() }
    }
}

/// The folder that is watched, and the folders its files move to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Spool {
    /// The folder that chat apps drop files into; absent: `spool/` in the home. This and the next three must lie
    /// on one filesystem, since files are renamed between them.
    pub path: Option<PathBuf>,
    /// Where files rest that were learned; absent: `done/` in the home.
    pub done: Option<PathBuf>,
    /// Where files rest that could not be learned, each beside a NAME.error.json that says why; absent: `failed/`
    /// in the home.
    pub failed: Option<PathBuf>,
    /// Where files are while they are worked on; absent: `work/` in the home.
    pub work: Option<PathBuf>,
    /// Which file names are taken: `*` is any run of characters, `?` any one, and upper and lower case differ. Names
    /// that begin with a dot are never taken, so that an app can write there and rename when it is finished.
    pub include: Vec<Glob>,
    /// A file that is written in place counts as complete when it has not changed for so long.
    pub settle: Span,
    /// A file that is not (yet) valid JSON is given so long since its last change before it fails. At least
    /// `settle`.
    pub grace: Span,
    /// How often the folder is read in full, whatever the watcher says. At least 100ms.
    pub rescan: Span,
    /// Larger files fail without being read.
    pub max_size: ByteSize,
    /// How new files are noticed.
    pub watcher: Watcher,
    /// A chat that an app tracks with a client, and whose app died, is learned when it has been silent for so long.
    pub live_timeout: Span,
    /// Whether the facts and preferences of such a chat are recallable while it still runs. They hold until it ends;
    /// then the session as a whole takes their place. `exec` and `http` stages are not asked before the end.
    pub follow: bool,
}

impl Default for Spool {
    fn default() -> Self {
        Spool {
            path: None,
            done: None,
            failed: None,
            work: None,
            include: ["*.json", "*.jsonl"].iter().filter_map(|text| Glob::new(text).ok()).collect(),
            settle: Span::millis(500),
            grace: Span::secs(10),
            rescan: Span::secs(10),
            max_size: ByteSize(64 << 20),
            watcher: Watcher::default(),
            live_timeout: Span::secs(10),
            follow: true,
        }
    }
}

/// A folder of another program that is learned from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SourceSettings {
    /// The program's folder, or its database. `~/` at the start is the user's home folder; a relative path is read from
    /// the folder that holds pipeline.toml. Required.
    pub path: PathBuf,
    /// The program. Required.
    pub format: Option<Program>,
    /// What is done with the folder.
    pub mode: SourceMode,
    /// A conversation is learned when nothing was added to it for so long and its last turn is over; again, as a
    /// revision, when it went on. At least 1s.
    pub quiet: Span,
    /// Whose chats they are, as in `"ada"`; absent: as the program says, if it knows users.
    pub user: Option<String>,
}

impl Default for SourceSettings {
    fn default() -> Self {
        SourceSettings {
            path: PathBuf::new(),
            format: None,
            mode: SourceMode::Observe,
            quiet: Span::secs(300),
            user: None,
        }
    }
}

/// What is done with the folder of a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SourceMode {
    /// It is read. No file in it is moved, changed or locked.
    #[default]
    Observe,
}

/// How new files are noticed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Watcher {
    /// The system's notifications if a probe at the start shows that they arrive, else polling.
    #[default]
    Auto,
    /// The system's notifications without the probe; what they miss is found every `rescan`.
    Native,
    /// Reading the folder every second: for network filesystems and some containers.
    Poll,
}

/// How long files and logs are kept. Nothing is ever deleted unless it is written here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Files in done/ are deleted so long after they were learned; absent: kept. What was learned stays.
    pub done: Option<Span>,
    /// Files in failed/ and their sidecars are deleted so long after they failed; absent: kept.
    pub failed: Option<Span>,
    /// Session logs in logs/ are deleted after so long; absent: kept. The master log and daemon.log are not touched.
    pub logs: Option<Span>,
}

/// How much is done at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Workers {
    /// Sessions under way at the same time, 1 to 4096. More of them share one commit to the disk; the CPU is bounded
    /// by `threads`.
    pub in_flight: usize,
    /// Threads that work on sessions; 0 = as many as there are cores.
    pub threads: usize,
}

impl Default for Workers {
    fn default() -> Self {
        Workers { in_flight: 64, threads: 0 }
    }
}

/// How often, and after what pauses, a session is tried again when a stage fails in a way that may pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Tries in all, the first included, before the file goes to failed/. At least 1.
    pub attempts: u32,
    /// The pause after the first failed try; it doubles each time, with some jitter.
    pub backoff: Span,
    /// The longest pause.
    pub max_backoff: Span,
}

impl Default for Retry {
    fn default() -> Self {
        Retry { attempts: 5, backoff: Span::secs(1), max_backoff: Span::secs(300) }
    }
}

/// How the daemon stops.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Shutdown {
    /// After SIGINT or SIGTERM sessions under way get so long to finish; then they are let go of and resumed at the
    /// next start. A second signal stops at once.
    pub deadline: Span,
}

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown { deadline: Span::secs(10) }
    }
}

/// What is written to logs/daemon.log.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Logs {
    /// The least important lines that are still written.
    pub level: Level,
    /// Lets words of chats appear in logs and in failed/*.error.json. Without it they carry ids and counts only.
    pub show_text: bool,
    /// When a new daemon.log is begun.
    pub rotate: Rotate,
}

/// How important a log line is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something was not done.
    Error,
    /// Something is odd, or will be tried again.
    Warn,
    /// What was learned, and what the daemon decided.
    #[default]
    Info,
    /// Every step of every session.
    Debug,
    /// Everything there is.
    Trace,
}

/// When a new daemon.log is begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rotate {
    /// When daemon.log would grow beyond this it becomes daemon.log.1, and so on. At least 4KiB.
    pub max_size: ByteSize,
    /// How many old ones are kept; 0 = none.
    pub keep: u32,
}

impl Default for Rotate {
    fn default() -> Self {
        Rotate { max_size: ByteSize(10 << 20), keep: 5 }
    }
}

/// What happens when the disk fills up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Disk {
    /// While less than this is free in the home, no new file is taken; the intake resumes by itself.
    pub min_free: ByteSize,
}

impl Default for Disk {
    fn default() -> Self {
        Disk { min_free: ByteSize(64 << 20) }
    }
}

/// How what was learned is found again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Recall {
    /// Whether meanings are compared beside words. Takes effect with the next start of the daemon.
    pub embeddings: Embeddings,
}

/// Whether meanings are compared beside words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Embeddings {
    /// If the vectors of words were pulled (`atles models pull wordllama`).
    #[default]
    Auto,
    /// Never.
    Off,
}

/// The keys that every `[[stage]]` may have, beside those of its kind.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StageKeys {
    /// What the stage does: one of the kinds below. Required.
    pub kind: String,
    /// Its name in logs, checkpoints and sidecars; absent: the kind. Unique; 1 to 64 of a-z, 0-9, _ and -.
    pub name: Option<String>,
    /// `false` takes the stage out of the chain; its settings are checked all the same.
    pub enabled: bool,
    /// A try that takes longer is broken off and counts as one that may be repeated; absent: no limit.
    pub timeout: Option<Span>,
    /// What becomes of a session for which the stage failed for good.
    pub on_error: OnError,
    /// A condition in CEL over `session`, `learned` and `file`, as in `"size(session.messages) >= 2"`; where it does
    /// not hold the stage is skipped. Absent: always.
    pub when: Option<String>,
    /// Retries of this stage, where they differ from `[retry]`, as in `{ attempts = 2 }`.
    pub retry: StageRetry,
}

impl Default for StageKeys {
    fn default() -> Self {
        StageKeys {
            kind: String::new(),
            name: None,
            enabled: true,
            timeout: None,
            on_error: OnError::default(),
            when: None,
            retry: StageRetry::default(),
        }
    }
}

/// What becomes of a session for which a stage failed for good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The file goes to failed/.
    #[default]
    Fail,
    /// The chain goes on without the stage, and the session log's `errors` says so.
    Continue,
}

/// Retries of one stage, where they differ from `[retry]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StageRetry {
    /// Tries in all, the first included; absent: as in `[retry]`.
    pub attempts: Option<u32>,
    /// The pause after the first failed try; absent: as in `[retry]`.
    pub backoff: Option<Span>,
    /// The longest pause; absent: as in `[retry]`.
    pub max_backoff: Option<Span>,
}

impl StageRetry {
    /// What holds for the stage, given what holds for all.
    pub(crate) fn over(&self, all: &Retry) -> Retry {
        Retry {
            attempts: self.attempts.unwrap_or(all.attempts),
            backoff: self.backoff.unwrap_or(all.backoff),
            max_backoff: self.max_backoff.unwrap_or(all.max_backoff),
        }
    }
}
