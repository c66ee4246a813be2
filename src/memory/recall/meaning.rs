//! The lane that compares meanings: which turns come close to the question, whatever words they use.
//!
//! The vectors of all turns of the user are gone through. As with words, a turn gains from those beside it and from its
//! session. Both lanes are brought together by rank, because their scores have nothing in common: a turn gains a share
//! of the best score there is by words, the less the further down this list it stands.

use std::collections::HashMap;

use rusqlite::Connection;

use super::question::Question;
use super::search::{Found, Scope, Scored};
use super::times::time_of;
use super::weights::Weights;
use crate::memory::MemoryError;
use crate::memory::embedding::Reader;
use crate::memory::embedding::packed::Asked;
use crate::memory::embedding::store::unreadable;

/// Turns of this lane that are brought into the answer.
const KEEP: usize = 200;
/// The rank at which a turn gains half of what the first gains.
const HALF_AT: f32 = 30.0;
/// Turns of a session whose mean tells how close it comes.
const SPOKESMEN: usize = 3;
/// Share of the session's closeness.
const SESSION: f32 = 0.3;
/// A session in which nothing comes closer than this has nothing to do with the question.
const LEAST: f32 = 0.2;
/// What the best by words counts for where no word was found: that of one rare word.
const WITHOUT_WORDS: f32 = 5.0;
const BITS: u32 = 20;

/// Adds what the meaning of the question finds to what its words found.
pub(super) fn blend(
    conn: &Connection,
    text: &str,
    question: &Question,
    scope: &Scope,
    weights: &Weights,
    reader: &mut Reader,
    found: &mut Found,
) -> Result<(), MemoryError> {
    // How telling a word is decides how much of the question's meaning it bears: a name that stands in every turn
    // bears none.
    let telling: HashMap<&str, f32> = question
        .terms
        .iter()
        .zip(&found.idf)
        .map(|((term, weight), idf)| (term.as_str(), weight * idf))
        .collect();
    let vector = reader.weighed(text, |term| telling.get(term).copied()).map_err(unreadable)?;
    let Some(vector) = vector else { return Ok(()) };
    let close = closest(conn, &vector, scope, weights.neighbours)?;
    let best = found.turns.first().map_or(0.0, Scored::total);
    let best = if best > 0.0 { best } else { WITHOUT_WORDS };
    let known: HashMap<i64, usize> = found.turns.iter().enumerate().map(|(at, it)| (it.row, at)).collect();
    for (rank, (row, _)) in close.iter().enumerate() {
        let gain = weights.meaning * best * HALF_AT / (HALF_AT + rank as f32);
        match known.get(row).and_then(|at| found.turns.get_mut(*at)) {
            Some(turn) => turn.meaning = gain,
            None => found.turns.push(Scored {
                row: *row,
                meaning: gain,
                time: time_of(scope, weights, row >> BITS),
                ..Scored::default()
            }),
        }
    }
    found.turns.sort_unstable_by(|a, b| b.total().total_cmp(&a.total()).then(a.row.cmp(&b.row)));
    Ok(())
}

/// The turns that come closest, best first, each with how close it comes.
fn closest(
    conn: &Connection,
    question: &[f32],
    scope: &Scope,
    neighbours: f32,
) -> Result<Vec<(i64, f32)>, MemoryError> {
    let mut statement;
    let mut rows = match scope.user {
        Some(user) => {
            statement = conn.prepare_cached("SELECT session, turns FROM vectors WHERE user = ?")?;
            statement.query([user])?
        }
        None => {
            statement = conn.prepare_cached("SELECT session, turns FROM vectors")?;
            statement.query([])?
        }
    };
    let asked = Asked::new(question);
    let mut close: Vec<(i64, f32)> = Vec::new();
    let mut session_turns: Vec<(i64, f32)> = Vec::new();
    while let Some(row) = rows.next()? {
        let session: i64 = row.get(0)?;
        if scope.only.as_ref().is_some_and(|only| !only.contains(&session)) {
            continue;
        }
        session_turns.clear();
        asked.compare(row.get_ref(1)?.as_blob().unwrap_or_default(), |ordinal, close| {
            session_turns.push((session << BITS | i64::from(ordinal), close));
        });
        spread(&session_turns, neighbours, &mut close);
        if close.len() >= 8 * KEEP {
            best(&mut close);
        }
    }
    best(&mut close);
    close.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    Ok(close)
}

fn best(close: &mut Vec<(i64, f32)>) {
    if close.len() > KEEP {
        close.select_nth_unstable_by(KEEP - 1, |a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        close.truncate(KEEP);
    }
}

/// Gives the turns of one session their mean with those beside them, and a share of what its closest reach.
fn spread(turns: &[(i64, f32)], share: f32, close: &mut Vec<(i64, f32)>) {
    let mut first = [0.0_f32; SPOKESMEN];
    for (_, likeness) in turns {
        let mut likeness = *likeness;
        for place in &mut first {
            if likeness > *place {
                std::mem::swap(place, &mut likeness);
            }
        }
    }
    if first[0] < LEAST {
        return;
    }
    let session = SESSION * first.iter().sum::<f32>() / turns.len().clamp(1, SPOKESMEN) as f32;
    for (at, (row, likeness)) in turns.iter().enumerate() {
        let (mut sum, mut count) = (*likeness, 1.0);
        for (distance, share) in [(1, share), (2, share * share)] {
            let before = at.checked_sub(distance).and_then(|at| turns.get(at));
            for (_, likeness) in before.into_iter().chain(turns.get(at + distance)) {
                sum += share * likeness;
                count += share;
            }
        }
        close.push((*row, sum / count + session));
    }
}
