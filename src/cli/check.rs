use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::{Exit, open, say};
use crate::config::load;
use crate::daemon::Services;
use crate::pipeline::{Chain, Rehearsed};
use crate::session::{Envelope, FileFacts, Learned};

/// Options of `atles check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show, stage by stage, what the chain would do to this file. Nothing is stored or moved.
    #[arg(long, value_name = "FILE")]
    dry_run: Option<PathBuf>,
    /// The problems as JSON.
    #[arg(long, conflicts_with = "dry_run")]
    json: bool,
}

pub(super) fn run(config: Option<&Path>, args: &Args) -> Exit {
    let path = match open::path(config) {
        Ok(path) => path,
        Err(exit) => return exit,
    };
    let services = Services::default();
    let loaded = load(&path, &|home, dir| services.give(home, dir));
    let diagnostics = match &loaded {
        Ok(loaded) => &loaded.warnings,
        Err(diagnostics) => diagnostics,
    };
    if args.json {
        say::json(&diagnostics.located());
    } else {
        open::show(diagnostics);
    }
    let Ok(loaded) = loaded else { return Exit::BadConfig };
    match &args.dry_run {
        Some(file) => dry_run(Chain::from(loaded.config), file),
        None => {
            if !args.json {
                eprintln!(
                    "{} is good: {}",
                    path.display(),
                    say::count(loaded.config.stages.len() as u64, "stage", "stages")
                );
            }
            Exit::Fine
        }
    }
}

fn dry_run(chain: Chain, file: &Path) -> Exit {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(problem) => {
            say::error(format_args!("cannot read {}: {problem}", file.display()), None);
            return Exit::Failure;
        }
    };
    let name = file.file_name().map(crate::spool::shown).unwrap_or_default();
    let decoded = match chain.decode.decode(&bytes, &name) {
        Ok(decoded) => decoded,
        Err(problem) => {
            say::page(&format!("{:<14} would fail: {problem}\n", "decode"));
            if let Some(hint) = &problem.hint {
                eprintln!("hint:  {hint}");
            }
            return Exit::DeadLetters;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(problem) => {
            say::error(problem, None);
            return Exit::Failure;
        }
    };
    let sessions = decoded.sessions.len();
    let mut page = String::new();
    for skipped in &decoded.skipped {
        let _ = writeln!(page, "{:<14} skipped: {skipped}", "decode");
    }
    let mut exit = Exit::Fine;
    for (index, session) in decoded.sessions.into_iter().enumerate() {
        let facts = FileFacts {
            name: name.clone(),
            size: bytes.len() as u64,
            format: decoded.format,
            index,
            sessions,
        };
        let mut envelope = Envelope::new(session, facts);
        let _ = writeln!(
            page,
            "{:<14} {} as {}: session {} of {sessions}, {}",
            "decode",
            name,
            decoded.format,
            index + 1,
            say::count(envelope.session.messages.len() as u64, "message", "messages")
        );
        let mut before = Learned::default();
        runtime.block_on(chain.rehearse(&mut envelope, |stage, how| {
            let line = match how {
                Rehearsed::Done { note, envelope } => {
                    let line = note.unwrap_or_else(|| "nothing to say".into());
                    let found = found(&before, &envelope.learned);
                    before = envelope.learned.clone();
                    format!("{line}{found}")
                }
                Rehearsed::Skipped => "skipped: its `when` does not hold".into(),
                Rehearsed::Finished(note) => format!("would end here, settled as done: {note}"),
                Rehearsed::Failed(message) => {
                    exit = Exit::DeadLetters;
                    format!("would fail: {message}")
                }
            };
            let _ = writeln!(page, "{:<14} {line}", stage.name);
        }));
    }
    say::page(&page);
    exit
}

/// What a stage added, line by line.
fn found(before: &Learned, now: &Learned) -> String {
    let mut lines = String::new();
    let mut line = |text: String| {
        let _ = write!(lines, "\n{:<14}   {text}", "");
    };
    for topic in now.topics.iter().skip(before.topics.len()) {
        line(format!("topic       {} ({:.2})", topic.name, topic.score));
    }
    for preference in now.preferences.iter().skip(before.preferences.len()) {
        let quote = preference.quote.text.escape_debug();
        line(format!("preference  {} {} — “{quote}”", preference.polarity.as_str(), preference.object));
    }
    for fact in now.facts.iter().skip(before.facts.len()) {
        line(format!(
            "fact        {} = {} — “{}”",
            fact.attribute,
            fact.value,
            fact.quote.text.escape_debug()
        ));
    }
    for (rule, count) in now.redactions.iter().filter(|(rule, _)| !before.redactions.contains_key(*rule)) {
        line(format!("redacted    {count} × {rule}"));
    }
    lines
}
