//! From the turns that scored best by the index to the answer.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::hit::{Hit, Kind, Parts, Span};
use super::meaning::blend;
use super::passage::passage;
use super::question::Question;
use super::search::{Found, Scored, search};
use super::statements::{self, Candidate};
use super::times;
use super::weights::Weights;
use crate::memory::MemoryError;
use crate::memory::embedding::{Reader, WordVectors};
use crate::memory::index::terms::Terms;
use crate::session::{Moment, Role};

/// Turns that are looked at closely, beside those asked for.
const LOOKED_AT: usize = 100;
/// The most hits that one question can have.
const LIMIT_MAX: usize = 10_000;
/// Turns at the top whose sessions are searched for statements.
const STATEMENTS_IN: usize = 40;
/// How much more the newest counts for a question about how things are now.
const LATEST: f32 = 5.0;
const DAY_MS: f64 = 86_400_000.0;

/// Whose memory is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose<'a> {
    /// That of all users together.
    Everyone,
    /// One user's, by id.
    Named(&'a str),
    /// That of apps that know only one user.
    Unnamed,
}

/// What to look for.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The question, in any words.
    pub text: &'a str,
    /// Whose memory.
    pub whose: Whose<'a>,
    /// Hits at most.
    pub limit: usize,
    /// Only what was said at this time or later.
    pub since: Option<Timestamp>,
    /// When it is asked: "last week" is the week before this.
    pub now: Timestamp,
    /// How much each thing counts.
    pub weights: Weights,
}

/// Answers questions; keeps what it learns of words between two of them.
#[derive(Debug, Default)]
pub struct Recall {
    terms: Terms,
    meanings: Option<Reader>,
}

impl Recall {
    /// Compares meanings too, by these vectors of words.
    #[must_use]
    pub fn with_meanings(vectors: WordVectors) -> Self {
        Recall { meanings: Some(Reader::new(vectors)), ..Recall::default() }
    }

    /// What reads meanings, if it does.
    pub(super) fn meanings(&mut self) -> Option<&mut Reader> {
        self.meanings.as_mut()
    }

    /// The best hits, best first. Of an unknown user there are none. The index has to be up to date
    /// ([`crate::memory::index::catch_up`]).
    pub fn find(&mut self, conn: &Connection, query: &Query<'_>) -> Result<Vec<Hit>, MemoryError> {
        let limit = query.limit.min(LIMIT_MAX);
        let Some(user) = number_of(conn, query.whose)? else { return Ok(Vec::new()) };
        if limit == 0 {
            return Ok(Vec::new());
        }
        // One snapshot for all that is read.
        let conn = &*conn.unchecked_transaction()?;
        let question = Question::read(query.text, query.now, &mut self.terms);
        let scope = times::scope(conn, user, &question.times, query.since)?;
        let keep = 2 * limit + LOOKED_AT;
        let mut found = search(conn, &question.terms, &scope, &query.weights, keep)?;
        if let Some(reader) = self.meanings.as_mut().filter(|_| query.weights.meaning > 0.0) {
            blend(conn, query.text, &question, &scope, &query.weights, reader, &mut found)?;
        }
        if found.turns.is_empty() && !question.times.is_empty() {
            found.turns = times::turns_of(conn, &scope, keep)?;
        }
        found.turns.truncate(keep + LOOKED_AT);
        let mut ranking =
            Ranking { conn, query, question: &question, user, places: Places::default(), hits: Vec::new() };
        ranking.turns(&found)?;
        if query.weights.statements {
            ranking.statements(&found, &mut self.terms)?;
        }
        ranking.finish(limit, &mut self.terms)
    }
}

/// The number of a user, `Some(None)` for all of them; `None` if there is no such user.
fn number_of(conn: &Connection, whose: Whose<'_>) -> Result<Option<Option<i64>>, MemoryError> {
    let sql = "SELECT id FROM users WHERE user_id = ?";
    Ok(match whose {
        Whose::Everyone => Some(None),
        Whose::Unnamed => Some(Some(0)),
        Whose::Named(name) => {
            conn.prepare_cached(sql)?.query_row([name], |row| row.get(0)).optional()?.map(Some)
        }
    })
}

/// Where a message stands, as far as hits tell it.
#[derive(Debug, Clone)]
struct Place {
    session_id: String,
    user: i64,
    user_id: Option<String>,
    at_ms: i64,
    local: bool,
}

/// Sessions that hits stand in, each read once.
#[derive(Debug, Default)]
struct Places(HashMap<i64, Option<Place>>);

impl Places {
    fn of(&mut self, conn: &Connection, session: i64) -> Result<Option<&Place>, MemoryError> {
        Ok(match self.0.entry(session) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(read_place(conn, session)?),
        }
        .as_ref())
    }
}

fn read_place(conn: &Connection, session: i64) -> Result<Option<Place>, MemoryError> {
    let sql = "SELECT s.session_id, s.user, u.user_id, coalesce(s.start_ms, s.learned_ms), s.start_time
               FROM sessions s JOIN users u ON u.id = s.user WHERE s.id = ?";
    let read = |row: &Row<'_>| {
        let start: Option<String> = row.get(4)?;
        Ok(Place {
            session_id: row.get(0)?,
            user: row.get(1)?,
            user_id: row.get(2)?,
            at_ms: row.get(3)?,
            local: start.is_some_and(|text| !text.ends_with('Z')),
        })
    };
    Ok(conn.prepare_cached(sql)?.query_row([session], read).optional()?)
}

/// One answer in the making.
struct Ranking<'a> {
    conn: &'a Connection,
    query: &'a Query<'a>,
    question: &'a Question,
    /// `None` for all users.
    user: Option<i64>,
    places: Places,
    hits: Vec<Hit>,
}

impl Ranking<'_> {
    fn turns(&mut self, found: &Found) -> Result<(), MemoryError> {
        for scored in &found.turns {
            if let Some(hit) = self.look_at(scored.row, Some(scored))? {
                self.hits.push(hit);
            }
        }
        self.weigh_age();
        Ok(())
    }

    /// The message of a row as a hit, without its text; `None` if there is none that may be shown.
    fn look_at(&mut self, row: i64, scored: Option<&Scored>) -> Result<Option<Hit>, MemoryError> {
        let sql = "SELECT role, at_ms, local, name, message_id FROM messages WHERE id = ? AND octet_length(text) > 0";
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query([row])?;
        let Some(found) = rows.next()? else { return Ok(None) };
        let Some(place) = self.places.of(self.conn, row >> 20)? else { return Ok(None) };
        // The index is kept by user; this is the second lock on the same door.
        if self.user.is_some_and(|user| user != place.user) {
            return Ok(None);
        }
        let at_ms = found.get::<_, Option<i64>>(1)?;
        let local = if at_ms.is_some() { found.get::<_, Option<i64>>(2)?.is_some() } else { place.local };
        let at_ms = at_ms.unwrap_or(place.at_ms);
        if self.query.since.is_some_and(|since| at_ms < since.as_millisecond()) {
            return Ok(None);
        }
        let role = role(found.get(0)?);
        let scored = scored.copied().unwrap_or(Scored { row, ..Scored::default() });
        Ok(Some(Hit {
            session_id: place.session_id.clone(),
            message_id: found.get(4)?,
            message_index: (row & 0xF_FFFF) as u32,
            kind: Kind::Turn,
            user_id: place.user_id.clone(),
            role,
            speaker: found.get(3)?,
            time: time(at_ms, local),
            text: String::new(),
            span: Span { start: 0, end: 0 },
            score: 0.0,
            statement: None,
            parts: Some(Parts {
                turn: f64::from(scored.turn),
                neighbours: f64::from(scored.neighbours),
                session: f64::from(scored.session),
                meaning: f64::from(scored.meaning),
                statement: 0.0,
                time: f64::from(scored.time),
                recency: 1.0,
                role: f64::from(if role == Role::User { 1.0 } else { self.query.weights.not_user }),
            }),
            at_ms,
            row,
        }))
    }

    /// The newer counts a little more. Age is counted from the newest of what was found, so that who comes back after
    /// a year finds the same order.
    fn weigh_age(&mut self) {
        let newest = self.hits.iter().map(|hit| hit.at_ms).max().unwrap_or(0);
        let gain = self.query.weights.recency * if self.question.wants_latest { LATEST } else { 1.0 };
        for hit in &mut self.hits {
            let days = newest.saturating_sub(hit.at_ms).max(0) as f64 / DAY_MS;
            if let Some(parts) = &mut hit.parts {
                parts.recency = 1.0 + f64::from(gain) * (-days / Weights::HALF_LIFE_DAYS).exp2();
                hit.score = parts.total();
            }
        }
        self.hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.row.cmp(&b.row)));
    }

    fn statements(&mut self, found: &Found, terms: &mut Terms) -> Result<(), MemoryError> {
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut sessions: Vec<i64> = Vec::new();
        let rows: Vec<i64> = self.hits.iter().take(STATEMENTS_IN).map(|hit| hit.row).collect();
        for row in &rows {
            if !sessions.contains(&(row >> 20)) {
                sessions.push(row >> 20);
            }
        }
        for session in sessions {
            let Some(user) = self.places.of(self.conn, session)?.map(|place| place.user) else { continue };
            let mut reader =
                statements::Reader { conn: self.conn, user, question: self.question, idf: &found.idf, terms };
            candidates.extend(reader.of_session(session, &rows)?);
        }
        if let Some(user) = self.user {
            let mut reader =
                statements::Reader { conn: self.conn, user, question: self.question, idf: &found.idf, terms };
            candidates.extend(reader.asked_for()?);
            if self.question.wants_advice && self.query.weights.advice {
                candidates.extend(reader.for_advice()?);
            }
        }
        let best = self.hits.first().map_or(1.0, |hit| hit.score).max(1.0);
        let mut seen = HashSet::new();
        for candidate in candidates {
            if seen.insert((candidate.row, candidate.from, candidate.to, candidate.kind)) {
                self.add_statement(candidate, best)?;
            }
        }
        self.weigh_age();
        Ok(())
    }

    fn add_statement(&mut self, candidate: Candidate, best: f64) -> Result<(), MemoryError> {
        let known = self.hits.iter().find(|hit| hit.row == candidate.row && hit.kind == Kind::Turn).cloned();
        let hit = match known {
            Some(hit) => Some(hit),
            None => self.look_at(candidate.row, None)?,
        };
        let Some(mut hit) = hit else { return Ok(()) };
        if let Some(parts) = &mut hit.parts {
            // Its words stand in the turn too, and have been counted there.
            parts.statement = (candidate.own - parts.turn).max(0.0);
            if self.query.weights.advice && candidate.advises > 0.0 {
                // What the user wants stands beside the best that was said of the matter.
                parts.statement += best * (1.0 + candidate.advises) / 2.0;
            }
            hit.score = parts.total();
        }
        hit.kind = candidate.kind;
        hit.span = Span { start: candidate.from, end: candidate.to };
        hit.statement = Some(candidate.statement);
        self.hits.push(hit);
        Ok(())
    }

    /// The first `limit`, with their texts. Of a message whose statement stands higher the turn is left out: it would
    /// say the same again.
    fn finish(self, limit: usize, terms: &mut Terms) -> Result<Vec<Hit>, MemoryError> {
        let words: HashSet<&str> = self.question.terms.iter().map(|(term, _)| term.as_str()).collect();
        let mut stated = HashSet::new();
        let mut hits = Vec::new();
        for mut hit in self.hits {
            if hits.len() == limit {
                break;
            }
            if hit.kind == Kind::Turn && stated.contains(&hit.row) {
                continue;
            }
            let sql = "SELECT text FROM messages WHERE id = ?";
            let text: String =
                self.conn.prepare_cached(sql)?.query_row(params![hit.row], |row| row.get(0))?;
            if hit.kind == Kind::Turn {
                let range = passage(&text, &words, terms);
                hit.span = Span { start: range.start, end: range.end };
            } else {
                stated.insert(hit.row);
            }
            let Some(said) = text.get(hit.span.start..hit.span.end) else { continue };
            hit.text = said.to_owned();
            hit.score = (hit.score * 1e4).round() / 1e4;
            hits.push(hit);
        }
        Ok(hits)
    }
}

fn role(number: i64) -> Role {
    match number {
        0 => Role::User,
        1 => Role::Assistant,
        2 => Role::System,
        _ => Role::Tool,
    }
}

fn time(at_ms: i64, local: bool) -> Option<String> {
    let at = Timestamp::from_millisecond(at_ms).ok()?;
    let zoned = Moment::instant(at).to_string();
    Some(if local { zoned.trim_end_matches('Z').to_owned() } else { zoned })
}
