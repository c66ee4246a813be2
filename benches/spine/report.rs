//! What was measured: a Markdown table on standard output, and JSON where it is wanted.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::Outcome;
use crate::options::Options;

/// The figures of a run, part after part.
pub(crate) struct Report {
    command: String,
    /// Name, Markdown, figures.
    parts: Vec<(&'static str, String, Map<String, Value>)>,
}

impl Report {
    pub(crate) fn new(options: &Options) -> Self {
        Report { command: options.command.clone(), parts: Vec::new() }
    }

    /// Begins a part with a table of its own.
    pub(crate) fn part(&mut self, name: &'static str, columns: &[&str]) {
        self.parts.push((name, String::new(), Map::new()));
        println!("\n### {name}\n");
        self.line(&format!("| {} |", columns.join(" | ")));
        self.line(&format!("|{}", "---|".repeat(columns.len())));
    }

    /// Adds a row to the table.
    pub(crate) fn row(&mut self, cells: &[String]) {
        self.line(&format!("| {} |", cells.join(" | ")));
    }

    /// Adds a sentence under the table, or whatever else is a line of Markdown.
    pub(crate) fn line(&mut self, line: &str) {
        println!("{line}");
        if let Some((_, markdown, _)) = self.parts.last_mut() {
            markdown.push_str(line);
            markdown.push('\n');
        }
    }

    /// Notes a figure for the JSON; names are paths with dots.
    pub(crate) fn figure(&mut self, name: &str, value: impl Into<Value>) {
        if let Some((_, _, figures)) = self.parts.last_mut() {
            figures.insert(name.to_owned(), value.into());
        }
    }

    /// Writes what is wanted in files.
    pub(crate) fn finish(self, options: &Options) -> Outcome {
        if let Some(path) = &options.json {
            let parts: Map<String, Value> =
                self.parts.iter().map(|(name, _, figures)| ((*name).to_owned(), json!(figures))).collect();
            let page = json!({
                "date": now(), "commit": commit(), "command": self.command, "machine": machine(), "parts": parts,
            });
            fs::write(path, serde_json::to_string_pretty(&page)? + "\n")?;
            eprintln!("figures in {}", path.display());
        }
        if options.docs {
            let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/BENCHMARKS.md");
            let mut text = fs::read_to_string(&page)?;
            let made = format!(
                "Made by `{}` on {}, commit {}, {}.\n\n",
                self.command,
                &now()[..10],
                commit(),
                machine_in_words()
            );
            for (name, markdown, _) in &self.parts {
                text = put(&text, name, &format!("{made}{markdown}"));
            }
            fs::write(page, text)?;
        }
        Ok(())
    }
}

/// Puts a section between its marks; a new one goes to the end.
fn put(page: &str, name: &str, section: &str) -> String {
    let (begin, end) =
        (format!("<!-- {name}: made by the benchmark -->\n"), format!("<!-- end of {name} -->\n"));
    let old = page.find(&begin).zip(page.find(&end)).filter(|(begin, end)| begin < end);
    match old {
        Some((from, to)) => format!("{}{begin}{section}{}", &page[..from], &page[to..]),
        None => format!("{page}\n## Measured: {name}\n\n{begin}{section}{end}"),
    }
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The commit, and whether there were changes on top of it.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output =
            Command::new("git").args(["-C", env!("CARGO_MANIFEST_DIR")]).args(arguments).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()).filter(|_| output.status.success())
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "src", "Cargo.toml", "Cargo.lock"]);
    match git(&["rev-parse", "--short", "HEAD"]) {
        Some(commit) if changed.is_none_or(|changed| changed.is_empty()) => commit,
        Some(commit) => format!("{commit} with changes"),
        None => "unknown".into(),
    }
}

fn field(file: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split(':').nth(1)?.trim().to_owned())
}

fn machine() -> Value {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
    json!({
        "system": std::env::consts::OS,
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        "processor": field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.into()),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory": memory,
        "file_system": file_system(),
        "load_at_the_end": load.trim(),
    })
}

fn machine_in_words() -> String {
    let machine = machine();
    let text = |key: &str| machine[key].as_str().unwrap_or("").to_owned();
    format!("{} cores of {}, {}", machine["cores"], text("processor"), text("file_system"))
}

/// The kind of file system that the benchmark's files lie on.
fn file_system() -> String {
    let output = Command::new("stat").args(["-f", "-c", "%T", env!("CARGO_TARGET_TMPDIR")]).output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The middle one of some values.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A number with as many digits as it is worth.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 10_000.0 => {
            let whole = format!("{value:.0}");
            let head = whole.len() - 3;
            format!("{},{}", &whole[..head], &whole[head..])
        }
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
