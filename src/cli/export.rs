use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::recall::when;
use super::{Exit, open, say};
use crate::memory::transfer::{Selection, SessionRecord, markdown, sessions};
use crate::memory::{MemoryError, profile};
use crate::pipeline::KnownStems;
use crate::platform;
use crate::session::{Identity, Session};
use crate::spool::Home;

/// Options of `atles export`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// `jsonl`: all that is remembered, a session a line, for `atles import memory`; `markdown`: the same to be read;
    /// `training`: the lines of training data.
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// Only this user's. An empty name is the user of apps that know only one.
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Only chats that went on since: a date, a time, or how long ago ("2026-03-01", "30d").
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Where to; `-` is standard output.
    #[arg(long, short, default_value = "-", value_name = "FILE")]
    output: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Jsonl,
    Markdown,
    Training,
}

pub(super) fn run(config: Option<&Path>, args: &Args) -> Exit {
    let since = match args.since.as_deref().map(|text| (text, when(text, Timestamp::now()))) {
        None => None,
        Some((_, Some(since))) => Some(since),
        Some((text, None)) => {
            say::error(
                format_args!("`{text}` is no value for --since"),
                Some("write a date (2026-03-01), a time (2026-03-01T10:00) or how long ago (30d)"),
            );
            return Exit::Usage;
        }
    };
    let home = match open::home(config) {
        Ok(home) => home,
        Err(exit) => return exit,
    };
    let memory = match open::memory(config) {
        Ok(memory) => memory,
        Err(exit) => return exit,
    };
    let selection = Selection { user: args.user.as_deref(), since };
    let mut target = match Target::open(&args.output) {
        Ok(target) => target,
        Err(problem) => return broken(&args.output, &problem),
    };
    let written = match &memory {
        None => Ok(Ok(0)),
        Some(memory) => export(memory.connection(), &home, args.format, &selection, target.writer()),
    };
    let count = match written {
        Err(problem) => {
            say::error(&problem, problem.hint());
            return Exit::Failure;
        }
        // A reader that went away (`| head`) is no error.
        Ok(Err(problem)) if problem.kind() == io::ErrorKind::BrokenPipe => return Exit::Fine,
        Ok(Err(problem)) => return broken(&args.output, &problem),
        Ok(Ok(count)) => count,
    };
    if let Err(problem) = target.finish() {
        return if problem.kind() == io::ErrorKind::BrokenPipe {
            Exit::Fine
        } else {
            broken(&args.output, &problem)
        };
    }
    eprintln!("{}", say::count(count, "session", "sessions"));
    Exit::Fine
}

fn broken(path: &Path, problem: &io::Error) -> Exit {
    say::error(format_args!("cannot write {}: {problem}", path.display()), None);
    Exit::Failure
}

/// Writes the sessions; how many.
fn export(
    conn: &rusqlite::Connection,
    home: &Home,
    format: Format,
    selection: &Selection<'_>,
    out: &mut dyn Write,
) -> Result<io::Result<u64>, MemoryError> {
    let mut count = 0;
    let mut result = match format {
        Format::Markdown => match profiles(conn, selection)? {
            pages if pages.is_empty() => Ok(()),
            pages => out.write_all(pages.as_bytes()),
        },
        _ => Ok(()),
    };
    let stems = match (format, KnownStems::read(home)) {
        (Format::Training, Ok(stems)) => Some(stems),
        (Format::Training, Err(problem)) => return Ok(Err(problem)),
        _ => None,
    };
    sessions(conn, selection, |record| {
        let written = match (format, &stems) {
            (Format::Jsonl, _) => {
                serde_json::to_vec(&record).map_err(io::Error::other).and_then(|mut line| {
                    line.push(b'\n');
                    out.write_all(&line)
                })
            }
            (Format::Markdown, _) if !record.remembered => return true,
            (Format::Markdown, _) => out.write_all(markdown(&record).as_bytes()),
            (Format::Training, Some(stems)) => match training(home, stems, &record) {
                Ok(None) => return true,
                Ok(Some(lines)) => out.write_all(&lines),
                Err(problem) => Err(problem),
            },
            (Format::Training, None) => return false,
        };
        count += 1;
        result = written;
        result.is_ok()
    })?;
    Ok(result.map(|()| count))
}

/// What is known of the users whose sessions follow.
fn profiles(conn: &rusqlite::Connection, selection: &Selection<'_>) -> Result<String, MemoryError> {
    let mut users = BTreeSet::new();
    sessions(conn, selection, |record| {
        users.insert(record.user_id);
        true
    })?;
    let mut pages = String::new();
    for user in users {
        if let Some(profile) = profile::profile(conn, user.as_deref())? {
            pages.push_str(&profile.markdown());
            pages.push('\n');
        }
    }
    Ok(pages)
}

/// The lines of training data of a session; `None` if it has none.
fn training(home: &Home, stems: &KnownStems, record: &SessionRecord) -> io::Result<Option<Vec<u8>>> {
    let named = Session {
        session_id: record.session_id.clone(),
        user_id: record.user_id.clone(),
        app: record.app.clone(),
        ..Session::default()
    };
    let Some(stem) = stems.of_session(&record.session_id, &Identity::of(&named), &record.key) else {
        return Ok(None);
    };
    match std::fs::read(home.training_data().join(format!("training_{stem}.jsonl"))) {
        Ok(lines) if lines.is_empty() => Ok(None),
        Ok(lines) => Ok(Some(lines)),
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(problem) => Err(problem),
    }
}

/// Standard output, or a file that is there whole or not at all.
struct Target {
    out: BufWriter<Box<dyn Write>>,
    /// Where the file is written, and where it shall be.
    file: Option<(std::fs::File, PathBuf, PathBuf)>,
}

impl Target {
    fn open(path: &Path) -> io::Result<Self> {
        if path == Path::new("-") {
            return Ok(Target { out: BufWriter::new(Box::new(io::stdout())), file: None });
        }
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".{}.part", std::process::id()));
        let aside = PathBuf::from(aside);
        let file = platform::create_private(&aside)?;
        let out = BufWriter::new(Box::new(file.try_clone()?) as Box<dyn Write>);
        Ok(Target { out, file: Some((file, aside, path.to_path_buf())) })
    }

    fn writer(&mut self) -> &mut dyn Write {
        &mut self.out
    }

    fn finish(mut self) -> io::Result<()> {
        self.out.flush()?;
        let Some((file, aside, path)) = self.file.take() else { return Ok(()) };
        file.sync_all()?;
        std::fs::rename(aside, path)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some((_, aside, _)) = &self.file {
            let _ = std::fs::remove_file(aside);
        }
    }
}
