use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use jiff::{Timestamp, civil, tz::TimeZone};

use super::{Exit, import_memory, open, say};
use crate::daemon::{Services, home_of};
use crate::import::{Import, Options, Progress, Report, Since};
use crate::session::formats::Format;
use crate::spool::{InstanceLock, NameFilter};

/// Files in the spool from which on the daemon is let to catch up.
const WAITING: usize = 4096;
/// Problems that are shown; `--json` has them all.
const SHOWN: usize = 20;

/// Options of `atles import`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Exports as they come (zip or unpacked), chat files, transcripts in Markdown or text, or folders of them.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The format, where it is not told rightly by the shape of the file: chatgpt, claude, open-webui, librechat,
    /// lm-studio, jan, transcript, or another that the decode stage knows.
    #[arg(long, value_parser = format, default_value = "auto")]
    format: Format,
    /// Whose chats they are, whatever the export says.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Leave out conversations that ended before: a date (2026-01-31), a time, or a span back from now (90d).
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Since>,
    /// Import also what an earlier import handed over; what is still known is settled as a duplicate.
    #[arg(long)]
    again: bool,
    /// Only count what would be imported.
    #[arg(long)]
    dry_run: bool,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Read what `atles export --format jsonl` wrote. All of it, or with one bad line nothing. What is there already
    /// stays as it is.
    Memory(import_memory::Args),
}

fn format(text: &str) -> Result<Format, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

fn since(text: &str) -> Result<Since, String> {
    let at = if let Ok(span) = humantime::parse_duration(text) {
        Timestamp::now().checked_sub(span).ok()
    } else if let Ok(at) = text.parse::<Timestamp>() {
        Some(at)
    } else {
        let date = text.parse::<civil::DateTime>().or_else(|_| text.parse::<civil::Date>().map(Into::into));
        date.ok().and_then(|date| date.to_zoned(TimeZone::system()).ok()).map(|date| date.timestamp())
    };
    at.map(Since).ok_or_else(|| "not a date (2026-01-31), a time or a span (90d)".to_owned())
}

pub(super) fn run(config: Option<&Path>, args: &Args) -> Exit {
    if let Some(Verb::Memory(args)) = &args.verb {
        return import_memory::run(config, args);
    }
    let services = Services::default();
    let loaded = match open::config(config, &services) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let settings = &loaded.config.settings;
    let home = home_of(&loaded.config);
    let include: Vec<String> = settings.spool.include.iter().map(ToString::to_string).collect();
    if !NameFilter::new(&include).takes("import-0.json".as_ref()) {
        say::error(
            "[spool] include does not take the files of an import",
            Some("add \"import-*.json\" to it in pipeline.toml"),
        );
        return Exit::BadConfig;
    }
    if !args.dry_run
        && let Err(problem) = home.prepare()
    {
        say::error(&problem, Some(problem.hint()));
        return Exit::Failure;
    }
    let options = Options {
        format: args.format,
        user: args.user.clone(),
        since: args.since,
        again: args.again,
        dry_run: args.dry_run,
        max_size: settings.spool.max_size.0,
        min_free: settings.disk.min_free.0,
        waiting: WAITING,
    };
    // Drawn on a terminal only.
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:32} {bytes}/{total_bytes} {msg}") {
        bar.set_style(style);
    }
    let mut progress = |progress| match progress {
        Progress::Read(bytes) => {
            bar.set_message("");
            bar.inc(bytes);
        }
        Progress::Waiting => bar.set_message("waiting for the daemon to learn"),
    };
    let imported = Import::run(&home, &args.files, options, |bytes| bar.set_length(bytes), &mut progress);
    bar.finish_and_clear();
    let report = match imported {
        Ok(report) => report,
        Err(problem) => {
            say::error(&problem, problem.hint());
            return Exit::Failure;
        }
    };
    let shown = if args.json { say::json(&report) } else { say::page(&page(&report, args.dry_run)) };
    if !args.json {
        list_problems(&report);
    }
    if !args.dry_run && report.imported > 0 && !InstanceLock::is_taken(&home) {
        eprintln!("no daemon runs: they are learned at the next `atles run`");
    }
    let nothing = report.imported + report.already + report.older == 0;
    if nothing && report.problems_total > 0 { Exit::Failure } else { shown }
}

fn page(report: &Report, dry_run: bool) -> String {
    let conversations = |count| say::count(count, "conversation", "conversations");
    let verb = if dry_run { "would import" } else { "imported" };
    let mut page = format!(
        "{verb} {} with {} of {} in {}\n",
        conversations(report.imported),
        say::count(report.messages, "message", "messages"),
        report.conversations,
        say::count(report.files, "file", "files"),
    );
    for (count, what) in [(report.already, "imported before"), (report.older, "ended before --since")] {
        if count > 0 {
            page.push_str(&format!("{count} {what}\n"));
        }
    }
    for (what, count) in &report.skipped {
        page.push_str(&format!("left out: {count} {what}\n"));
    }
    if report.problems_total > 0 {
        page.push_str(&format!("{} could not be read\n", report.problems_total));
    }
    page
}

fn list_problems(report: &Report) {
    for problem in report.problems.iter().take(SHOWN) {
        let place = problem.conversation.map(|number| format!(", conversation {number}")).unwrap_or_default();
        eprintln!("{}{place}: {}", problem.file, problem.why);
    }
    let more = report.problems_total.saturating_sub(SHOWN as u64);
    if more > 0 {
        eprintln!("… and {more} more; --json lists them");
    }
}
