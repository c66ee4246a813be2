//! Which sessions were held at the time asked about.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::search::{Scope, Scored};
use super::weights::Weights;
use crate::memory::MemoryError;

/// What happened is told a while afterwards: for so long behind the time asked about a session still fits by half.
const TOLD_LATER_MS: i64 = 7 * 86_400_000;
/// A session that began so long before can reach into it.
const LONGEST_MS: i64 = 30 * 86_400_000;

/// What limits and weighs a search of one user's sessions, or of all.
pub(super) fn scope(
    conn: &Connection,
    user: Option<i64>,
    times: &[Range<i64>],
    since: Option<Timestamp>,
) -> Result<Scope, MemoryError> {
    let mut scope = Scope { user, only: None, times: HashMap::new() };
    for range in times {
        let sql = "SELECT id, start_ms, coalesce(end_ms, start_ms) FROM sessions
                   WHERE user = ?1 AND start_ms >= ?2 AND start_ms < ?3";
        let of_all = "SELECT id, start_ms, coalesce(end_ms, start_ms) FROM sessions
                      WHERE ?1 IS NULL AND start_ms >= ?2 AND start_ms < ?3";
        let mut statement = conn.prepare_cached(if user.is_some() { sql } else { of_all })?;
        let (from, to) = (range.start.saturating_sub(LONGEST_MS), range.end.saturating_add(TOLD_LATER_MS));
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        for session in statement.query_map(params![user, from, to], read)? {
            let (id, start, end): (i64, i64, i64) = session?;
            let fit = match () {
                () if start < range.end && end >= range.start => 1.0,
                () if start >= range.end => 0.5,
                () => continue,
            };
            let known = scope.times.entry(id).or_insert(0.0);
            *known = known.max(fit);
        }
    }
    if let Some(since) = since {
        let sql = "SELECT id FROM sessions
                   WHERE (?1 IS NULL OR user = ?1) AND max(coalesce(end_ms, start_ms, learned_ms),
                         coalesce(start_ms, end_ms, learned_ms)) >= ?2";
        let mut statement = conn.prepare_cached(sql)?;
        let ids = statement.query_map(params![user, since.as_millisecond()], |row| row.get(0))?;
        scope.only = Some(ids.collect::<Result<HashSet<i64>, _>>()?);
    }
    Ok(scope)
}

/// The factor that turns of a session have for being said at the time asked about.
pub(super) fn time_of(scope: &Scope, weights: &Weights, session: i64) -> f32 {
    1.0 + weights.dates * scope.times.get(&session).copied().unwrap_or(0.0)
}

/// What was said at the time asked about, for a question that names nothing else; the newest session first.
pub(super) fn turns_of(conn: &Connection, scope: &Scope, keep: usize) -> Result<Vec<Scored>, MemoryError> {
    let mut sessions: Vec<i64> =
        scope.times.iter().filter(|(_, fit)| **fit >= 1.0).map(|(session, _)| *session).collect();
    sessions.retain(|session| scope.only.as_ref().is_none_or(|only| only.contains(session)));
    sessions.sort_unstable_by_key(|session| std::cmp::Reverse(*session));
    let mut turns = Vec::new();
    for session in sessions {
        let sql = "SELECT id FROM messages WHERE id BETWEEN ?1 << 20 AND (?1 << 20) + 1048575 LIMIT ?2";
        let mut statement = conn.prepare_cached(sql)?;
        let left = keep - turns.len();
        for row in statement.query_map(params![session, left as i64], |row| row.get(0))? {
            turns.push(Scored { row: row?, session: 1.0, ..Scored::default() });
        }
        if turns.len() >= keep {
            break;
        }
    }
    Ok(turns)
}
