//! Scoring by the index alone.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, params};

use super::Weights;
use super::times::time_of;
use crate::memory::MemoryError;
use crate::memory::index::postings::{Turn, read, session_words, turn_words};
use crate::memory::index::recent::Recent;

/// A turn and what it scored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scored {
    /// Row of the message. It need not exist: behind the last turn of a session stands none.
    pub row: i64,
    pub turn: f32,
    pub neighbours: f32,
    pub session: f32,
    pub meaning: f32,
    pub time: f32,
}

impl Default for Scored {
    fn default() -> Self {
        Scored { row: 0, turn: 0.0, neighbours: 0.0, session: 0.0, meaning: 0.0, time: 1.0 }
    }
}

impl Scored {
    pub(super) fn total(&self) -> f32 {
        (self.turn + self.neighbours + self.session + self.meaning) * self.time
    }
}

/// What limits and weighs a search.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// The user's number; `None` for all users.
    pub user: Option<i64>,
    /// The only sessions that count, if not all do.
    pub only: Option<HashSet<i64>>,
    /// Sessions of the time asked about, each with how well it fits, 0 to 1.
    pub times: HashMap<i64, f32>,
}

/// What a search found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Best first.
    pub turns: Vec<Scored>,
    /// How telling each term of the question is, in their order.
    pub idf: Vec<f32>,
}

const BITS: u32 = 20;
/// The best sessions, all of whose turns are looked at.
const WHOLE_SESSIONS: usize = 8;
/// Turns of such a session at most.
const WHOLE_TURNS: i64 = 200;

/// The best `keep` turns, and perhaps some more.
pub(super) fn search(
    conn: &Connection,
    terms: &[(String, f32)],
    scope: &Scope,
    weights: &Weights,
    keep: usize,
) -> Result<Found, MemoryError> {
    let totals = totals(conn, scope.user)?;
    let mut gathered = Gathered::default();
    let mut found = Found::default();
    let norms = Norms::new(&totals, weights);
    let recent = Recent::find(conn, scope.user, terms.iter().map(|(term, _)| term.as_str()))?;
    for (term, weight) in terms {
        found.idf.push(gathered.add(conn, &recent, term, *weight, scope, &norms, totals.turns)?);
    }
    gathered.add_times(scope, weights, totals.sessions);
    found.turns = gathered.combine(scope, weights, keep);
    Ok(found)
}

struct Totals {
    sessions: f32,
    turns: f32,
    words: f32,
}

fn totals(conn: &Connection, user: Option<i64>) -> Result<Totals, MemoryError> {
    let sql = "SELECT ifnull(sum(sessions), 0), ifnull(sum(turns), 0), ifnull(sum(words), 0) FROM index_users
               WHERE ?1 IS NULL OR user = ?1";
    Ok(conn.prepare_cached(sql)?.query_row([user], |row| {
        let number = |column| row.get::<_, i64>(column).map(|number| number.max(1) as f32);
        Ok(Totals { sessions: number(0)?, turns: number(1)?, words: number(2)? })
    })?)
}

/// What lengths do to a score, worked out once for all codes.
struct Norms {
    turn: [f32; 32],
    session: [f32; 256],
    k1: f32,
}

impl Norms {
    fn new(totals: &Totals, weights: &Weights) -> Self {
        let norm = |words: f32, mean: f32| weights.k1 * (1.0 - weights.b + weights.b * words / mean.max(1.0));
        let (turn, session) = (totals.words / totals.turns, totals.words / totals.sessions);
        Norms {
            turn: std::array::from_fn(|code| norm(turn_words(code as u8), turn)),
            session: std::array::from_fn(|code| norm(session_words(code as u8), session)),
            k1: weights.k1,
        }
    }

    fn turn(&self, turn: &Turn) -> f32 {
        let times = f32::from(turn.times);
        times * (self.k1 + 1.0) / (times + self.turn[usize::from(turn.code & 31)])
    }

    fn session(&self, times: u32, code: u8) -> f32 {
        let times = times as f32;
        times * (self.k1 + 1.0) / (times + self.session[usize::from(code)])
    }
}

/// The scores of all terms, one after the other.
#[derive(Default)]
struct Gathered {
    turns: Vec<(i64, f32)>,
    sessions: Vec<(i64, f32)>,
    scratch: Vec<Turn>,
}

impl Gathered {
    /// Adds a term; returns how telling it is.
    #[expect(clippy::too_many_arguments, reason = "a term, where it stands, and what it counts")]
    fn add(
        &mut self,
        conn: &Connection,
        recent: &Recent,
        term: &str,
        weight: f32,
        scope: &Scope,
        norms: &Norms,
        turns: f32,
    ) -> Result<f32, MemoryError> {
        let (turns_before, sessions_before) = (self.turns.len(), self.sessions.len());
        let mut holding = 0_usize;
        let mut block = |first: i64, bytes: &[u8]| {
            let each = |session: i64, code: u8, places: &[Turn]| {
                holding += places.len();
                if scope.only.as_ref().is_some_and(|only| !only.contains(&session)) {
                    return;
                }
                let mut times = 0;
                for place in places {
                    times += u32::from(place.times);
                    self.turns.push((session << BITS | i64::from(place.ordinal), norms.turn(place)));
                }
                self.sessions.push((session, norms.session(times, code)));
            };
            // A block that cannot be read is one that finds nothing.
            let _ = read(bytes, first, each, &mut self.scratch);
        };
        let mut statement;
        let mut rows;
        match scope.user {
            Some(user) => {
                let sql = "SELECT first, turns FROM index_terms WHERE term = ? AND user = ? ORDER BY first";
                statement = conn.prepare_cached(sql)?;
                rows = statement.query(params![term, user])?;
            }
            None => {
                let sql = "SELECT first, turns FROM index_terms
                           WHERE user IN (SELECT user FROM index_users) AND term = ?";
                statement = conn.prepare_cached(sql)?;
                rows = statement.query([term])?;
            }
        }
        while let Some(row) = rows.next()? {
            block(row.get(0)?, row.get_ref(1)?.as_bytes().unwrap_or_default());
        }
        for (session, bytes) in recent.of(term) {
            block(*session, bytes);
        }
        let df = holding.max(1) as f32;
        let idf = (1.0 + (turns - df + 0.5).max(0.0) / (df + 0.5)).ln();
        let factor = idf * weight;
        self.turns[turns_before..].iter_mut().for_each(|(_, score)| *score *= factor);
        self.sessions[sessions_before..].iter_mut().for_each(|(_, score)| *score *= factor);
        Ok(idf)
    }

    /// The time asked about is as telling as few sessions were held then.
    fn add_times(&mut self, scope: &Scope, weights: &Weights, sessions: f32) {
        if weights.session == 0.0 || weights.time == 0.0 {
            return;
        }
        let held = scope.times.values().filter(|fit| **fit >= 1.0).count() as f32;
        let idf = (1.0 + (sessions - held + 0.5).max(0.0) / (held + 0.5)).ln();
        let share = weights.time * idf / weights.session;
        let counted = |session: &i64| scope.only.as_ref().is_none_or(|only| only.contains(session));
        let fitting = scope.times.iter().filter(|(session, _)| counted(session));
        self.sessions.extend(fitting.map(|(session, fit)| (*session, fit * share)));
    }

    /// Adds up what belongs to one turn, gives turns and sessions their shares, and keeps the best.
    fn combine(mut self, scope: &Scope, weights: &Weights, keep: usize) -> Vec<Scored> {
        add_up(&mut self.turns);
        add_up(&mut self.sessions);
        let mut best = Best::new(keep);
        let mut at = 0;
        for (session, score) in &self.sessions {
            let score = score * weights.session;
            let time = time_of(scope, weights, *session);
            let end = at + self.turns[at..].partition_point(|(row, _)| row >> BITS <= *session);
            for cluster in self.turns[at..end].chunk_by(|a, b| b.0 - a.0 <= 2 * REACH) {
                spread(cluster, weights.neighbours, |row, turn, neighbours| {
                    if row >> BITS == *session {
                        best.offer(Scored {
                            row,
                            turn,
                            neighbours,
                            session: score,
                            time,
                            ..Scored::default()
                        });
                    }
                });
            }
            at = end;
        }
        let mut turns = best.sorted();
        add_whole_sessions(&mut turns, &self.sessions, scope, weights, keep);
        turns
    }
}

/// Turns to each side that gain from a turn.
const REACH: i64 = 2;

/// Hands out every turn of a cluster and those beside it, with its own score and what its neighbours give.
fn spread(cluster: &[(i64, f32)], share: f32, mut each: impl FnMut(i64, f32, f32)) {
    let (Some((first, _)), Some((last, _))) = (cluster.first(), cluster.last()) else { return };
    let reach = REACH as usize;
    let mut own = [0.0; 64];
    let mut long;
    let needed = (last - first) as usize + 1 + 4 * reach;
    let own: &mut [f32] = if needed <= own.len() {
        &mut own[..needed]
    } else {
        long = vec![0.0; needed];
        &mut long
    };
    for (row, score) in cluster {
        own[(row - first) as usize + 2 * reach] = *score;
    }
    for (offset, window) in own.windows(2 * reach + 1).enumerate() {
        let [far, near, score, next, beyond] = *window else { return };
        let neighbours = share * (near + next) + share * share * (far + beyond);
        if score > 0.0 || neighbours > 0.0 {
            each(first + offset as i64 - REACH, score, neighbours);
        }
    }
}

/// What a session is about may have been answered in words that share none with the question.
fn add_whole_sessions(
    turns: &mut Vec<Scored>,
    sessions: &[(i64, f32)],
    scope: &Scope,
    weights: &Weights,
    keep: usize,
) {
    if weights.session == 0.0 {
        return;
    }
    let mut order: Vec<&(i64, f32)> = sessions.iter().collect();
    let by_score = |a: &&(i64, f32), b: &&(i64, f32)| b.1.total_cmp(&a.1);
    if order.len() > WHOLE_SESSIONS {
        order.select_nth_unstable_by(WHOLE_SESSIONS, by_score);
        order.truncate(WHOLE_SESSIONS);
    }
    let known: HashSet<i64> = turns.iter().map(|turn| turn.row).collect();
    let floor = if turns.len() < keep { 0.0 } else { turns.last().map_or(0.0, Scored::total) };
    for (session, score) in order {
        let rows = (session << BITS)..(session << BITS) + WHOLE_TURNS;
        let (session, time) = (score * weights.session, time_of(scope, weights, *session));
        let new = rows.filter(|row| !known.contains(row)).map(|row| Scored {
            row,
            session,
            time,
            ..Scored::default()
        });
        turns.extend(new.filter(|turn| turn.total() > floor));
    }
    turns.sort_unstable_by(|a, b| b.total().total_cmp(&a.total()).then(a.row.cmp(&b.row)));
}

/// Sorts by row and makes one of what has the same row. The lists of the terms are sorted already, which a stable sort
/// makes use of.
fn add_up(scores: &mut Vec<(i64, f32)>) {
    scores.sort_by_key(|(row, _)| *row);
    scores.dedup_by(|later, kept| {
        let same = later.0 == kept.0;
        if same {
            kept.1 += later.1;
        }
        same
    });
}

/// The best so many of what is offered.
struct Best {
    kept: Vec<Scored>,
    keep: usize,
    floor: f32,
}

impl Best {
    fn new(keep: usize) -> Self {
        Best { kept: Vec::with_capacity(2 * keep), keep: keep.max(1), floor: 0.0 }
    }

    fn offer(&mut self, turn: Scored) {
        if turn.total() <= self.floor {
            return;
        }
        self.kept.push(turn);
        if self.kept.len() >= 2 * self.keep {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        let by_score = |a: &Scored, b: &Scored| b.total().total_cmp(&a.total());
        self.kept.select_nth_unstable_by(self.keep - 1, by_score);
        self.kept.truncate(self.keep);
        self.floor = self.kept.last().map_or(0.0, Scored::total);
    }

    fn sorted(mut self) -> Vec<Scored> {
        if self.kept.len() > self.keep {
            self.shrink();
        }
        self.kept.sort_unstable_by(|a, b| b.total().total_cmp(&a.total()).then(a.row.cmp(&b.row)));
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_gives_a_share_to_two_on_each_side() {
        let mut seen = Vec::new();
        spread(&[(10, 1.0), (12, 2.0)], 0.5, |row, own, given| seen.push((row, own, given)));
        let expected = [
            (8, 0.0, 0.25),
            (9, 0.0, 0.5),
            (10, 1.0, 0.5),
            (11, 0.0, 1.5),
            (12, 2.0, 0.25),
            (13, 0.0, 1.0),
            (14, 0.0, 0.5),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn the_best_are_kept_however_many_are_offered() {
        let mut best = Best::new(3);
        for row in [5, 1, 9, 7, 3, 8, 2, 6, 4] {
            best.offer(Scored { row, turn: row as f32, ..Scored::default() });
        }
        let rows: Vec<i64> = best.sorted().iter().map(|turn| turn.row).collect();
        assert_eq!(rows, [9, 8, 7]);
    }
}
