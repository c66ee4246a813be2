use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Exit, open, say};
use crate::memory::transfer::{Restored, SessionRecord, parse};
use crate::memory::{MemoryError, Writer};

/// Mistakes that are named one by one.
const NAMED_MAX: usize = 20;

/// Options of `atles import memory`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The export.
    file: PathBuf,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// What became of the sessions.
#[derive(Debug, Default, Serialize)]
struct Counts {
    imported: u64,
    replaced: u64,
    unchanged: u64,
    older: u64,
}

/// Why nothing was imported.
enum Trouble {
    File(io::Error),
    Memory(MemoryError),
    /// The file is another than the one that was checked.
    Changed,
}

pub(super) fn run(config: Option<&Path>, args: &Args) -> Exit {
    let Args { file, json } = args;
    let home = match open::home(config) {
        Ok(home) => home,
        Err(exit) => return exit,
    };
    if let Err(problem) = home.prepare() {
        say::error(&problem, Some(problem.hint()));
        return Exit::Failure;
    }
    let mut input = match File::open(file) {
        Ok(input) => input,
        Err(problem) => return unreadable(file, &problem),
    };
    match mistakes(&mut input) {
        Ok(mistakes) if mistakes.is_empty() => {}
        Ok(mistakes) => {
            for (line, what) in mistakes.iter().take(NAMED_MAX) {
                say::error(format_args!("{}, line {line}: {what}", file.display()), None);
            }
            let count = say::count(mistakes.len() as u64, "line is", "lines are");
            say::error(
                format_args!("nothing was imported: {count} wrong"),
                Some("correct or take out these lines, or export anew; then import the whole file again"),
            );
            return Exit::Failure;
        }
        Err(problem) => return unreadable(file, &problem),
    }
    match import(&mut input, &home.memory_db()) {
        Ok(counts) if *json => say::json(&counts),
        Ok(Counts { imported, replaced, unchanged, older }) => say::data(&format!(
            "{} imported, {replaced} of them over an earlier revision; {unchanged} were there already, {older} older\n",
            say::count(imported + replaced, "session", "sessions"),
        )),
        Err(Trouble::File(problem)) => unreadable(file, &problem),
        Err(Trouble::Memory(problem)) => {
            say::error(&problem, problem.hint());
            Exit::Failure
        }
        Err(Trouble::Changed) => {
            say::error(format_args!("{} was changed meanwhile; nothing was imported", file.display()), None);
            Exit::Failure
        }
    }
}

fn unreadable(file: &Path, problem: &io::Error) -> Exit {
    say::error(format_args!("cannot read {}: {problem}", file.display()), None);
    Exit::Failure
}

/// Hands out each line that says something, read, with its number.
fn lines(
    input: &mut File,
    mut each: impl FnMut(usize, Result<SessionRecord, String>) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    input.rewind().map_err(Trouble::File)?;
    let mut reader = BufReader::new(input);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if reader.read_until(b'\n', &mut line).map_err(Trouble::File)? == 0 {
            break;
        }
        if !line.trim_ascii().is_empty() {
            each(number, parse(line.trim_ascii()))?;
        }
    }
    Ok(())
}

/// The lines that are wrong, and why. All are read before anything is written.
fn mistakes(input: &mut File) -> io::Result<Vec<(usize, String)>> {
    let mut found = Vec::new();
    let read = lines(input, |number, record| {
        found.extend(record.err().map(|what| (number, what)));
        Ok(())
    });
    match read {
        Err(Trouble::File(problem)) => Err(problem),
        _ => Ok(found),
    }
}

/// Stores all of it in one transaction.
fn import(input: &mut File, memory: &Path) -> Result<Counts, Trouble> {
    let mut writer = Writer::open(memory).map_err(Trouble::Memory)?;
    let mut batch = writer.begin().map_err(Trouble::Memory)?;
    let mut counts = Counts::default();
    lines(input, |_, record| {
        let record = record.map_err(|_| Trouble::Changed)?;
        match batch.restore(&record).map_err(Trouble::Memory)? {
            Restored::New => counts.imported += 1,
            Restored::Replaced => counts.replaced += 1,
            Restored::Unchanged => counts.unchanged += 1,
            Restored::Older => counts.older += 1,
        }
        Ok(())
    })?;
    batch.commit().map_err(Trouble::Memory)?;
    Ok(counts)
}
