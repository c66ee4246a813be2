//! Answers from memory.db for `atles status`, the reports and the tests. Everything here only reads, and no answer
//! depends on the full-text index.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{MemoryError, index, schema};
use crate::session::{Identity, SessionKey};

/// How much memory.db holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Sessions remembered.
    pub sessions: u64,
    /// Their messages.
    pub messages: u64,
    /// Bytes of text in them.
    pub text_bytes: u64,
    /// Statements of preference.
    pub preferences: u64,
    /// Statements of fact.
    pub facts: u64,
    /// Training examples by whose signatures near-duplicates are recognised.
    pub examples: u64,
    /// Users who have a name.
    pub users: u64,
    /// Memory items that the sessions created.
    pub items: u64,
    /// Whether sessions wait to be brought into the full-text index.
    pub index_behind: bool,
}

/// What was learned from one session.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SessionSummary {
    /// The chat app's id.
    pub session_id: String,
    /// Whose it is.
    pub user_id: Option<String>,
    /// The chat app.
    pub app: Option<String>,
    /// Name of the file it came in.
    pub file: String,
    /// ISO 8601, without a zone where the app gave none.
    pub start_time: Option<String>,
    /// Turns.
    pub messages: u64,
    /// Memory items it created, earlier revisions included.
    pub items: u64,
    /// ISO 639-3.
    pub language: Option<String>,
    /// Best first.
    pub topics: Vec<String>,
    /// Best first.
    pub key_phrases: Vec<String>,
    /// In the order they were found.
    pub preferences: Vec<PreferenceSaid>,
    /// In the order they were found.
    pub facts: Vec<FactSaid>,
    /// Values replaced, by redaction rule.
    pub redactions: BTreeMap<String, u32>,
}

/// One statement of preference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PreferenceSaid {
    /// The family of the statement.
    pub kind: String,
    /// `for` or `against`.
    pub polarity: String,
    /// What it is about.
    pub object: String,
    /// Index of the message that proves it.
    pub message: u64,
    /// The words that prove it.
    pub quote: String,
}

/// One statement of fact.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FactSaid {
    /// What is stated, as in `lives_in`.
    pub attribute: String,
    /// The value, as said.
    pub value: String,
    /// Index of the message that proves it.
    pub message: u64,
    /// The words that prove it.
    pub quote: String,
}

/// A fact and the time it held.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FactHeld {
    /// What is stated.
    pub attribute: String,
    /// The value, as said last.
    pub value: String,
    /// When it was first said, in milliseconds since 1970.
    pub valid_from: i64,
    /// When another value took its place; `None` while it holds.
    pub valid_to: Option<i64>,
    /// How often it was said meanwhile.
    pub mentions: u64,
}

/// What a user wants or avoids, as said last.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PreferenceHeld {
    /// What it is about.
    pub object: String,
    /// `for` or `against`.
    pub polarity: String,
    /// How often it was said with this polarity.
    pub mentions: u64,
    /// When it was first said, in milliseconds since 1970.
    pub first_ms: i64,
    /// When it was last said.
    pub last_ms: i64,
    /// 0 to 1.
    pub mean_strength: f64,
    /// 0 to 1.
    pub max_strength: f64,
}

/// Opens memory.db for reading. The daemon may be writing meanwhile.
///
/// # Errors
/// [`MemoryError::Open`] if there is none yet.
pub fn open(path: &Path) -> Result<Connection, MemoryError> {
    schema::open_read_only(path)
}

/// How much there is. Quick at any size: no table with texts is read through.
pub fn counts(conn: &Connection) -> Result<Counts, MemoryError> {
    let one = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, u64>(0));
    let sql =
        "SELECT count(*), ifnull(sum(message_count), 0), ifnull(sum(text_bytes), 0), ifnull(sum(items), 0)
               FROM sessions WHERE remembered";
    let (sessions, messages, text_bytes, items) =
        conn.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    Ok(Counts {
        sessions,
        messages,
        text_bytes,
        items,
        preferences: one("SELECT count(*) FROM preferences")?,
        facts: one("SELECT count(*) FROM facts")?,
        examples: one("SELECT count(*) FROM examples")?,
        users: one("SELECT count(*) FROM users WHERE id > 0")?,
        index_behind: index::is_behind(conn)?,
    })
}

/// The rows of the sessions remembered, in the order they were learned; the newest `limit` of them.
pub fn latest_sessions(conn: &Connection, limit: usize) -> Result<Vec<i64>, MemoryError> {
    let sql = "SELECT id FROM sessions WHERE remembered ORDER BY id DESC LIMIT ?";
    let mut rows = all(conn, sql, [limit], |row| row.get(0))?;
    rows.reverse();
    Ok(rows)
}

/// The row of the session stored last, whatever it is; 0 if there is none.
pub fn last_session(conn: &Connection) -> Result<i64, MemoryError> {
    Ok(conn.query_row("SELECT ifnull(max(id), 0) FROM sessions", [], |row| row.get(0))?)
}

/// The rows of the sessions remembered that were stored after a row, in the order they were learned.
pub fn sessions_after(conn: &Connection, row: i64) -> Result<Vec<i64>, MemoryError> {
    all(conn, "SELECT id FROM sessions WHERE remembered AND id > ? ORDER BY id", [row], |row| row.get(0))
}

/// What was learned from one session; `None` if it is not there.
pub fn summary(conn: &Connection, session_row: i64) -> Result<Option<SessionSummary>, MemoryError> {
    let sql =
        "SELECT s.session_id, u.user_id, s.app, s.file, s.start_time, s.message_count, s.items, s.language,
                 s.redactions
               FROM sessions s JOIN users u ON u.id = s.user WHERE s.id = ? AND s.remembered";
    let found = conn.prepare_cached(sql)?.query_row([session_row], |row| {
        Ok(SessionSummary {
            session_id: row.get(0)?,
            user_id: row.get(1)?,
            app: row.get(2)?,
            file: row.get(3)?,
            start_time: row.get(4)?,
            messages: row.get(5)?,
            items: row.get(6)?,
            language: row.get(7)?,
            redactions: json(row, 8)?,
            topics: Vec::new(),
            key_phrases: Vec::new(),
            preferences: Vec::new(),
            facts: Vec::new(),
        })
    });
    let Some(mut summary) = found.optional()? else { return Ok(None) };
    let one = [session_row];
    let text = |row: &Row<'_>| row.get(0);
    summary.topics = all(conn, "SELECT name FROM topics WHERE session = ? ORDER BY ordinal", one, text)?;
    summary.key_phrases =
        all(conn, "SELECT text FROM key_phrases WHERE session = ? ORDER BY ordinal", one, text)?;
    summary.preferences = preferences_said(conn, session_row)?;
    summary.facts = facts_said(conn, session_row)?;
    Ok(Some(summary))
}

fn preferences_said(conn: &Connection, session_row: i64) -> Result<Vec<PreferenceSaid>, MemoryError> {
    let sql = "SELECT kind, polarity, object, message, quote FROM preferences_said
               WHERE id BETWEEN ? AND ? ORDER BY id";
    all(conn, sql, schema::row_range(session_row), |row| {
        Ok(PreferenceSaid {
            kind: row.get(0)?,
            polarity: row.get(1)?,
            object: row.get(2)?,
            message: row.get(3)?,
            quote: row.get(4)?,
        })
    })
}

fn facts_said(conn: &Connection, session_row: i64) -> Result<Vec<FactSaid>, MemoryError> {
    let sql = "SELECT attribute, value, message, quote FROM facts_said WHERE id BETWEEN ? AND ? ORDER BY id";
    all(conn, sql, schema::row_range(session_row), |row| {
        Ok(FactSaid { attribute: row.get(0)?, value: row.get(1)?, message: row.get(2)?, quote: row.get(3)? })
    })
}

/// The facts of one user, those that hold and those that did, by attribute and then by time. `None` is the user of
/// apps that know only one.
pub fn facts_history(conn: &Connection, user_id: Option<&str>) -> Result<Vec<FactHeld>, MemoryError> {
    let sql = "SELECT attribute, value, valid_from, valid_to, mentions FROM facts_history
               WHERE user_id IS ? ORDER BY attribute, valid_from, id";
    all(conn, sql, params![user_id], |row| {
        Ok(FactHeld {
            attribute: row.get(0)?,
            value: row.get(1)?,
            valid_from: row.get(2)?,
            valid_to: row.get(3)?,
            mentions: row.get(4)?,
        })
    })
}

/// What one user wants and avoids now, by object.
pub fn preferences_now(conn: &Connection, user_id: Option<&str>) -> Result<Vec<PreferenceHeld>, MemoryError> {
    let sql = "SELECT object, polarity, mentions, first_ms, last_ms, mean_strength, max_strength
               FROM preferences_now WHERE user_id IS ? ORDER BY object";
    all(conn, sql, params![user_id], |row| {
        Ok(PreferenceHeld {
            object: row.get(0)?,
            polarity: row.get(1)?,
            mentions: row.get(2)?,
            first_ms: row.get(3)?,
            last_ms: row.get(4)?,
            mean_strength: row.get(5)?,
            max_strength: row.get(6)?,
        })
    })
}

/// A learned session, as far as its ledger can be made again from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Who it is, whatever its length.
    pub identity: Identity,
    /// Its content.
    pub key: SessionKey,
    /// Name of the file it came in.
    pub file: String,
    /// When it was learned, in milliseconds since 1970.
    pub learned_ms: i64,
    /// Messages it has.
    pub messages: u64,
    /// Memory items it created, earlier revisions included.
    pub items: u64,
    /// Those that the revision that is there created.
    pub new_items: u64,
    /// Values redacted in it.
    pub redactions: u64,
}

/// Every learned session, those of which only signatures are kept included, in the order they were learned.
pub fn remembered(conn: &Connection) -> Result<Vec<Remembered>, MemoryError> {
    let sql = "SELECT identity, key, file, learned_ms, message_count, items,
                 new_messages + new_preferences + new_facts, redactions
               FROM sessions WHERE id NOT IN (SELECT session FROM live) ORDER BY id";
    all(conn, sql, [], |row| {
        Ok(Remembered {
            identity: Identity(row.get(0)?),
            key: SessionKey(row.get(1)?),
            file: row.get(2)?,
            learned_ms: row.get(3)?,
            messages: row.get(4)?,
            items: row.get(5)?,
            new_items: row.get(6)?,
            redactions: json::<BTreeMap<String, u64>>(row, 7)?.values().sum(),
        })
    })
}

/// Hands out the signature of every training example with the identity of its session, oldest session first.
pub fn signatures(conn: &Connection, mut each: impl FnMut([u8; 32], u64)) -> Result<(), MemoryError> {
    let sql =
        "SELECT s.identity, e.signature FROM examples e JOIN sessions s ON s.id = e.session ORDER BY e.id";
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        each(row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned());
    }
    Ok(())
}

/// Has SQLite look through the whole file. Returns what it finds wrong; empty if all is sound.
pub fn quick_check(conn: &Connection) -> Result<Vec<String>, MemoryError> {
    let mut found = all(conn, "PRAGMA quick_check", [], |row| row.get::<_, String>(0))?;
    found.retain(|line| line != "ok");
    Ok(found)
}

fn all<T>(
    conn: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, MemoryError> {
    Ok(conn.prepare_cached(sql)?.query_map(params, read)?.collect::<Result<_, _>>()?)
}

/// A column of JSON; NULL is the empty value.
fn json<T: DeserializeOwned + Default>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let Some(text) = row.get::<_, Option<String>>(column)? else { return Ok(T::default()) };
    serde_json::from_str(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}
