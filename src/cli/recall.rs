use std::fmt::Write;
use std::io::{self, BufRead};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Exit, open, say};
use crate::memory::recall::{Hit, Kind, Memory, Query, Statement, Weights, Whose};
use crate::memory::{MemoryError, profile, prompt};
use crate::session::Moment;
use crate::text::tame;

/// Options of `atles recall`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The question, in any words.
    #[arg(required_unless_present = "batch", conflicts_with = "batch")]
    query: Option<String>,
    /// Only this user's memory. Without it: that of all users.
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Hits at most.
    #[arg(long, default_value_t = 10, value_name = "N")]
    limit: usize,
    /// Only what was said since: a date, a time, or how long ago ("2026-03-01", "30d").
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Ask as if it were this date or time, for "last week" in the question.
    #[arg(long, value_name = "WHEN")]
    now: Option<String>,
    /// As JSON.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// `text`, `json`, or `prompt`: a block to paste into a system prompt.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Tokens that the block of `--format prompt` may have.
    #[arg(long, default_value_t = 800, value_name = "TOKENS")]
    budget: usize,
    /// Show what each score is made of.
    #[arg(long)]
    explain: bool,
    /// Read questions from stdin, one JSON object a line: {"id", "user_id", "query", "limit", "since"}; answer each
    /// with one line {"id", "hits"}.
    #[arg(long)]
    batch: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
    Prompt,
}

pub(super) fn run(config: Option<&Path>, args: &Args) -> Exit {
    let (now, since) = match times(args) {
        Ok(times) => times,
        Err(exit) => return exit,
    };
    let mut memory = match open::memory(config) {
        Ok(memory) => memory,
        Err(exit) => return exit,
    };
    if args.batch {
        return batch(memory.as_mut(), args, now, since);
    }
    let query = Query {
        text: args.query.as_deref().unwrap_or_default(),
        whose: whose(args.user.as_deref()),
        limit: args.limit,
        since,
        now: now.unwrap_or_else(Timestamp::now),
        weights: Weights::default(),
    };
    let answered = memory.as_mut().map_or(Ok(Vec::new()), |memory| ask(memory, &query, args.explain));
    let hits = match answered {
        Ok(hits) => hits,
        Err(problem) => return failed(&problem),
    };
    match args.format {
        _ if args.json => say::json(&hits),
        Format::Json => say::json(&hits),
        Format::Text => say::page(&page(&hits)),
        Format::Prompt => {
            let known = match (&memory, query.whose) {
                (Some(memory), Whose::Named(user)) => profile::profile(memory.connection(), Some(user)),
                (Some(memory), Whose::Unnamed) => profile::profile(memory.connection(), None),
                (Some(memory), Whose::Everyone) => only_user(memory),
                (None, _) => Ok(None),
            };
            match known {
                Ok(known) => say::data(&prompt::block(known.as_ref(), &hits, args.budget)),
                Err(problem) => failed(&problem),
            }
        }
    }
}

/// The profile of the one user there is; of several, none.
fn only_user(memory: &Memory) -> Result<Option<profile::Profile>, MemoryError> {
    match profile::users(memory.connection())?.as_slice() {
        [one] => profile::profile(memory.connection(), one.user_id.as_deref()),
        _ => Ok(None),
    }
}

fn failed(problem: &MemoryError) -> Exit {
    say::error(problem, problem.hint());
    Exit::Failure
}

/// An empty name is the user of apps that know only one.
fn whose(user: Option<&str>) -> Whose<'_> {
    match user {
        None => Whose::Everyone,
        Some("") => Whose::Unnamed,
        Some(name) => Whose::Named(name),
    }
}

/// Brings the index up to date and asks.
fn ask(memory: &mut Memory, query: &Query<'_>, explain: bool) -> Result<Vec<Hit>, MemoryError> {
    match memory.refresh() {
        // What is indexed can be asked all the same.
        Ok(()) => {}
        Err(problem @ (MemoryError::Busy(_) | MemoryError::Open { .. } | MemoryError::DiskFull(_))) => {
            say::error(format_args!("the newest sessions are not in the answer: {problem}"), problem.hint());
        }
        Err(problem) => return Err(problem),
    }
    let mut hits = memory.find(query)?;
    if !explain {
        hits.iter_mut().for_each(|hit| hit.parts = None);
    }
    Ok(hits)
}

fn times(args: &Args) -> Result<(Option<Timestamp>, Option<Timestamp>), Exit> {
    let read = |name: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => when(text, Timestamp::now()).map(Some).ok_or_else(|| {
            say::error(
                format_args!("`{text}` is no value for {name}"),
                Some("write a date (2026-03-01), a time (2026-03-01T10:00) or how long ago (30d)"),
            );
            Exit::Usage
        }),
    };
    Ok((read("--now", &args.now)?, read("--since", &args.since)?))
}

/// A date, a time, or how long ago.
pub(super) fn when(text: &str, now: Timestamp) -> Option<Timestamp> {
    let ago = || {
        let span: Duration = humantime::parse_duration(text).ok()?;
        now.checked_sub(span).ok()
    };
    Moment::parse(text)
        .or_else(|| Moment::parse(&format!("{text}T00:00:00")))
        .or_else(|| Moment::parse(&format!("{text}:00")))
        .map(Moment::timestamp)
        .or_else(ago)
}

/// One line of `--batch`. Fields that we do not know are passed over.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    user_id: Option<String>,
    #[serde(alias = "question")]
    query: String,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    since: Option<String>,
}

#[derive(Debug, Serialize)]
struct Answer {
    id: Value,
    hits: Vec<Hit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Answers line by line, each at once, so that an app can keep the process and ask whenever it likes.
fn batch(
    mut memory: Option<&mut Memory>,
    args: &Args,
    now: Option<Timestamp>,
    since: Option<Timestamp>,
) -> Exit {
    let mut all_well = true;
    let mut bytes = Vec::new();
    let mut input = io::stdin().lock();
    loop {
        bytes.clear();
        match input.read_until(b'\n', &mut bytes) {
            Ok(0) => break,
            Ok(_) if bytes.trim_ascii().is_empty() => continue,
            Ok(_) => {}
            Err(problem) => {
                say::error(format_args!("cannot read stdin: {problem}"), None);
                return Exit::Failure;
            }
        }
        let answer = answer(&bytes, memory.as_deref_mut(), args, now, since);
        all_well &= answer.error.is_none();
        let line = match serde_json::to_string(&answer) {
            Ok(line) => tame::json(line) + "\n",
            Err(problem) => {
                say::error(problem, None);
                return Exit::Failure;
            }
        };
        if say::data(&line) != Exit::Fine {
            return Exit::Failure;
        }
    }
    if all_well { Exit::Fine } else { Exit::Failure }
}

fn answer(
    bytes: &[u8],
    memory: Option<&mut Memory>,
    args: &Args,
    now: Option<Timestamp>,
    since: Option<Timestamp>,
) -> Answer {
    let line: Line = match serde_json::from_slice(bytes) {
        Ok(line) => line,
        Err(problem) => {
            // The id, if the line has one, so that the asker knows which question it was.
            let id =
                serde_json::from_slice::<Value>(bytes).ok().and_then(|mut it| Some(it.get_mut("id")?.take()));
            return Answer { id: id.unwrap_or_default(), hits: Vec::new(), error: Some(problem.to_string()) };
        }
    };
    let now = now.unwrap_or_else(Timestamp::now);
    let since = match line.since.as_deref().map(|text| (text, when(text, now))) {
        Some((text, None)) => {
            let error = Some(format!("`{text}` is no time"));
            return Answer { id: line.id, hits: Vec::new(), error };
        }
        Some((_, found)) => found,
        None => since,
    };
    let query = Query {
        text: &line.query,
        whose: whose(line.user_id.as_deref().or(args.user.as_deref())),
        limit: line.limit.unwrap_or(args.limit),
        since,
        now,
        weights: Weights::default(),
    };
    match memory.map_or(Ok(Vec::new()), |memory| ask(memory, &query, args.explain)) {
        Ok(hits) => Answer { id: line.id, hits, error: None },
        Err(problem) => Answer { id: line.id, hits: Vec::new(), error: Some(problem.to_string()) },
    }
}

/// The hits as a person reads them.
fn page(hits: &[Hit]) -> String {
    let mut page = String::new();
    for (number, hit) in hits.iter().enumerate() {
        let who = hit.speaker.clone().unwrap_or_else(|| hit.role.to_string());
        let when = hit.time.as_deref().and_then(|time| time.get(..10)).unwrap_or("undated");
        let kind = match (hit.kind, &hit.statement) {
            (Kind::Fact, Some(Statement::Fact { attribute, value })) => {
                format!("   fact: {attribute} = {value}")
            }
            (Kind::Preference, Some(Statement::Preference { object, polarity, .. })) => {
                format!("   preference: {polarity} {object}")
            }
            _ => String::new(),
        };
        let line = format!(
            "{:>3}. {when}  {who}  {} #{}  {:.2}{kind}",
            number + 1,
            hit.session_id,
            hit.message_index,
            hit.score
        );
        let _ = writeln!(page, "{}", prompt::one_line(&line));
        let _ = writeln!(page, "     {}", shortened(&prompt::one_line(&hit.text)));
        if let Some(parts) = &hit.parts {
            let _ = writeln!(
                page,
                "     (turn {:.2} + neighbours {:.2} + session {:.2} + statement {:.2}) × time {:.2} × recency {:.2} \
                 × role {:.2}",
                parts.turn,
                parts.neighbours,
                parts.session,
                parts.statement,
                parts.time,
                parts.recency,
                parts.role
            );
        }
    }
    page
}

/// The first words of a line.
fn shortened(line: &str) -> String {
    match line.char_indices().nth(240) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let now: Timestamp = "2026-03-31T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-03-01", Some("2026-03-01T00:00:00Z")),
            ("2026-03-01T10:30", Some("2026-03-01T10:30:00Z")),
            ("2026-03-01T10:30:00+02:00", Some("2026-03-01T08:30:00Z")),
            ("30d", Some("2026-03-01T12:00:00Z")),
            ("soon", None),
        ] {
            assert_eq!(when(text, now).map(|at| at.to_string()).as_deref(), expected, "{text}");
        }
    }
}
