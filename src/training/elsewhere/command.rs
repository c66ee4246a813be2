//! `trainer = "command"`: any program trains.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tracing::info;

use super::artefact::check;
use super::protocol::Line;
use crate::config::CommandTrainer;
use crate::memory::prompt::one_line;
use crate::platform;
use crate::platform::program::{self, Ended, Failed};
use crate::training::backend::{Backend, BackendError, Job, Progress, Trained};

/// How often a stop is looked for.
const LOOK: Duration = Duration::from_millis(50);
/// Lines of a program that are logged in one run.
const MAX_LOGGED: usize = 2_000;
/// Characters of a program's words that an error repeats.
const WORDS: usize = 300;
/// "Try again later" (`EX_TEMPFAIL` of sysexits).
const EX_TEMPFAIL: i32 = 75;

/// A program that trains.
#[derive(Debug)]
pub struct Command {
    settings: CommandTrainer,
    program: PathBuf,
    /// Without its folders, for messages.
    name: String,
    cwd: Option<PathBuf>,
}

/// What a run's program has said so far.
#[derive(Default)]
struct Said {
    progress: Progress,
    losses: Vec<f32>,
    artefact: Option<String>,
    error: Option<String>,
    logged: usize,
}

impl Command {
    /// The program that the settings name. Relative paths are read from the folder of pipeline.toml.
    pub fn new(settings: &CommandTrainer, config_dir: &Path) -> Result<Self, BackendError> {
        let Some(program) = settings.run.first().filter(|program| !program.trim().is_empty()) else {
            return Err(BackendError::failed("[training.command] names no program in `run`"));
        };
        let name =
            Path::new(program).file_name().map_or_else(|| program.clone(), |name| name.display().to_string());
        let path = match program.contains(std::path::is_separator) {
            true => config_dir.join(program),
            false => PathBuf::from(program),
        };
        let cwd = settings.cwd.as_ref().map(|cwd| config_dir.join(cwd));
        Ok(Command { settings: settings.clone(), program: path, name, cwd })
    }

    /// Nothing of a chat is in it: arguments and environment are pipeline.toml's, and paths of ours.
    fn command(&self, job: &Job<'_>, output: &Path, document: &Path) -> tokio::process::Command {
        let places = [
            ("train", job.train_file),
            ("held_out", job.held_out_file),
            ("base", job.base),
            ("output", output),
            ("job", document),
        ];
        let mut command = tokio::process::Command::new(&self.program);
        for argument in self.settings.run.iter().skip(1) {
            command.arg(filled(argument, &places));
        }
        command.current_dir(self.cwd.as_deref().unwrap_or(output)).env_clear();
        command
            .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()));
        command.env("LANG", "C.UTF-8");
        let passed_on = if cfg!(windows) { ["SYSTEMROOT", "TEMP"].as_slice() } else { &[] };
        for name in passed_on.iter().copied().chain(self.settings.env.iter().map(String::as_str)) {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(&self.settings.set);
        for (name, place) in places {
            command.env(format!("ATLES_{}", name.to_uppercase()), place);
        }
        command
    }

    fn failed(&self, failed: &Failed) -> BackendError {
        match failed {
            Failed::Start(error) => BackendError::Failed {
                message: format!("{} could not be started: {error}", self.name),
                hint: Some(format!(
                    "is {} there and executable? See `run` in [training.command]",
                    self.program.display()
                )),
            },
            Failed::Pipes(error) => {
                BackendError::Later(format!("the talk with {} broke off: {error}", self.name))
            }
            Failed::Flooded => BackendError::failed(format!("{} wrote too much", self.name)),
        }
    }

    fn judge(&self, ended: &Ended, said: &Said) -> Result<(), BackendError> {
        if ended.status.success() && said.error.is_none() {
            return Ok(());
        }
        let words = said.error.clone().unwrap_or_else(|| {
            let tail = one_line(&ended.stderr_tail);
            let skipped = tail.chars().count().saturating_sub(WORDS);
            tail.chars().skip(skipped).collect()
        });
        let words = if words.is_empty() { "it said nothing".to_owned() } else { words };
        let message = format!("{} ended with {}: {words}", self.name, ended.status);
        if ended.status.code() == Some(EX_TEMPFAIL) {
            return Err(BackendError::Later(message));
        }
        Err(BackendError::Failed { message, hint: Some("logs/daemon.log holds what it wrote".into()) })
    }
}

impl Backend for Command {
    fn train(
        &mut self,
        job: &Job<'_>,
        watch: &mut dyn FnMut(&Progress),
        stop: &Arc<AtomicBool>,
    ) -> Result<Trained, BackendError> {
        let output = job.folder.join("output");
        let document = job.folder.join("job.json");
        let written = platform::make_private_dir(&output)
            .and_then(|()| platform::replace(&document, describe(job, &output).to_string().as_bytes()));
        written
            .map_err(|error| BackendError::Later(format!("the run's folder cannot be written: {error}")))?;

        let began = Instant::now();
        let mut said = Said::default();
        let ended = self.run(job, &output, &document, &mut said, watch, stop, began)?;
        self.judge(&ended, &said)?;
        let artefact = check(&output, said.artefact.as_deref(), job.base)?;
        let seconds = began.elapsed().as_secs_f64();
        Ok(Trained { artefact, losses: said.losses, tokens: said.progress.tokens, seconds })
    }
}

impl Command {
    #[expect(clippy::too_many_arguments, reason = "one call, and each is something else")]
    fn run(
        &self,
        job: &Job<'_>,
        output: &Path,
        document: &Path,
        said: &mut Said,
        watch: &mut dyn FnMut(&Progress),
        stop: &AtomicBool,
        began: Instant,
    ) -> Result<Ended, BackendError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| BackendError::Later(error.to_string()))?;
        let mut err_lines = 0;
        let name = self.name.as_str();
        runtime.block_on(async {
            let work = program::run_lines(
                self.command(job, output, document),
                |line| said.take(line, began, watch, name),
                |line| {
                    err_lines += 1;
                    if err_lines <= MAX_LOGGED {
                        info!(trainer = name, "{}", one_line(line));
                    }
                },
            );
            tokio::select! {
                ended = work => ended.map_err(|failed| self.failed(&failed)),
                // The program dies with all its children when it is not waited for any more.
                () = stopped(stop) => Err(BackendError::Stopped),
                () = tokio::time::sleep(self.settings.timeout.0) => Err(BackendError::Failed {
                    message: format!("{name} took longer than {} and was killed", self.settings.timeout),
                    hint: Some("raise `timeout` in [training.command]".into()),
                }),
            }
        })
    }
}

impl Said {
    fn take(&mut self, text: &str, began: Instant, watch: &mut dyn FnMut(&Progress), name: &str) {
        let Some(line) = Line::read(text) else {
            self.logged += 1;
            if self.logged <= MAX_LOGGED {
                info!(trainer = name, "{}", one_line(text));
            }
            return;
        };
        if let Some(artefact) = line.artefact {
            self.artefact = Some(artefact);
        }
        if let Some(error) = line.error {
            self.error = Some(one_line(&error).chars().take(WORDS).collect());
        }
        if let Some(loss) = line.loss {
            self.losses.push(loss);
            self.progress.loss = loss;
        }
        self.progress.step = line.step.unwrap_or(self.progress.step);
        self.progress.steps = line.steps.unwrap_or(self.progress.steps);
        self.progress.tokens = line.tokens.unwrap_or(self.progress.tokens);
        self.progress.seconds = began.elapsed().as_secs_f64();
        if line.step.is_some() || line.loss.is_some() {
            watch(&self.progress);
        }
    }
}

/// Waits until a stop is asked for.
pub(super) async fn stopped(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(LOOK).await;
    }
}

/// An argument with its places filled in. Paths that are not Unicode stay as they are.
fn filled(argument: &str, places: &[(&str, &Path)]) -> OsString {
    let mut filled = OsString::new();
    let mut rest = argument;
    while let Some(at) = rest.find('{') {
        let (before, after) = rest.split_at(at);
        filled.push(before);
        let place = places.iter().find_map(|(name, path)| {
            Some((path, after.strip_prefix('{')?.strip_prefix(name)?.strip_prefix('}')?))
        });
        match place {
            Some((path, behind)) => {
                filled.push(path.as_os_str());
                rest = behind;
            }
            None => {
                filled.push("{");
                rest = after.get(1..).unwrap_or_default();
            }
        }
    }
    filled.push(rest);
    filled
}

/// `job.json`: what the program may want to know.
fn describe(job: &Job<'_>, output: &Path) -> serde_json::Value {
    let settings = job.settings;
    let answers =
        |chats: &[Vec<crate::session::SpokenTurn>]| chats.iter().flatten().filter(|turn| turn.learn).count();
    json!({
        "version": 1,
        "run": job.run,
        "train": job.train_file, "held_out": job.held_out_file, "base": job.base, "output": output,
        "chats_train": job.train.len(), "chats_held_out": job.held_out.len(), "answers_train": answers(job.train),
        "rank": settings.rank, "alpha": settings.alpha, "learning_rate": settings.learning_rate,
        "epochs": settings.epochs, "batch": settings.batch, "max_length": settings.max_length,
        "seed": settings.seed, "threads": settings.threads,
    })
}

#[cfg(unix)]
#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
