//! How well recall finds what it should: questions with known evidence, asked one by one.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::{Kind, Query, Recall, Weights, Whose};
use crate::memory::MemoryError;

/// A question and the messages that answer it, as a line of a questions file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Asked {
    /// Whose memory is asked.
    #[serde(default)]
    pub user_id: Option<String>,
    /// The question.
    #[serde(alias = "query")]
    pub question: String,
    /// What kind of question it is: a number or a name.
    #[serde(default)]
    pub category: Option<serde_json::Value>,
    /// Ids of the messages that answer it, unique within the user's; or `SESSION#INDEX`.
    #[serde(default)]
    pub evidence: Vec<String>,
    /// When it is asked, for "last week"; without it, now.
    #[serde(default)]
    pub now: Option<Timestamp>,
}

/// How many questions found how much.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Marks {
    /// Questions.
    pub questions: usize,
    /// By k: the mean share of a question's evidence among the first k messages.
    pub recall: BTreeMap<usize, f64>,
    /// By k: the share of questions of which any evidence is among the first k messages.
    pub hit: BTreeMap<usize, f64>,
    /// The share of questions whose first message is of a session that holds evidence.
    pub session_hit_1: f64,
}

/// Milliseconds a question took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Half of the questions took no longer.
    pub p50: f64,
    /// 99 in 100 took no longer.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// What an evaluation found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// All questions with evidence.
    pub all: Marks,
    /// The same by category.
    pub categories: BTreeMap<String, Marks>,
    /// What kind the hits were that brought evidence first: turn, fact or preference.
    pub kinds: BTreeMap<&'static str, usize>,
    /// Questions left out because they name no evidence.
    pub without_evidence: usize,
    /// Messages named as evidence that are not in memory.
    pub unknown_evidence: usize,
    /// How long one question took.
    pub latency_ms: Latency,
}

/// Asks all questions.
pub(super) fn evaluate(
    recall: &mut Recall,
    conn: &Connection,
    asked: &[Asked],
    cuts: &[usize],
    weights: Weights,
    now: Timestamp,
) -> Result<Report, MemoryError> {
    let mut report = Report::default();
    let mut took = Vec::new();
    let deepest = cuts.iter().copied().max().unwrap_or(1);
    for question in asked {
        if question.evidence.is_empty() {
            report.without_evidence += 1;
            continue;
        }
        let whose = question.user_id.as_deref().map_or(Whose::Everyone, Whose::Named);
        let query = Query {
            text: &question.question,
            whose,
            // Several statements of one message are one message.
            limit: deepest + 20,
            since: None,
            now: question.now.unwrap_or(now),
            weights,
        };
        let begun = Instant::now();
        let hits = recall.find(conn, &query)?;
        took.push(begun.elapsed());
        let (wanted, sessions, unknown) = evidence(conn, question)?;
        report.unknown_evidence += unknown;
        let mut seen = HashSet::new();
        let hits: Vec<_> = hits.into_iter().filter(|hit| seen.insert(hit.row)).collect();
        if let Some(first) = hits.iter().find(|hit| wanted.contains(&hit.row)) {
            *report.kinds.entry(kind(first.kind)).or_default() += 1;
        }
        let ranks: Vec<usize> = (0..hits.len())
            .filter(|rank| hits.get(*rank).is_some_and(|hit| wanted.contains(&hit.row)))
            .collect();
        let right_session = hits.first().is_some_and(|hit| sessions.contains(&(hit.row >> 20)));
        let category = match &question.category {
            Some(serde_json::Value::String(name)) => name.clone(),
            Some(other) => other.to_string(),
            None => "none".to_owned(),
        };
        let total = wanted.len() + unknown;
        for marks in [&mut report.all, report.categories.entry(category).or_default()] {
            marks.add(&ranks, total, right_session, cuts);
        }
    }
    report.all.divide();
    report.categories.values_mut().for_each(Marks::divide);
    report.latency_ms = latency(took);
    Ok(report)
}

impl Marks {
    fn add(&mut self, ranks: &[usize], total: usize, right_session: bool, cuts: &[usize]) {
        self.questions += 1;
        self.session_hit_1 += f64::from(u8::from(right_session));
        for cut in cuts {
            let found = ranks.iter().filter(|rank| *rank < cut).count();
            *self.recall.entry(*cut).or_default() += found as f64 / total.max(1) as f64;
            *self.hit.entry(*cut).or_default() += f64::from(u8::from(found > 0));
        }
    }

    fn divide(&mut self) {
        let count = self.questions.max(1) as f64;
        self.session_hit_1 /= count;
        self.recall.values_mut().chain(self.hit.values_mut()).for_each(|mark| *mark /= count);
    }
}

/// The rows of the messages that answer, their sessions, and how many are not there.
fn evidence(conn: &Connection, question: &Asked) -> Result<(HashSet<i64>, HashSet<i64>, usize), MemoryError> {
    let by_id = "SELECT m.id FROM users u JOIN sessions s ON s.user = u.id
                 JOIN messages m ON m.id BETWEEN s.id << 20 AND (s.id << 20) + 1048575
                 WHERE (?1 IS NULL OR u.user_id = ?1) AND m.message_id = ?2";
    let by_place = "SELECT (s.id << 20) + ?3 FROM users u JOIN sessions s ON s.user = u.id
                    WHERE (?1 IS NULL OR u.user_id = ?1) AND s.session_id = ?2";
    let mut wanted = HashSet::new();
    let mut unknown = 0;
    for id in question.evidence.iter().collect::<HashSet<_>>() {
        let mut rows: Vec<i64> = conn
            .prepare_cached(by_id)?
            .query_map((&question.user_id, id), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        if rows.is_empty()
            && let Some((session, Ok(index))) = id.rsplit_once('#').map(|(s, i)| (s, i.parse::<i64>()))
        {
            rows = conn
                .prepare_cached(by_place)?
                .query_map((&question.user_id, session, index), |row| row.get(0))?
                .collect::<Result<_, _>>()?;
        }
        unknown += usize::from(rows.is_empty());
        wanted.extend(rows);
    }
    let sessions = wanted.iter().map(|row| row >> 20).collect();
    Ok((wanted, sessions, unknown))
}

fn latency(mut took: Vec<Duration>) -> Latency {
    took.sort_unstable();
    let at = |share: f64| {
        let place = (took.len() as f64 * share).ceil() as usize;
        took.get(place.saturating_sub(1)).map_or(0.0, |it| (it.as_secs_f64() * 1e6).round() / 1e3)
    };
    Latency { p50: at(0.5), p99: at(0.99), max: at(1.0) }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Turn => "turn",
        Kind::Fact => "fact",
        Kind::Preference => "preference",
    }
}
