use std::fmt::Write;
use std::path::Path;

use super::{Exit, open, say};
use crate::daemon::{ControlError, Report, Request, Response, ask, from_folders};
use crate::sources::SourceReport;

/// Problems of a source that are shown; `--json` has more.
const PROBLEMS: usize = 3;

/// Options of `atles status`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Exit code 4 tells that no daemon runs.
pub(super) fn run(config: Option<&Path>, args: &Args) -> Exit {
    let home = match open::home(config) {
        Ok(home) => home,
        Err(exit) => return exit,
    };
    let report = match ask(&home, &Request::Status) {
        Ok(Response::Status(report)) => *report,
        Ok(Response::Ok | Response::Forgot(_)) => from_folders(&home),
        // It is stopping, say: then the folders tell what they can.
        Ok(Response::Error { message, .. }) => {
            say::error(message, None);
            from_folders(&home)
        }
        Err(ControlError::NotRunning(_)) => from_folders(&home),
        Err(problem) => {
            say::error(problem, None);
            from_folders(&home)
        }
    };
    let shown = if args.json { say::json(&report) } else { say::page(&page(&report)) };
    if shown == Exit::Fine && !report.running { Exit::NotRunning } else { shown }
}

/// The report as a person reads it.
fn page(report: &Report) -> String {
    let mut page = String::new();
    let _ = match (report.running, report.pid) {
        (true, Some(pid)) => writeln!(
            page,
            "running   process {pid}, {}, version {}, watching by {}",
            uptime(report.uptime_seconds),
            report.version,
            if report.watcher == "poll" { "polling" } else { "events" }
        ),
        (true, None) => writeln!(page, "running   but it does not answer"),
        (false, _) => writeln!(page, "stopped   `atles run` starts the daemon"),
    };
    let _ = writeln!(page, "home      {}", report.home);
    if let Some(paused) = &report.paused {
        let _ = writeln!(page, "paused    {paused}");
    }
    if let Some(problem) = &report.pipeline_problem {
        let _ = writeln!(page, "pipeline  edited and not taken over: {problem}; `atles check` tells more");
    } else if !report.stages.is_empty() {
        let _ = writeln!(page, "pipeline  {}", report.stages.join(" → "));
    }
    let _ = writeln!(
        page,
        "\n{:>9}  in the spool{}\n{:>9}  in work{}\n{:>9}  in done\n{:>9}  in failed{}",
        report.spool,
        aside(report.settling, "still being written") + &aside(report.live, "running"),
        report.work,
        aside(report.retrying, "to be tried again"),
        report.done,
        report.failed,
        if report.failed > 0 { "   (`atles failed list` tells why)" } else { "" },
    );
    for source in &report.sources {
        source_lines(&mut page, source);
    }
    if let Some(training) = &report.training {
        let _ = writeln!(page, "\ntraining  {training}");
    }
    if let Some(totals) = &report.totals {
        let _ = writeln!(
            page,
            "\nlearned   {}, {}, {}, {}",
            say::count(totals.sessions, "session", "sessions"),
            say::count(totals.messages, "message", "messages"),
            say::count(totals.memory_items, "memory item", "memory items"),
            say::count(totals.examples, "training example", "training examples"),
        );
        let _ = writeln!(
            page,
            "besides   {}, {}, {} filtered, {}",
            say::count(totals.revisions, "revision", "revisions"),
            say::count(totals.duplicates, "duplicate", "duplicates"),
            totals.filtered,
            say::count(totals.redactions, "value redacted", "values redacted"),
        );
    }
    page
}

fn source_lines(page: &mut String, source: &SourceReport) {
    let _ = writeln!(page, "\nsource    {}: {}", source.format, source.path);
    if let Some(trouble) = &source.trouble {
        let _ = writeln!(page, "          cannot be read: {trouble}");
    }
    if source.trouble.is_some() && source.conversations == 0 {
        return;
    }
    let _ = writeln!(
        page,
        "          {}, {} learned{}{}{}",
        say::count(source.conversations, "conversation", "conversations"),
        source.learned,
        aside(source.waiting, "not at rest yet"),
        source.last_learned.as_ref().map(|at| format!(", the last at {at}")).unwrap_or_default(),
        if source.watcher == "poll" { ", read every now and then" } else { "" },
    );
    for problem in source.problems.iter().take(PROBLEMS) {
        let _ = writeln!(page, "          {}: {}", problem.file, problem.problem);
    }
    let more = source.problems_total.saturating_sub(source.problems.len().min(PROBLEMS) as u64);
    if more > 0 {
        let _ = writeln!(page, "          … and {}", say::count(more, "more problem", "more problems"));
    }
    if source.without_conversation > 0 {
        let files = say::count(source.without_conversation, "file", "files");
        let _ = writeln!(page, "          {files} without a conversation");
    }
}

fn aside(number: u64, what: &str) -> String {
    if number > 0 { format!(", {number} {what}") } else { String::new() }
}

fn uptime(seconds: u64) -> String {
    match seconds {
        0..60 => format!("up {seconds} s"),
        60..3600 => format!("up {} min", seconds / 60),
        _ => format!("up {} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::SourceProblem;
    use crate::state::Totals;

    #[test]
    fn the_page_says_what_a_person_wants_to_know_first() {
        let report = Report {
            running: true,
            pid: Some(7),
            version: "0.1.0".into(),
            home: "/home/ada/atles_memory".into(),
            stages: vec!["redact".into(), "memory".into()],
            uptime_seconds: 3700,
            watcher: "native".into(),
            paused: Some("only 3 MiB are free on the disk".into()),
            spool: 2,
            settling: 1,
            live: 2,
            failed: 1,
            totals: Some(Totals { sessions: 1, messages: 20, ..Totals::default() }),
            sources: vec![
                SourceReport {
                    format: "codex".into(),
                    path: "/home/ada/.codex/sessions".into(),
                    watcher: "native".into(),
                    conversations: 12,
                    learned: 11,
                    waiting: 1,
                    last_learned: Some("2026-04-01T10:00:00Z".into()),
                    problems: vec![SourceProblem {
                        file: "a.jsonl".into(),
                        problem: "permission denied".into(),
                    }],
                    problems_total: 2,
                    without_conversation: 1,
                    ..SourceReport::default()
                },
                SourceReport {
                    format: "jan".into(),
                    path: "/home/ada/jan/threads".into(),
                    trouble: Some("no such folder".into()),
                    ..SourceReport::default()
                },
            ],
            ..Report::default()
        };
        insta::assert_snapshot!(page(&report), @r"
        running   process 7, up 1 h 1 min, version 0.1.0, watching by events
        home      /home/ada/atles_memory
        paused    only 3 MiB are free on the disk
        pipeline  redact → memory

                2  in the spool, 1 still being written, 2 running
                0  in work
                0  in done
                1  in failed   (`atles failed list` tells why)

        source    codex: /home/ada/.codex/sessions
                  12 conversations, 11 learned, 1 not at rest yet, the last at 2026-04-01T10:00:00Z
                  a.jsonl: permission denied
                  … and 1 more problem
                  1 file without a conversation

        source    jan: /home/ada/jan/threads
                  cannot be read: no such folder

        learned   1 session, 20 messages, 0 memory items, 0 training examples
        besides   0 revisions, 0 duplicates, 0 filtered, 0 values redacted
        ");
    }
}
