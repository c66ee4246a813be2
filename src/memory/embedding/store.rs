//! The vectors of turns in memory.db.
//!
//! For each session one row with its turns, [`super::packed`]. As with the index, a mark says up to which session the
//! vectors are there; the writer moves it on when it has nothing else to do.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::packed::append;
use super::{EmbeddingError, Reader};
use crate::memory::MemoryError;
use crate::memory::schema::row_range;

/// Bytes of text after which a step ends, so that no step holds the database for long.
const STEP_BYTES: u64 = 256 << 10;
/// Sessions in one step of [`catch_up`].
const STEP_SESSIONS: usize = 64;

/// Brings the vectors of every stored session up to date. The connection must be able to write.
pub fn catch_up(conn: &Connection, reader: &mut Reader) -> Result<(), MemoryError> {
    while is_behind(conn, reader)? {
        step(conn, STEP_SESSIONS, reader)?;
    }
    Ok(())
}

/// Whether a stored session has no vectors yet, or those of other words.
pub(in crate::memory) fn is_behind(conn: &Connection, reader: &Reader) -> Result<bool, MemoryError> {
    let last: i64 =
        conn.prepare_cached("SELECT ifnull(max(id), 0) FROM sessions")?.query_row([], |row| row.get(0))?;
    Ok(last > mark(conn, reader)?)
}

/// Works out the vectors of up to `max_sessions` sessions in a transaction of its own. Returns how many are left at
/// most, and the bytes written.
pub(in crate::memory) fn step(
    conn: &Connection,
    max_sessions: usize,
    reader: &mut Reader,
) -> Result<(usize, u64), MemoryError> {
    if !is_behind(conn, reader)? {
        return Ok((0, 0));
    }
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    let mut reached = mark(&tx, reader)?;
    if reached == 0 {
        tx.execute("DELETE FROM vectors", [])?;
        set(&tx, "embedder", reader.made_from())?;
    }
    let sql = "SELECT id, user, text_bytes FROM sessions WHERE id > ? ORDER BY id LIMIT ?";
    let sessions: Vec<(i64, i64, u64)> = tx
        .prepare_cached(sql)?
        .query_map(params![reached, max_sessions as i64], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let (mut text, mut written) = (0, 0);
    for (session, user, size) in sessions {
        let turns = turns_of(&tx, session, reader)?;
        if !turns.is_empty() {
            tx.prepare_cached("INSERT OR REPLACE INTO vectors(session, user, turns) VALUES (?, ?, ?)")?
                .execute(params![session, user, turns])?;
        }
        reached = session;
        written += turns.len() as u64;
        text += size;
        if text >= STEP_BYTES {
            break;
        }
    }
    set(&tx, "embedded", reached)?;
    let last: i64 = tx.query_row("SELECT ifnull(max(id), 0) FROM sessions", [], |row| row.get(0))?;
    tx.commit()?;
    Ok((usize::try_from(last - reached).unwrap_or(0), written))
}

/// Removes a session's vectors.
pub(in crate::memory) fn remove(conn: &Connection, session: i64) -> Result<(), MemoryError> {
    conn.prepare_cached("DELETE FROM vectors WHERE session = ?")?.execute([session])?;
    Ok(())
}

/// The last session that has vectors of these words; 0 if they are others.
fn mark(conn: &Connection, reader: &Reader) -> Result<i64, MemoryError> {
    let read = |name: &str| -> Result<Option<i64>, MemoryError> {
        let mut statement = conn.prepare_cached("SELECT value FROM meta WHERE name = ?")?;
        Ok(statement.query_row([name], |row| row.get(0)).optional()?)
    };
    let same = read("embedder")? == Some(reader.made_from());
    Ok(if same { read("embedded")?.unwrap_or(0) } else { 0 })
}

fn set(conn: &Connection, name: &str, value: i64) -> Result<(), MemoryError> {
    conn.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?, ?)")?.execute(params![name, value])?;
    Ok(())
}

fn turns_of(conn: &Connection, session: i64, reader: &mut Reader) -> Result<Vec<u8>, MemoryError> {
    let sql = "SELECT message, text FROM messages WHERE id BETWEEN ? AND ? AND text <> '' ORDER BY id";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(row_range(session))?;
    let mut turns = Vec::new();
    while let Some(row) = rows.next()? {
        // Text that is not UTF-8 means nothing.
        let Ok(Some(text)) = row.get_ref(1)?.as_str_or_null() else { continue };
        if let Some(vector) = reader.text(text).map_err(unreadable)? {
            append(&mut turns, row.get(0)?, &vector);
        }
    }
    Ok(turns)
}

pub(in crate::memory) fn unreadable(problem: EmbeddingError) -> MemoryError {
    MemoryError::Embedding(Box::new(problem))
}
