use rusqlite::{Connection, params};
use serde_json::Value;

use super::check::key;
use super::record::SessionRecord;
use crate::memory::schema::row;
use crate::memory::{Batch, MemoryError};
use crate::session::{Identity, Moment, Rating, Role, Session};

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// It is stored.
    New,
    /// It took the place of an earlier revision.
    Replaced,
    /// The same content was there already.
    Unchanged,
    /// A revision with as many messages or more was there already.
    Older,
}

impl Batch<'_> {
    /// Stores a record that [`super::parse`] has found good. It has the place that the session it came from would have:
    /// the same user, app and session id are the same session.
    ///
    /// # Errors
    /// After an error the batch can only be given up.
    pub fn restore(&mut self, record: &SessionRecord) -> Result<Restored, MemoryError> {
        let named = Session {
            session_id: record.session_id.clone(),
            user_id: record.user_id.clone(),
            app: record.app.clone(),
            ..Session::default()
        };
        let identity = Identity::of(&named);
        let content = key(&record.key).unwrap_or_default();
        let replaced = match self.standing(&identity)? {
            Some(there) if there.key == content => return Ok(Restored::Unchanged),
            Some(there) if there.messages >= record.message_count => return Ok(Restored::Older),
            there => there.is_some(),
        };
        if replaced {
            self.remove(&identity)?;
        }
        self.write_rows(record.user_id.as_deref(), |conn, session, user| {
            messages(conn, session, record)?;
            statements(conn, session, user, record)?;
            let mut insert = conn.prepare_cached("INSERT INTO examples(id, signature) VALUES (?, ?)")?;
            for (ordinal, mark) in record.examples.iter().enumerate() {
                insert.execute([row(session, ordinal), mark.0.cast_signed()])?;
            }
            own_row(conn, session, user, &identity, &content, record)
        })?;
        Ok(if replaced { Restored::Replaced } else { Restored::New })
    }
}

fn messages(conn: &Connection, session: i64, record: &SessionRecord) -> Result<(), MemoryError> {
    let sql = "INSERT INTO messages(id, role, at_ms, local, feedback, name, message_id, text, metadata)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let mut insert = conn.prepare_cached(sql)?;
    for (ordinal, message) in record.messages.iter().enumerate() {
        let at = message.timestamp.as_deref().and_then(Moment::parse);
        let role = match message.role {
            Role::User => 0,
            Role::Assistant => 1,
            Role::System => 2,
            Role::Tool => 3,
        };
        let feedback = message.feedback.map(|it| if it == Rating::Up { 1 } else { -1 });
        insert.execute(params![
            row(session, ordinal),
            role,
            at.map(Moment::millis),
            at.filter(|at| at.is_local()).map(|_| 1),
            feedback,
            message.name,
            message.id,
            message.content,
            json(message.metadata.as_ref()),
        ])?;
    }
    Ok(())
}

fn statements(conn: &Connection, session: i64, user: i64, record: &SessionRecord) -> Result<(), MemoryError> {
    let sql =
        "INSERT INTO facts(id, user, attribute, value, exclusive, confidence, message, from_byte, to_byte,
                 said_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let mut insert = conn.prepare_cached(sql)?;
    for (ordinal, fact) in record.facts.iter().enumerate() {
        let quote = &fact.quote;
        insert.execute(params![
            row(session, ordinal),
            user,
            fact.attribute,
            fact.value,
            fact.exclusive,
            fact.confidence,
            quote.message,
            quote.start,
            quote.end,
            millis(&fact.said_at),
        ])?;
    }
    let sql =
        "INSERT INTO preferences(id, user, object, polarity, kind, strength, message, from_byte, to_byte,
                 said_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let mut insert = conn.prepare_cached(sql)?;
    for (ordinal, preference) in record.preferences.iter().enumerate() {
        let quote = &preference.quote;
        insert.execute(params![
            row(session, ordinal),
            user,
            preference.object,
            preference.polarity.as_str(),
            preference.kind,
            preference.strength,
            quote.message,
            quote.start,
            quote.end,
            millis(&preference.said_at),
        ])?;
    }
    Ok(())
}

/// The session's own row, which makes the others count. Returns the bytes of its texts.
fn own_row(
    conn: &Connection,
    session: i64,
    user: i64,
    identity: &Identity,
    key: &[u8; 32],
    record: &SessionRecord,
) -> Result<u64, MemoryError> {
    let sql = "INSERT INTO sessions(id, identity, key, user, session_id, app, model, file, format, start_ms, end_ms,
                 start_time, end_time, learned_ms, remembered, message_count, text_bytes, items, language, topics,
                 key_phrases, patterns, redactions, metadata, extra)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let text_bytes: u64 = record.messages.iter().map(|message| message.content.len() as u64).sum();
    let start = record.start_time.as_deref().and_then(Moment::parse);
    let end = record.end_time.as_deref().and_then(Moment::parse);
    conn.prepare_cached(sql)?.execute(params![
        session,
        identity.0,
        key,
        user,
        record.session_id,
        record.app,
        record.model,
        record.file,
        record.format,
        start.map(Moment::millis),
        end.map(Moment::millis),
        start.map(|at| at.to_string()),
        end.map(|at| at.to_string()),
        millis(&record.learned_at),
        record.remembered,
        record.message_count,
        text_bytes,
        record.items,
        record.language,
        json(record.topics.as_ref()),
        json(record.key_phrases.as_ref()),
        json(record.patterns.as_ref()),
        json(record.redactions.as_ref()),
        json(record.metadata.as_ref()),
        json(record.extra.as_ref()),
    ])?;
    Ok(text_bytes)
}

fn millis(time: &str) -> i64 {
    Moment::parse(time).map_or(0, Moment::millis)
}

fn json(value: Option<&Value>) -> Option<String> {
    value.map(Value::to_string)
}
