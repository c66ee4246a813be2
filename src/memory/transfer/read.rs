use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};
use serde_json::Value;

use super::record::{
    ExampleMark, FactRecord, MessageRecord, PreferenceRecord, QuoteRecord, SessionRecord, VERSION,
};
use crate::memory::MemoryError;
use crate::memory::schema::row_range;
use crate::session::{Moment, Polarity, Rating, Role};

/// Which sessions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Selection<'a> {
    /// Only this user's; an empty name is the user of apps that know only one.
    pub user: Option<&'a str>,
    /// Only those that went on at this time or later.
    pub since: Option<Timestamp>,
}

/// Hands out the sessions, in the order they were learned, all as of one moment. `false` ends it.
pub fn sessions(
    conn: &Connection,
    selection: &Selection<'_>,
    mut each: impl FnMut(SessionRecord) -> bool,
) -> Result<(), MemoryError> {
    let conn = &*conn.unchecked_transaction()?;
    let sql = "SELECT s.id FROM sessions s JOIN users u ON u.id = s.user
               WHERE (?1 IS NULL OR coalesce(u.user_id, '') = ?1)
                 AND (?2 IS NULL OR max(coalesce(s.end_ms, s.start_ms, s.learned_ms),
                                        coalesce(s.start_ms, s.end_ms, s.learned_ms)) >= ?2)
               ORDER BY s.id";
    let mut statement = conn.prepare(sql)?;
    let since = selection.since.map(Timestamp::as_millisecond);
    let ids: Vec<i64> =
        statement.query_map(params![selection.user, since], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for id in ids {
        if !each(session(conn, id)?) {
            break;
        }
    }
    Ok(())
}

fn session(conn: &Connection, id: i64) -> Result<SessionRecord, MemoryError> {
    let sql =
        "SELECT s.session_id, u.user_id, s.app, s.model, s.key, s.file, s.format, s.start_time, s.end_time,
                 s.learned_ms, s.remembered, s.items, s.message_count, s.language, s.topics, s.key_phrases,
                 s.patterns, s.redactions, s.metadata, s.extra
               FROM sessions s JOIN users u ON u.id = s.user WHERE s.id = ?";
    let mut record = conn.prepare_cached(sql)?.query_row([id], |row| {
        Ok(SessionRecord {
            atles_memory: VERSION,
            session_id: row.get(0)?,
            user_id: row.get(1)?,
            app: row.get(2)?,
            model: row.get(3)?,
            key: row.get::<_, Vec<u8>>(4)?.iter().map(|byte| format!("{byte:02x}")).collect(),
            file: row.get(5)?,
            format: row.get(6)?,
            start_time: row.get(7)?,
            end_time: row.get(8)?,
            learned_at: instant(row.get(9)?),
            remembered: row.get(10)?,
            items: row.get(11)?,
            message_count: row.get(12)?,
            language: row.get(13)?,
            topics: json(row, 14)?,
            key_phrases: json(row, 15)?,
            patterns: json(row, 16)?,
            redactions: json(row, 17)?,
            metadata: json(row, 18)?,
            extra: json(row, 19)?,
            messages: Vec::new(),
            facts: Vec::new(),
            preferences: Vec::new(),
            examples: Vec::new(),
        })
    })?;
    record.messages = rows(conn, id, MESSAGES, message)?;
    record.facts = rows(conn, id, FACTS, |row| {
        Ok(FactRecord {
            attribute: row.get(0)?,
            value: row.get(1)?,
            exclusive: row.get(2)?,
            confidence: row.get(3)?,
            said_at: instant(row.get(4)?),
            quote: quote(row, 5)?,
        })
    })?;
    record.preferences = rows(conn, id, PREFERENCES, |row| {
        let polarity: String = row.get(1)?;
        Ok(PreferenceRecord {
            kind: row.get(0)?,
            polarity: if polarity == Polarity::For.as_str() { Polarity::For } else { Polarity::Against },
            object: row.get(2)?,
            strength: row.get(3)?,
            said_at: instant(row.get(4)?),
            quote: quote(row, 5)?,
        })
    })?;
    record.examples = rows(conn, id, EXAMPLES, |row| Ok(ExampleMark(row.get::<_, i64>(0)?.cast_unsigned())))?;
    for at in record
        .facts
        .iter_mut()
        .map(|fact| &mut fact.quote)
        .chain(record.preferences.iter_mut().map(|it| &mut it.quote))
    {
        let said = record.messages.get(at.message).map_or("", |message| message.content.as_str());
        at.text = said.get(at.start..at.end).unwrap_or_default().to_owned();
    }
    Ok(record)
}

const MESSAGES: &str = "SELECT role, text, message_id, name, at_ms, local, feedback, metadata FROM messages
                        WHERE id BETWEEN ? AND ? ORDER BY id";
const FACTS: &str =
    "SELECT attribute, value, exclusive, confidence, said_ms, message, from_byte, to_byte FROM facts
                     WHERE id BETWEEN ? AND ? ORDER BY id";
const PREFERENCES: &str = "SELECT kind, polarity, object, strength, said_ms, message, from_byte, to_byte
                           FROM preferences WHERE id BETWEEN ? AND ? ORDER BY id";
const EXAMPLES: &str = "SELECT signature FROM examples WHERE id BETWEEN ? AND ? ORDER BY id";

fn rows<T>(
    conn: &Connection,
    session: i64,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, MemoryError> {
    Ok(conn.prepare_cached(sql)?.query_map(row_range(session), read)?.collect::<Result<_, _>>()?)
}

fn message(row: &Row<'_>) -> rusqlite::Result<MessageRecord> {
    let role = match row.get::<_, i64>(0)? {
        0 => Role::User,
        1 => Role::Assistant,
        2 => Role::System,
        _ => Role::Tool,
    };
    let local = row.get::<_, Option<i64>>(5)?.is_some();
    let at = row.get::<_, Option<i64>>(4)?.map(instant);
    let feedback = row.get::<_, Option<i64>>(6)?;
    Ok(MessageRecord {
        role,
        content: row.get(1)?,
        id: row.get(2)?,
        name: row.get(3)?,
        timestamp: at.map(|at| if local { at.trim_end_matches('Z').to_owned() } else { at }),
        feedback: feedback.map(|it| if it > 0 { Rating::Up } else { Rating::Down }),
        metadata: json(row, 7)?,
    })
}

fn quote(row: &Row<'_>, column: usize) -> rusqlite::Result<QuoteRecord> {
    let (message, start, end) = (row.get(column)?, row.get(column + 1)?, row.get(column + 2)?);
    Ok(QuoteRecord { message, start, end, text: String::new() })
}

fn instant(millis: i64) -> String {
    Moment::instant(Timestamp::from_millisecond(millis).unwrap_or_default()).to_string()
}

fn json(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Value>> {
    let Some(text) = row.get::<_, Option<String>>(column)? else { return Ok(None) };
    let wrong = |error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error));
    serde_json::from_str(&text).map(Some).map_err(wrong)
}
