use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::{Exit, open, say};
use crate::platform;
use crate::spool::Home;

/// Options of `atles submit`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Session files; `-` reads one from standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(super) fn run(config: Option<&Path>, args: &Args) -> Exit {
    let home = match open::home(config) {
        Ok(home) => home,
        Err(exit) => return exit,
    };
    if let Err(problem) = home.prepare() {
        say::error(&problem, Some(problem.hint()));
        return Exit::Failure;
    }
    let mut exit = Exit::Fine;
    for file in &args.files {
        match submit(&home, file) {
            Ok(path) => {
                say::data(&format!("{}\n", path.display()));
            }
            Err(problem) => {
                say::error(format_args!("cannot submit {}: {problem}", file.display()), None);
                exit = Exit::Failure;
            }
        }
    }
    exit
}

/// Copies a file into the spool under a hidden name, syncs it, and publishes it by a rename that never overwrites.
fn submit(home: &Home, file: &Path) -> io::Result<PathBuf> {
    let (mut input, name): (Box<dyn io::Read>, OsString) = if file == Path::new("-") {
        (Box::new(io::stdin().lock()), format!("stdin-{}.json", std::process::id()).into())
    } else {
        let name =
            file.file_name().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "not a file name"))?;
        (Box::new(std::fs::File::open(file)?), taken_name(name))
    };
    let mut aside = OsString::from(format!(".submit-{}-", std::process::id()));
    aside.push(blake3::hash(name.as_encoded_bytes()).to_hex().as_str());
    let aside = home.spool.join(aside);
    let mut copy = platform::create_private(&aside)?;
    let written = io::copy(&mut input, &mut copy).and_then(|_| copy.flush()).and_then(|()| copy.sync_all());
    let published = written.and_then(|()| publish(&aside, &home.spool, &name));
    if published.is_err() {
        let _ = std::fs::remove_file(&aside);
    }
    published
}

/// A name that the default `[spool] include` takes.
fn taken_name(name: &OsStr) -> OsString {
    let bytes = name.as_encoded_bytes().to_ascii_lowercase();
    let mut name = name.to_os_string();
    if !bytes.ends_with(b".json") && !bytes.ends_with(b".jsonl") {
        name.push(".json");
    }
    name
}

fn publish(aside: &Path, spool: &Path, name: &OsStr) -> io::Result<PathBuf> {
    for number in 1..10_000 {
        let path = match number {
            1 => spool.join(name),
            _ => {
                let mut numbered = OsString::from(format!("{number}-"));
                numbered.push(name);
                spool.join(numbered)
            }
        };
        match platform::rename_no_replace(aside, &path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            result => return result.map(|()| path),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}
