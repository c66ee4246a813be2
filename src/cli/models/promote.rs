use std::path::Path;

use crate::cli::{Exit, open, say};
use crate::spool::Home;
use crate::training::versions::Versions;

/// Options of `atles models promote`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The version, as in v0001.
    version: String,
    /// Also one that the gate rejected.
    #[arg(long)]
    force: bool,
}

pub(in crate::cli) fn run(config: Option<&Path>, args: &Args) -> Exit {
    let home = match open::home(config) {
        Ok(home) => home,
        Err(exit) => return exit,
    };
    let versions = Versions::of(&home);
    let Some(version) = versions.get(&args.version) else {
        say::error(
            format_args!("there is no version {}", args.version),
            Some("`atles models list` names the versions"),
        );
        return Exit::Failure;
    };
    if version.tainted {
        say::error(
            format_args!("{} was trained on a session that was forgotten since", version.name),
            Some("`atles train --now` makes a version without it"),
        );
        return Exit::Failure;
    }
    if !version.is_promoted() && !args.force {
        say::error(
            format_args!("the gate rejected {}: {}", version.name, version.metrics.record.reason),
            Some("--force makes it current all the same"),
        );
        return Exit::Failure;
    }
    point(&home, &versions, Some(&version.name))
}

/// Goes back to the version before the current one.
pub(in crate::cli) fn rollback(config: Option<&Path>) -> Exit {
    let home = match open::home(config) {
        Ok(home) => home,
        Err(exit) => return exit,
    };
    let versions = Versions::of(&home);
    let Some(current) = versions.current() else {
        say::error("no version is current: the base alone is in use", None);
        return Exit::Failure;
    };
    let before = versions.before(&current.name);
    point(&home, &versions, before.as_ref().map(|version| version.name.as_str()))
}

fn point(home: &Home, versions: &Versions, name: Option<&str>) -> Exit {
    if let Err(problem) = versions.set_current(name) {
        say::error(format_args!("cannot write {}: {problem}", home.models().join("current").display()), None);
        return Exit::Failure;
    }
    eprintln!("{} is current", name.unwrap_or("the base alone"));
    Exit::Fine
}
