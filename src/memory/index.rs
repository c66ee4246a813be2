//! The full-text index over the turns.
//!
//! Indexing costs several times what storing does, so it is not part of storing: sessions up to the mark `indexed` in
//! the table `meta` are in the index, later ones are not yet. The writer moves the mark in short steps when it has
//! nothing else to do, and whoever reads brings the index up to date first.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::MemoryError;
use super::schema::row_range;

/// Bytes of text after which a step ends, so that no step holds the database for long.
const STEP_BYTES: u64 = 1 << 20;

/// Sessions in one step of [`catch_up`].
const STEP_SESSIONS: usize = 64;

/// What one step did.
pub(super) struct Step {
    /// Sessions that may be left; 0 if and only if none is.
    pub left: usize,
    /// Bytes of text brought into the index.
    pub bytes: u64,
}

/// Brings every stored session into the index. The connection must be able to write.
pub fn catch_up(conn: &Connection) -> Result<(), MemoryError> {
    // Most often there is nothing to do, and then no lock is taken.
    while is_behind(conn)? {
        step(conn, STEP_SESSIONS)?;
    }
    Ok(())
}

/// Whether a stored session is not yet in the index.
pub fn is_behind(conn: &Connection) -> Result<bool, MemoryError> {
    let (last, indexed) = marks(conn)?;
    Ok(last > indexed)
}

/// Empties the index; it fills again from the start.
pub fn restart(conn: &Connection) -> Result<(), MemoryError> {
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    tx.execute("INSERT INTO turns_fts(turns_fts) VALUES ('delete-all')", [])?;
    set_mark(&tx, 0)?;
    tx.commit()?;
    Ok(())
}

/// Indexes up to `max_sessions` sessions in a transaction of its own.
pub(super) fn step(conn: &Connection, max_sessions: usize) -> Result<Step, MemoryError> {
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    let (last, indexed) = marks(&tx)?;
    let mut reached = indexed;
    let mut bytes = 0;
    for (session, size) in next_sessions(&tx, indexed, max_sessions)? {
        index_session(&tx, session)?;
        reached = session;
        bytes += size;
        if bytes >= STEP_BYTES {
            break;
        }
    }
    if reached > indexed {
        set_mark(&tx, reached)?;
    }
    tx.commit()?;
    Ok(Step { left: usize::try_from(last - reached).unwrap_or(0), bytes })
}

/// Removes a session's turns from the index, if they are in it.
pub(super) fn remove(conn: &Connection, session: i64) -> Result<(), MemoryError> {
    let (_, indexed) = marks(conn)?;
    if session <= indexed {
        conn.prepare_cached("DELETE FROM turns_fts WHERE rowid BETWEEN ? AND ?")?
            .execute(row_range(session))?;
    }
    Ok(())
}

/// The last session stored, and the last one indexed.
fn marks(conn: &Connection) -> Result<(i64, i64), MemoryError> {
    let sql = "SELECT ifnull((SELECT max(id) FROM sessions), 0), value FROM meta WHERE name = 'indexed'";
    Ok(conn.prepare_cached(sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

fn set_mark(conn: &Connection, session: i64) -> Result<(), MemoryError> {
    conn.prepare_cached("UPDATE meta SET value = ? WHERE name = 'indexed'")?.execute([session])?;
    Ok(())
}

fn next_sessions(conn: &Connection, after: i64, limit: usize) -> Result<Vec<(i64, u64)>, MemoryError> {
    let sql = "SELECT id, text_bytes FROM sessions WHERE id > ? ORDER BY id LIMIT ?";
    let mut statement = conn.prepare_cached(sql)?;
    let found = statement.query_map(params![after, limit as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn index_session(conn: &Connection, session: i64) -> Result<(), MemoryError> {
    let sql = "INSERT INTO turns_fts(rowid, text, speaker)
               SELECT id, text, name FROM messages WHERE id BETWEEN ? AND ? AND text <> ''";
    conn.prepare_cached(sql)?.execute(row_range(session))?;
    Ok(())
}
