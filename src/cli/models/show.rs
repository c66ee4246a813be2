use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use crate::cli::{Exit, open, say};
use crate::training::versions::{Lineage, Metrics, Version, Versions, sparkline, svg, write_whole};

/// Options of `atles models show`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The version, as in v0001; without it the current one.
    version: Option<String>,
    /// As JSON: metrics and lineage.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Everything<'a> {
    current: bool,
    tainted: bool,
    #[serde(flatten)]
    metrics: &'a Metrics,
    lineage: &'a Lineage,
    plot: Option<String>,
}

pub(in crate::cli) fn run(config: Option<&Path>, args: &Args) -> Exit {
    let home = match open::home(config) {
        Ok(home) => home,
        Err(exit) => return exit,
    };
    let versions = Versions::of(&home);
    let current = versions.current().map(|version| version.name);
    let found = match &args.version {
        Some(name) => versions.get(name),
        None => versions.current(),
    };
    let Some(version) = found else {
        let message = match &args.version {
            Some(name) => format!("there is no version {name}"),
            None => "no version is current".to_owned(),
        };
        say::error(message, Some("`atles models list` names the versions"));
        return Exit::Failure;
    };
    let plot = draw(&version);
    let is_current = current.as_ref() == Some(&version.name);
    if args.json {
        return say::json(&Everything {
            current: is_current,
            tainted: version.tainted,
            metrics: &version.metrics,
            lineage: &version.lineage,
            plot,
        });
    }
    say::page(&page(&version, is_current, plot.as_deref()))
}

/// Draws the loss curve beside the adapter; the path of the picture.
fn draw(version: &Version) -> Option<String> {
    let path = version.folder.join("loss.svg");
    let picture = svg(&version.metrics.losses, &format!("{}: loss of each step", version.name));
    match write_whole(&path, picture.as_bytes()) {
        Ok(()) => Some(path.display().to_string()),
        Err(problem) => {
            eprintln!("warning: the loss curve cannot be drawn: {problem}");
            None
        }
    }
}

fn page(version: &Version, is_current: bool, plot: Option<&str>) -> String {
    let Metrics { record, .. } = &version.metrics;
    let metrics = &version.metrics;
    let mut page = String::new();
    let current = if is_current { ", current" } else { "" };
    let tainted = if version.tainted { ", tainted: a session of it was forgotten" } else { "" };
    let _ = writeln!(page, "{} {:?}{current}{tainted}", version.name, record.decision);
    let mut line = |name: &str, text: String| {
        let _ = writeln!(page, "  {name:<11} {text}");
    };
    line("reason", record.reason.clone());
    line("base", format!("{} (sha256 {})", record.base, version.lineage.base.sha256));
    let held_out = version.lineage.sessions.iter().filter(|session| session.held_out).count();
    line(
        "sessions",
        format!(
            "{}, {held_out} of them held out; {} answers learned, {} measured with",
            record.sessions, record.examples_train, record.examples_held_out
        ),
    );
    line(
        "training",
        format!(
            "{} tokens, {:.0} a second, {:.0} s in all, {} MiB at most",
            record.tokens,
            record.tokens_per_second,
            metrics.seconds,
            record.peak_rss_bytes >> 20
        ),
    );
    line(
        "loss",
        format!("{}  {:.3} → {:.3}", sparkline(&metrics.losses, 48), record.loss_first, record.loss_last),
    );
    let pair = |(before, after): (f64, f64)| {
        format!("{before:.3} → {after:.3} ({:+.1} %)", 100.0 * (after / before - 1.0))
    };
    line("held out", pair((record.held_out_before, record.held_out_after)));
    if let Some(new) = metrics.new_held_out {
        line("  new", format!("{}, falls in {:.1} % of the draws", pair(new), 100.0 * metrics.confidence));
    }
    if let Some(old) = metrics.old_held_out {
        line("  old", pair(old));
    }
    line("general", pair((record.anchor_before, record.anchor_after)));
    if let Some(relevance) = metrics.relevance {
        line("relevance", format!("questions tell {relevance:.3} nats a token of the learned answers"));
    }
    line("measured", metrics.measured.clone());
    line("made", format!("{} by {}", metrics.finished, version.lineage.code));
    if let Some(plot) = plot {
        line("curve", plot.to_owned());
    }
    page
}
