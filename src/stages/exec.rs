//! `exec`: any program as a stage.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::sync::Semaphore;

use crate::config::ByteSize;
use crate::pipeline::patch::{accept, envelope_json, own_words};
use crate::pipeline::{Problem, Services, Stage, StageConfig, StageContext, StageError, Verdict};
use crate::platform::program::{self, Ended, Failed};
use crate::session::Envelope;

/// Lines of a program's standard error that are logged for one session.
const MAX_LOGGED: usize = 100;
/// Characters of the end of standard error that an error message repeats.
const MAX_TAIL: usize = 300;
/// "Try again later" (`EX_TEMPFAIL` of sysexits).
const EX_TEMPFAIL: i32 = 75;

/// Runs a program on each session, without a shell.
///
/// It gets the session as one JSON object on standard input
/// (`{"key","stage","attempt","file","session","learned"}`) and may answer with a patch on standard output:
/// `{"learned": {…}}` for values of its own, `facts`, `preferences` and `topics` with verbatim quotes,
/// `{"refuse": "why"}` to settle the session as done with nothing stored, `{"fail": "why"}` or `{"retry": "why"}`.
/// No output adds nothing. See `examples/stages/`.
///
/// Exit code 0 is success, 75 asks to be tried again later, as does the end by SIGTERM, SIGKILL, SIGINT or SIGHUP;
/// anything else fails the session, and the last 300 characters of standard error go into the error. Lines on
/// standard error go to the log, the first 100 of them.
///
/// The environment holds `PATH` (the daemon's), `LANG=C.UTF-8` and what `env` and `set` list: no `HOME`, no secrets.
/// When the program ends, or runs into the stage's `timeout`, all that is left of its process group is killed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExecSettings {
    /// The program and its arguments, each a string of its own; required. A program with a `/` in it is looked for
    /// beside pipeline.toml when it is relative, one without in `PATH`. Arguments are passed as they are: a relative
    /// path among them is read in `cwd`. Example: `["./stages/sentiment.py", "--verbose"]`.
    pub command: Vec<String>,
    /// Names of the daemon's environment variables that are passed on, where they are set. Example: `["HOME"]`.
    pub env: Vec<String>,
    /// Environment variables with fixed values. Example: `{ MODEL = "small" }`.
    pub set: BTreeMap<String, String>,
    /// The folder the program runs in; relative to the folder of pipeline.toml. Default: the home folder.
    pub cwd: Option<PathBuf>,
    /// The most it may write to standard output; with more it is killed and the session fails.
    pub max_output: ByteSize,
    /// How many of these programs run at once, at most; further sessions wait, and the wait counts for `timeout`.
    pub parallel: usize,
    /// At which level lines on standard error are logged: `info`, `debug` or `off`.
    pub log: LogLevel,
}

/// The level at which a program's standard error is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Shown by default.
    #[default]
    Info,
    /// Shown when asked for.
    Debug,
    /// Not logged.
    Off,
}

impl Default for ExecSettings {
    fn default() -> Self {
        ExecSettings {
            command: Vec::new(),
            env: Vec::new(),
            set: BTreeMap::new(),
            cwd: None,
            max_output: ByteSize(1 << 20),
            parallel: 4,
            log: LogLevel::Info,
        }
    }
}

impl StageConfig for ExecSettings {
    const KIND: &'static str = "exec";

    fn build(self, services: &Services) -> Result<Box<dyn Stage>, Vec<Problem>> {
        let problems = self.problems();
        let Some(program) = self.command.first().filter(|_| problems.is_empty()) else {
            return Err(problems);
        };
        let name =
            Path::new(program).file_name().map_or_else(|| program.clone(), |n| n.display().to_string());
        let path = match program.contains(std::path::is_separator) {
            true => services.config_dir.join(program),
            false => PathBuf::from(program),
        };
        let cwd =
            self.cwd.as_ref().map_or_else(|| services.home.clone(), |cwd| services.config_dir.join(cwd));
        Ok(Box::new(Exec { path, name, cwd, slots: Semaphore::new(self.parallel), config: self }))
    }
}

impl ExecSettings {
    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.command.first().is_none_or(|program| program.trim().is_empty()) {
            problems.push(
                Problem::new("command", "no program is named")
                    .hint(r#"name it and its arguments: command = ["./stages/sentiment.py"]"#),
            );
        }
        for (n, word) in self.command.iter().enumerate().filter(|(_, word)| word.contains('\0')) {
            problems.push(Problem::new(format!("command[{n}]"), format!("{word:?} holds a NUL character")));
        }
        let named = self.env.iter().enumerate().map(|(n, name)| (format!("env[{n}]"), name));
        for (key, name) in named.chain(self.set.keys().map(|name| (format!("set.{name}"), name))) {
            if name.is_empty() || name.contains(['=', '\0']) {
                problems.push(
                    Problem::new(key, format!("{name:?} is no name of an environment variable"))
                        .hint("`env` lists names only; fixed values stand in `set`"),
                );
            }
        }
        for (name, _) in self.set.iter().filter(|(_, value)| value.contains('\0')) {
            problems.push(Problem::new(format!("set.{name}"), "the value holds a NUL character"));
        }
        if self.parallel == 0 || self.parallel > Semaphore::MAX_PERMITS {
            problems.push(Problem::new("parallel", "so many programs cannot run at once").hint("try 4"));
        }
        problems
    }
}

struct Exec {
    config: ExecSettings,
    path: PathBuf,
    /// The program without its folders, for notes and errors.
    name: String,
    cwd: PathBuf,
    slots: Semaphore,
}

#[async_trait]
impl Stage for Exec {
    async fn process(&self, envelope: &mut Envelope, cx: &StageContext<'_>) -> Result<Verdict, StageError> {
        if cx.dry_run {
            envelope.note = Some(format!("would run {}", self.name));
            return Ok(Verdict::Continue);
        }
        let _slot = self.slots.acquire().await.map_err(|_| StageError::Cancelled)?;
        let mut input = envelope_json(envelope, cx.name, cx.attempt)?;
        input.push(b'\n');
        let max_output = usize::try_from(self.config.max_output.0).unwrap_or(usize::MAX);
        let mut lines = 0;
        let ended = program::run(self.command(), &input, max_output, |line| {
            lines += 1;
            if lines <= MAX_LOGGED {
                self.log(cx.name, line);
            }
        })
        .await;
        if lines > MAX_LOGGED {
            self.log(cx.name, &format!("{} more lines", lines - MAX_LOGGED));
        }
        let ended = ended.map_err(|failed| self.failed(failed))?;
        if !ended.status.success() {
            return Err(self.complaint(&ended));
        }
        accept(&ended.stdout, envelope, cx.name)
    }

    fn acts_outside(&self) -> bool {
        true
    }
}

impl Exec {
    /// Nothing of the session is in it: arguments and environment come from pipeline.toml alone.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(self.config.command.iter().skip(1)).current_dir(&self.cwd).env_clear();
        command
            .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()));
        command.env("LANG", "C.UTF-8");
        let passed_on = if cfg!(windows) { ["SYSTEMROOT", "TEMP"].as_slice() } else { &[] };
        for name in passed_on.iter().copied().chain(self.config.env.iter().map(String::as_str)) {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(&self.config.set);
        command
    }

    fn log(&self, stage: &str, line: &str) {
        let (program, line) = (self.name.as_str(), own_words(line));
        match self.config.log {
            LogLevel::Info => tracing::info!(stage, program, "{line}"),
            LogLevel::Debug => tracing::debug!(stage, program, "{line}"),
            LogLevel::Off => {}
        }
    }

    fn failed(&self, failed: Failed) -> StageError {
        let name = &self.name;
        match failed {
            Failed::Start(error) if may_pass(&error) => StageError::Transient {
                message: format!("{name} could not be started"),
                retry_after: None,
                source: Some(Box::new(error)),
            },
            Failed::Start(error) => StageError::Permanent {
                message: format!("{name} could not be started"),
                hint: Some(format!(
                    "is {} there and executable, and is {} a folder? See `command` and `cwd`",
                    self.path.display(),
                    self.cwd.display()
                )),
                source: Some(Box::new(error)),
            },
            Failed::Flooded => StageError::permanent(
                format!("{name} wrote more than {} to standard output", self.config.max_output),
                "raise `max_output` if it means to",
            ),
            Failed::Pipes(error) => StageError::Transient {
                message: format!("the talk with {name} broke off"),
                retry_after: None,
                source: Some(Box::new(error)),
            },
        }
    }

    fn complaint(&self, ended: &Ended) -> StageError {
        let tail = &ended.stderr_tail;
        let skipped = tail.chars().count().saturating_sub(MAX_TAIL);
        let words = own_words(&tail.chars().skip(skipped).collect::<String>());
        let said = if words.is_empty() { "and said nothing".into() } else { format!("and said: {words}") };
        let message = format!("{} ended with {} {said}", self.name, ended.status);
        if asks_for_another_try(ended.status) {
            return StageError::transient(message);
        }
        StageError::permanent(message, "mend the program, then run `atles failed retry`")
    }
}

/// Whether the machine was short of something when the program should start.
fn may_pass(error: &io::Error) -> bool {
    use io::ErrorKind::{ExecutableFileBusy, Interrupted, OutOfMemory, WouldBlock};
    const TOO_MANY_OPEN_FILES: [i32; 2] = [23, 24];
    matches!(error.kind(), ExecutableFileBusy | Interrupted | OutOfMemory | WouldBlock)
        || (cfg!(unix) && error.raw_os_error().is_some_and(|code| TOO_MANY_OPEN_FILES.contains(&code)))
}

/// Exit code 75, or a signal by which somebody else ended the program.
fn asks_for_another_try(status: ExitStatus) -> bool {
    #[cfg(unix)]
    {
        use rustix::process::Signal;
        use std::os::unix::process::ExitStatusExt;
        let outside = [Signal::HUP, Signal::INT, Signal::KILL, Signal::TERM];
        if status.signal().is_some_and(|signal| outside.iter().any(|one| one.as_raw() == signal)) {
            return true;
        }
    }
    status.code() == Some(EX_TEMPFAIL)
}

#[cfg(test)]
#[cfg(unix)]
#[path = "exec_tests.rs"]
mod tests;
