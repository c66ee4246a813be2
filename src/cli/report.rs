//! The report at the end of the demo.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::say::count;
use crate::memory::reader::{self, SessionSummary};
use crate::spool::{Home, Sidecar};
use crate::state::{LedgerEntry, Outcome, State};

/// Longest name of a file in the report.
const NAME: usize = 44;

/// What was learned a session, what failed and why, where each thing lies, and what to try next.
pub(super) fn page(home: &Home, state: &State, config: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let mut entries: Vec<LedgerEntry> = Vec::new();
    state.entries(&mut |_, entry| entries.push(entry))?;
    entries.sort_by(|a, b| a.file.cmp(&b.file));
    let sessions = summaries(home)?;
    let mut page = String::new();
    learned(&mut page, &sessions)?;
    other_outcomes(&mut page, &entries)?;
    dead_letters(&mut page, home, &entries)?;
    let totals = state.totals()?;
    writeln!(
        page,
        "\n{} from {}: {}, {}, {}, {}",
        count(totals.sessions, "session", "sessions"),
        count(entries.len() as u64, "file", "files"),
        count(totals.messages, "message", "messages"),
        count(totals.memory_items, "memory item", "memory items"),
        count(totals.examples, "training example", "training examples"),
        count(totals.redactions, "value redacted", "values redacted"),
    )?;
    places(&mut page, home, config)?;
    Ok(page)
}

fn summaries(home: &Home) -> Result<BTreeMap<(String, String), SessionSummary>, Box<dyn std::error::Error>> {
    let memory = reader::open(&home.memory_db())?;
    let mut summaries = BTreeMap::new();
    for row in reader::latest_sessions(&memory, usize::MAX >> 1)? {
        if let Some(summary) = reader::summary(&memory, row)? {
            summaries.insert((summary.file.clone(), summary.session_id.clone()), summary);
        }
    }
    Ok(summaries)
}

fn learned(page: &mut String, sessions: &BTreeMap<(String, String), SessionSummary>) -> std::fmt::Result {
    writeln!(page, "LEARNED")?;
    for ((file, _), session) in sessions {
        let topics: Vec<&str> = session.topics.iter().take(3).map(String::as_str).collect();
        writeln!(page, "  {:<NAME$} {:>3} messages  {}", short(file), session.messages, topics.join(", "))?;
        statements(page, session, "      ")?;
        if !session.redactions.is_empty() {
            let counts: Vec<String> =
                session.redactions.iter().map(|(rule, count)| format!("{count} × {rule}")).collect();
            writeln!(page, "      redacted {}", counts.join(", "))?;
        }
    }
    Ok(())
}

/// The facts and preferences of a session, one a line.
pub(super) fn statements(page: &mut String, session: &SessionSummary, indent: &str) -> std::fmt::Result {
    let user = session.user_id.as_deref().unwrap_or("the user");
    for fact in &session.facts {
        writeln!(page, "{indent}{user}: {} = {}", fact.attribute, plain(&fact.value))?;
    }
    for preference in session.preferences.iter().filter(|preference| preference.kind != "signal") {
        let verb = if preference.polarity == "for" { "wants" } else { "avoids" };
        writeln!(page, "{indent}{user} {verb} {}", plain(&preference.object))?;
    }
    Ok(())
}

fn other_outcomes(page: &mut String, entries: &[LedgerEntry]) -> std::fmt::Result {
    let noted = |entry: &&LedgerEntry| !entry.outcome.is_failure() && entry.outcome != Outcome::Learned;
    let mut others = entries.iter().filter(noted).peekable();
    if others.peek().is_some() {
        writeln!(page, "\nALSO DONE")?;
    }
    for entry in others {
        let what = match entry.outcome {
            Outcome::Revision => "took the place of an earlier version of the same chat",
            _ => &entry.note,
        };
        writeln!(page, "  {:<NAME$} {what}", short(&entry.file))?;
    }
    Ok(())
}

fn dead_letters(page: &mut String, home: &Home, entries: &[LedgerEntry]) -> std::fmt::Result {
    let mut failed = entries.iter().filter(|entry| entry.outcome.is_failure()).peekable();
    if failed.peek().is_some() {
        writeln!(page, "\nFAILED, each beside a sidecar that says why")?;
    }
    for entry in failed {
        let why = match Sidecar::read(&home.failed.join(&entry.file)) {
            Some(sidecar) => match sidecar.line {
                Some(line) => format!("{}: {} (line {line})", sidecar.stage, sidecar.message),
                None => format!("{}: {}", sidecar.stage, sidecar.message),
            },
            None => entry.note.clone(),
        };
        writeln!(page, "  {:<NAME$} {why}", short(&entry.file))?;
    }
    Ok(())
}

fn places(page: &mut String, home: &Home, config: &Path) -> std::fmt::Result {
    let root = home.root.display();
    let config = config.display();
    let atles = std::env::args().next().unwrap_or_else(|| "atles".into());
    writeln!(page, "\nWHERE THINGS LIE")?;
    writeln!(page, "  {root}/memory.db        what was learned, readable with any SQLite tool")?;
    writeln!(page, "  {root}/training_data/   the examples a model can be trained on")?;
    writeln!(page, "  {root}/logs/            a log a session, master_log.jsonl, daemon.log")?;
    writeln!(page, "  {root}/done/ failed/    the files themselves")?;
    writeln!(page, "\nWHAT TO TRY NEXT")?;
    writeln!(page, "  {atles} --config {config} failed list")?;
    writeln!(
        page,
        "  {atles} --config {config} check --dry-run {}/2026-03-09-mara-compose-database.json",
        home.done.display()
    )?;
    writeln!(page, "  {atles} --config {config} run     then drop a session into {root}/spool/")?;
    writeln!(page, "  {atles} init                      begin with a home of your own")
}

/// A name that fits its column.
fn short(name: &str) -> String {
    if name.chars().count() <= NAME {
        name.to_owned()
    } else {
        name.chars().take(NAME - 1).chain(['…']).collect()
    }
}

/// A value from a chat on one line.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(100).collect()
}
