use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::cli::{Exit, models_embedding, say};
use crate::training::base::{Base, BaseError, Cache, DEFAULT, Known, Progress, pull};

/// Options of `atles models pull`.
#[derive(Debug, clap::Args)]
#[command(after_help = known_models())]
pub(in crate::cli) struct Args {
    /// The model.
    #[arg(default_value = DEFAULT, value_name = "NAME")]
    name: String,
    /// Print what was pulled as JSON.
    #[arg(long)]
    json: bool,
}

fn known_models() -> String {
    let line = |known: &Known| format!("  {:<24}{:>5} MB  {}\n", known.name, known.megabytes, known.licence);
    let models: String = Known::all().iter().map(line).collect();
    format!("Models:\n{models}\nFor recall:\n  {:<24}   19 MB  vectors of words", models_embedding::WORDLLAMA)
}

pub(in crate::cli) fn run(args: &Args) -> Exit {
    if args.name == models_embedding::WORDLLAMA {
        return models_embedding::pull();
    }
    match fetch(&args.name) {
        Ok(base) if args.json => say::json(&Pulled::of(&base)),
        Ok(base) => say::data(&format!("{}\n", base.path.display())),
        Err(error) => {
            say::error(&error, error.hint().as_deref());
            if matches!(error, BaseError::Unknown { .. }) { Exit::Usage } else { Exit::Failure }
        }
    }
}

fn fetch(name: &str) -> Result<Base, BaseError> {
    let cache = Cache::of_user().ok_or(BaseError::NoCache)?;
    let bar = Bar::new();
    let base = pull(name, &cache, &mut |progress| bar.show(progress))?;
    base.sha256()?;
    Ok(base)
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Pulled<'a> {
    name: &'a str,
    path: String,
    bytes: Option<u64>,
    sha256: Option<&'a str>,
}

impl<'a> Pulled<'a> {
    fn of(base: &'a Base) -> Self {
        Pulled {
            name: &base.name,
            path: base.path.display().to_string(),
            bytes: std::fs::metadata(&base.path).ok().map(|metadata| metadata.len()),
            sha256: base.sha256().ok(),
        }
    }
}

/// How far a pull is, for people: a bar on a terminal, else a line for what changes rarely.
pub(in crate::cli) struct Bar {
    bar: ProgressBar,
    on_terminal: bool,
}

impl Bar {
    /// A bar on stderr.
    pub(in crate::cli) fn new() -> Self {
        let bar = ProgressBar::no_length();
        if let Ok(style) =
            ProgressStyle::with_template("{bar:32} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}")
        {
            bar.set_style(style);
        }
        Bar { bar, on_terminal: std::io::stderr().is_terminal() }
    }

    /// Shows a step.
    pub(in crate::cli) fn show(&self, progress: Progress) {
        match progress {
            Progress::Bytes { done, total } => {
                if let Some(total) = total {
                    self.bar.set_length(total);
                }
                if self.bar.position() == 0 {
                    // What was there before is not this try's speed.
                    self.bar.reset_eta();
                }
                self.bar.set_position(done);
            }
            Progress::Waiting => self.say("another process pulls this model; waiting for it"),
            Progress::Asking { source } => self.say(&format!("asking {source}")),
            Progress::Failed { why } => self.say(&why),
            Progress::Checking => self.say("comparing the sha256"),
        }
    }

    fn say(&self, line: &str) {
        if self.on_terminal { self.bar.println(line) } else { eprintln!("{line}") }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
