use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use crate::cli::{Exit, open, say};
use crate::training::versions::{Decision, Record, Version, Versions, sparkline};

/// Options of `atles models list`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// A version as `list --json` tells it.
#[derive(Debug, Serialize)]
struct Line<'a> {
    current: bool,
    tainted: bool,
    finished: &'a str,
    #[serde(flatten)]
    record: &'a Record,
}

pub(in crate::cli) fn run(config: Option<&Path>, args: &Args) -> Exit {
    let home = match open::home(config) {
        Ok(home) => home,
        Err(exit) => return exit,
    };
    let versions = Versions::of(&home);
    let current = versions.current().map(|version| version.name);
    let all = versions.list();
    let is_current = |version: &Version| current.as_ref() == Some(&version.name);
    if args.json {
        let lines = all.iter().map(|version| Line {
            current: is_current(version),
            tainted: version.tainted,
            finished: &version.metrics.finished,
            record: &version.metrics.record,
        });
        return say::json(&lines.collect::<Vec<_>>());
    }
    if all.is_empty() {
        eprintln!("no versions yet; `atles train` tells what waits for a run");
        return Exit::Fine;
    }
    let mut page = String::new();
    for version in &all {
        let record = &version.metrics.record;
        let mark = if is_current(version) { '*' } else { ' ' };
        let verdict = match (version.tainted, record.decision) {
            (true, _) => "tainted",
            (false, Decision::Promoted) => "promoted",
            (false, Decision::Rejected) => "rejected",
        };
        let _ = writeln!(
            page,
            "{mark} {}  {verdict}  {}  held out {:.3} → {:.3}  {}\n         {}",
            version.name,
            sparkline(&version.metrics.losses, 16),
            record.held_out_before,
            record.held_out_after,
            version.metrics.finished.get(..10).unwrap_or_default(),
            record.reason
        );
    }
    if current.is_none() {
        eprintln!("none is current: the base alone is in use");
    }
    say::page(&page)
}
