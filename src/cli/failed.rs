use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Exit, open, say};
use crate::daemon::{ControlError, Request, Response, ask};
use crate::platform;
use crate::spool::{Home, InstanceLock, SIDECAR_SUFFIX, Sidecar, shown};
use crate::state::{SledStore, State, StateBatch};

/// Options of `atles failed`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// One line a dead letter.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Everything about one dead letter.
    Show {
        /// Its name in failed/.
        name: PathBuf,
        /// As JSON: the sidecar itself.
        #[arg(long)]
        json: bool,
    },
    /// Put dead letters back to work, at the stage that failed.
    Retry {
        /// Their names in failed/.
        #[arg(required_unless_present = "all")]
        names: Vec<PathBuf>,
        /// All of them.
        #[arg(long, conflicts_with = "names")]
        all: bool,
    },
}

pub(super) fn run(config: Option<&Path>, args: &Args) -> Exit {
    let home = match open::home(config) {
        Ok(home) => home,
        Err(exit) => return exit,
    };
    match &args.verb {
        Verb::List { json } => list(&home, *json),
        Verb::Show { name, json } => show(&home, name, *json),
        Verb::Retry { names, all } => retry(&home, names, *all),
    }
}

/// A dead letter as `list --json` tells it.
#[derive(Debug, Serialize)]
struct Letter {
    name: String,
    #[serde(flatten)]
    sidecar: Option<Sidecar>,
}

/// The dead letters, by name.
fn letters(home: &Home) -> std::io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&home.failed)? {
        let name = entry?.file_name();
        if !name.as_encoded_bytes().ends_with(SIDECAR_SUFFIX.as_bytes()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn letters_or_say(home: &Home) -> Result<Vec<OsString>, Exit> {
    match letters(home) {
        Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(|problem| {
            say::error(format_args!("cannot read {}: {problem}", home.failed.display()), None);
            Exit::Failure
        }),
    }
}

fn list(home: &Home, json: bool) -> Exit {
    let names = match letters_or_say(home) {
        Ok(names) => names,
        Err(exit) => return exit,
    };
    let letters = names
        .iter()
        .map(|name| Letter { name: shown(name), sidecar: Sidecar::read(&home.failed.join(name)) });
    if json {
        return say::json(&letters.collect::<Vec<_>>());
    }
    let mut page = String::new();
    for Letter { name, sidecar } in letters {
        let _ = match sidecar {
            Some(sidecar) => {
                writeln!(page, "{name}\n    {}: {}{}", sidecar.stage, sidecar.message, place(&sidecar))
            }
            None => writeln!(page, "{name}\n    its sidecar is missing or cannot be read"),
        };
    }
    if page.is_empty() {
        eprintln!("no dead letters");
    } else {
        eprintln!(
            "{} in {}\n",
            say::count(names.len() as u64, "dead letter", "dead letters"),
            home.failed.display()
        );
    }
    say::page(&page)
}

fn place(sidecar: &Sidecar) -> String {
    let mut place = String::new();
    if let Some(line) = sidecar.line {
        let _ = write!(place, " (line {line}");
        let _ = sidecar.column.map_or(Ok(()), |column| write!(place, ", column {column}"));
        place.push(')');
    }
    if let Some(path) = &sidecar.path {
        let _ = write!(place, " at {path}");
    }
    place
}

/// A name in `failed/`, however it was given: bare, with its folder, or the sidecar's.
fn resolve(home: &Home, given: &Path) -> Result<OsString, Exit> {
    let name = given.file_name().unwrap_or_default();
    let bytes = name.as_encoded_bytes();
    let bytes = bytes.strip_suffix(SIDECAR_SUFFIX.as_bytes()).unwrap_or(bytes);
    let name = platform::name_from_bytes(bytes.to_vec());
    if platform::lstat(&home.failed.join(&name)).is_ok() {
        return Ok(name);
    }
    say::error(
        format_args!("there is no {} in {}", shown(&name), home.failed.display()),
        Some("`atles failed list` names the dead letters"),
    );
    Err(Exit::Failure)
}

fn show(home: &Home, given: &Path, json: bool) -> Exit {
    let name = match resolve(home, given) {
        Ok(name) => name,
        Err(exit) => return exit,
    };
    let path = home.failed.join(&name);
    let Some(sidecar) = Sidecar::read(&path) else {
        say::error(format_args!("{} cannot be read", Sidecar::beside(&path).display()), None);
        return Exit::Failure;
    };
    if json { say::json(&sidecar) } else { say::page(&page(&path, &sidecar)) }
}

fn page(path: &Path, sidecar: &Sidecar) -> String {
    let mut page = format!("{}\n", shown(path.as_os_str()));
    let _ = writeln!(page, "  failed    {} in `{}` ({})", sidecar.failed_at, sidecar.stage, sidecar.kind);
    let _ = writeln!(page, "  error     {}{}", sidecar.message, place(sidecar));
    for cause in &sidecar.causes {
        let _ = writeln!(page, "  because   {cause}");
    }
    if let Some(session) = sidecar.session {
        let _ = writeln!(page, "  session   number {session} in the file, from 0");
    }
    for (number, attempt) in sidecar.attempts.iter().enumerate() {
        let _ = writeln!(
            page,
            "  try {:<5} {} in `{}`: {}",
            number + 1,
            attempt.at,
            attempt.stage,
            attempt.error
        );
    }
    let _ = writeln!(page, "  to do     {}", sidecar.what_to_do);
    page
}

fn retry(home: &Home, given: &[PathBuf], all: bool) -> Exit {
    let names =
        if all { letters_or_say(home) } else { given.iter().map(|given| resolve(home, given)).collect() };
    let names = match names {
        Ok(names) => names,
        Err(exit) => return exit,
    };
    let mut exit = Exit::Fine;
    for name in names {
        match put_back(home, &name) {
            Ok(()) => eprintln!("{} goes back to work", shown(&name)),
            Err(message) => {
                say::error(format_args!("{}: {message}", shown(&name)), None);
                exit = Exit::Failure;
            }
        }
    }
    if exit == Exit::Fine && !InstanceLock::is_taken(home) {
        eprintln!("no daemon runs; `atles run` will work on them");
    }
    exit
}

/// Moves a dead letter to `work/`, from where the daemon, now or when it starts, takes it through the chain again.
/// What outside stages added before the failure is in their checkpoints, so the chain goes on where it broke.
fn put_back(home: &Home, name: &std::ffi::OsStr) -> Result<(), String> {
    let (from, to) = (home.failed.join(name), home.work.join(name));
    platform::rename_no_replace(&from, &to)
        .map_err(|problem| format!("cannot move it to work/: {problem}"))?;
    let _ = std::fs::remove_file(Sidecar::beside(&from));
    match ask(home, &Request::TakeBack { name: name.as_encoded_bytes().to_vec() }) {
        Ok(Response::Ok | Response::Status(_) | Response::Forgot(_)) => Ok(()),
        Ok(Response::Error { message, .. }) => Err(message),
        Err(ControlError::NotRunning(_)) => note_in_state(home, name).map_err(|problem| problem.to_string()),
        Err(problem) => Err(problem.to_string()),
    }
}

/// What the daemon does when it is asked, where none runs.
fn note_in_state(home: &Home, name: &std::ffi::OsStr) -> Result<(), crate::state::StateError> {
    platform::make_everything_private();
    let state = State::new(std::sync::Arc::new(SledStore::open(&home.sled())?));
    let mut totals = state.totals()?;
    totals.failed = totals.failed.saturating_sub(1);
    let mut batch = StateBatch::default();
    batch.remove_file(name);
    batch.put_totals(&totals);
    state.apply(batch)
}
