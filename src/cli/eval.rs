use std::fmt::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::{Exit, open, say};
use crate::memory::recall::{Asked, FEATURES, Marks, Report, Weights};

/// Options of `atles eval`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Ask questions whose answers are known, and tell how many are found.
    Recall {
        /// The questions, one JSON object a line: {"user_id", "question", "category", "evidence", "now"}. `evidence`
        /// are ids of the user's messages, or SESSION_ID#INDEX.
        #[arg(long, value_name = "FILE")]
        questions: PathBuf,
        /// How many hits are looked at.
        #[arg(long, value_delimiter = ',', default_value = "5,10,25,50", value_name = "K,…")]
        k: Vec<usize>,
        /// Switch a feature of the ranking off, to see what it gains.
        #[arg(long, value_name = "FEATURE", value_parser = clap::builder::PossibleValuesParser::new(FEATURES))]
        without: Vec<String>,
        /// Also evaluate once without each feature.
        #[arg(long)]
        gains: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// An evaluation, and the same without one feature each.
#[derive(Debug, Serialize)]
struct Evaluation {
    #[serde(flatten)]
    report: Report,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    without: Vec<(String, Marks)>,
}

pub(super) fn run(config: Option<&Path>, args: &Args) -> Exit {
    let Verb::Recall { questions, k, without, gains, json } = &args.verb;
    let asked = match read(questions) {
        Ok(asked) => asked,
        Err(exit) => return exit,
    };
    let mut memory = match open::memory(config) {
        Ok(Some(memory)) => memory,
        Ok(None) => {
            say::error("nothing was learned yet", Some("`atles run --once` learns what is in the spool"));
            return Exit::Failure;
        }
        Err(exit) => return exit,
    };
    let weights =
        without.iter().fold(Weights::default(), |weights, it| weights.without(it).unwrap_or(weights));
    let evaluated = memory.refresh().and_then(|()| {
        let mut ask = |weights| memory.evaluate(&asked, k, weights, Timestamp::now());
        let report = ask(weights)?;
        let mut without = Vec::new();
        for feature in FEATURES.iter().filter(|_| *gains) {
            if let Some(weights) = weights.without(feature) {
                without.push(((*feature).to_owned(), ask(weights)?.all));
            }
        }
        Ok(Evaluation { report, without })
    });
    match evaluated {
        Ok(evaluation) if *json => say::json(&evaluation),
        Ok(evaluation) => say::page(&page(&evaluation)),
        Err(problem) => {
            say::error(&problem, problem.hint());
            Exit::Failure
        }
    }
}

fn read(path: &Path) -> Result<Vec<Asked>, Exit> {
    let text = std::fs::read_to_string(path).map_err(|problem| {
        say::error(format_args!("cannot read {}: {problem}", path.display()), None);
        Exit::Failure
    })?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            serde_json::from_str(line).map_err(|problem| {
                say::error(format_args!("{}, line {}: {problem}", path.display(), number + 1), None);
                Exit::Failure
            })
        })
        .collect()
}

fn page(evaluation: &Evaluation) -> String {
    let Evaluation { report, without } = evaluation;
    let mut page = String::new();
    let cuts = report.all.recall.keys();
    let columns: String = cuts.clone().map(|k| format!("{:>8}", format!("R@{k}"))).collect();
    let hits: String = cuts.map(|k| format!("{:>8}", format!("Hit@{k}"))).collect();
    let _ = writeln!(page, "{:<14}{:>9}{columns}{hits}{:>9}", "", "questions", "session");
    let mut line = |name: &str, marks: &Marks| {
        let percent = |mark: &f64| format!("{:>8.1}", mark * 100.0);
        let columns: String = marks.recall.values().chain(marks.hit.values()).map(percent).collect();
        let _ =
            writeln!(page, "{name:<14}{:>9}{columns}{:>9.1}", marks.questions, marks.session_hit_1 * 100.0);
    };
    line("all", &report.all);
    for (category, marks) in &report.categories {
        line(category, marks);
    }
    for (feature, marks) in without {
        line(&format!("− {feature}"), marks);
    }
    let kinds: Vec<String> = report.kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let _ = writeln!(page, "\nfound first by   {}", kinds.join(", "));
    let (aside, unknown) = (report.without_evidence, report.unknown_evidence);
    let _ = writeln!(
        page,
        "left out         {aside} questions without evidence; {unknown} messages not in memory"
    );
    let took = report.latency_ms;
    let _ = writeln!(
        page,
        "a question took  p50 {:.2} ms, p99 {:.2} ms, at most {:.2} ms",
        took.p50, took.p99, took.max
    );
    page
}
