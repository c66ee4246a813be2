//! The rows of one session, table by table.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde::Serialize;

use super::schema::{row, row_range};
use super::{MemoryError, Stored};
use crate::session::{Envelope, Keep, Message, Moment, Quote, Rating, Role, Session};

/// What is the same for all rows of the session being stored.
pub(super) struct Place<'a> {
    pub session: i64,
    pub user: i64,
    /// When that was said of which the chat gives no time, in milliseconds since 1970.
    pub said_ms: i64,
    /// Whether `said_ms` is only the time of learning. Then what an earlier revision knew keeps its time: a chat that
    /// goes on today does not say again today what it said last week.
    pub guessed: bool,
    pub earlier: Option<&'a Earlier>,
    /// The first message that is stored; of those before it, and of what they say, nothing is.
    pub first: usize,
    /// Messages of the chat that stand before those at hand.
    pub before: usize,
}

impl Place<'_> {
    /// The place in the whole chat of a message at hand; `None` for one that is not stored.
    fn of(&self, message: usize) -> Option<usize> {
        (message >= self.first).then_some(self.before + message)
    }
}

impl Place<'_> {
    /// The earlier revision, and from which of its messages on nothing was counted.
    fn uncounted(&self) -> [i64; 2] {
        self.earlier.map_or([0, i64::MAX], |earlier| [earlier.session, earlier.uncounted])
    }
}

/// What names a row in `sessions`.
pub(super) struct Names<'a> {
    pub identity: &'a [u8; 32],
    pub key: &'a [u8; 32],
}

/// The revision that gives its place to the session being stored.
pub(super) struct Earlier {
    pub session: i64,
    /// Memory items it created that were counted.
    items: u64,
    /// How often each message (by hash) stands in it, as far as they were counted.
    messages: HashMap<u64, u32>,
    /// The first message that was not counted; what is said from there on is as good as new.
    uncounted: i64,
}

/// What only the row in `sessions` says.
pub(super) struct Totals<'a> {
    pub learned_at: Timestamp,
    pub text_bytes: u64,
    pub stored: &'a Stored,
}

impl Earlier {
    /// `counted`: whether the run that stored it came to count it.
    pub(super) fn read(conn: &Connection, session: i64, counted: bool) -> Result<Self, MemoryError> {
        let sql = "SELECT items, new_messages + new_preferences + new_facts, message_count - new_messages
                   FROM sessions WHERE id = ?";
        let (mut items, new, old): (u64, u64, i64) = conn
            .prepare_cached(sql)?
            .query_row([session], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let [first, mut last] = row_range(session);
        let mut uncounted = i64::MAX;
        if !counted {
            // A chat that goes on has what is new in it at its end.
            items = items.saturating_sub(new);
            uncounted = old.max(0);
            last = last.min(first + uncounted - 1);
        }
        let mut statement =
            conn.prepare_cached("SELECT role, text FROM messages WHERE id BETWEEN ? AND ?")?;
        let mut found = statement.query([first, last])?;
        let mut messages = HashMap::new();
        while let Some(row) = found.next()? {
            let hash = message_hash(row.get(0)?, row.get_ref(1)?.as_bytes().unwrap_or_default());
            *messages.entry(hash).or_default() += 1;
        }
        Ok(Earlier { session, items, messages, uncounted })
    }
}

/// Stores the turns; returns the bytes of text.
pub(super) fn messages(
    conn: &Connection,
    session: &Session,
    keep: &Keep,
    place: &Place<'_>,
    stored: &mut Stored,
) -> Result<u64, MemoryError> {
    let sql = "INSERT INTO messages(id, role, at_ms, local, feedback, name, message_id, text, metadata)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let mut insert = conn.prepare_cached(sql)?;
    let mut known = place.earlier.map(|earlier| earlier.messages.clone());
    let mut bytes = 0;
    for (index, message) in session.messages.iter().enumerate() {
        let Some(ordinal) = place.of(index) else { continue };
        let text = if keep.roles.contains(&message.role) { message.text.as_str() } else { "" };
        let role = role_number(message.role);
        bytes += text.len() as u64;
        insert.execute(params![
            row(place.session, ordinal),
            role,
            message.timestamp.map(Moment::millis),
            message.timestamp.filter(|at| at.is_local()).map(|_| 1),
            message.feedback.map(feedback_number),
            message.name,
            message.id,
            text,
            json(keep.metadata && !message.metadata.is_empty(), &message.metadata)?,
        ])?;
        let was_there = known.as_mut().is_some_and(|known| take(known, message_hash(role, text.as_bytes())));
        stored.new_messages += u64::from(!was_there);
    }
    Ok(bytes)
}

/// Stores the preferences that their quotes prove.
pub(super) fn preferences(
    conn: &Connection,
    envelope: &Envelope,
    place: &Place<'_>,
    stored: &mut Stored,
) -> Result<(), MemoryError> {
    let mut look_up = conn.prepare_cached(
        "SELECT 1 FROM preferences WHERE user = ? AND object = ? AND polarity = ?
                           AND session NOT IN (SELECT session FROM live)
                           AND NOT (session = ? AND message >= ?) LIMIT 1",
    )?;
    let [earlier, uncounted] = place.uncounted();
    let mut insert = conn.prepare_cached(
        "INSERT INTO preferences(id, user, object, polarity, kind, strength, message, from_byte, to_byte, said_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for (ordinal, preference) in envelope.learned.preferences.iter().enumerate() {
        let quote = &preference.quote;
        let Some(stands_in) = place.of(quote.message) else { continue };
        let Some(message) = proof(&envelope.session, quote) else {
            stored.unproven += 1;
            continue;
        };
        let polarity = preference.polarity.as_str();
        let known = look_up.exists(params![place.user, preference.object, polarity, earlier, uncounted])?;
        stored.new_preferences += u64::from(!known);
        let said_ms = said(place, message, known, |[first, last]| {
            let sql = "SELECT min(said_ms) FROM preferences
                       WHERE user = ? AND object = ? AND polarity = ? AND id BETWEEN ? AND ?";
            conn.prepare_cached(sql)?
                .query_row(params![place.user, preference.object, polarity, first, last], |row| row.get(0))
        })?;
        insert.execute(params![
            row(place.session, ordinal),
            place.user,
            preference.object,
            polarity,
            preference.kind,
            finite(preference.strength),
            stands_in,
            quote.start,
            quote.end,
            said_ms,
        ])?;
    }
    Ok(())
}

/// Stores the facts that their quotes prove.
pub(super) fn facts(
    conn: &Connection,
    envelope: &Envelope,
    place: &Place<'_>,
    stored: &mut Stored,
) -> Result<(), MemoryError> {
    let mut look_up = conn.prepare_cached(
        "SELECT 1 FROM facts WHERE user = ? AND attribute = ? AND value = ?
           AND session NOT IN (SELECT session FROM live)
           AND NOT (session = ? AND message >= ?) LIMIT 1",
    )?;
    let [earlier, uncounted] = place.uncounted();
    let mut insert = conn.prepare_cached(
        "INSERT INTO facts(id, user, attribute, value, exclusive, confidence, message, from_byte, to_byte, said_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for (ordinal, fact) in envelope.learned.facts.iter().enumerate() {
        let quote = &fact.quote;
        let Some(stands_in) = place.of(quote.message) else { continue };
        let Some(message) = proof(&envelope.session, quote) else {
            stored.unproven += 1;
            continue;
        };
        let known = look_up.exists(params![place.user, fact.attribute, fact.value, earlier, uncounted])?;
        stored.new_facts += u64::from(!known);
        let said_ms = said(place, message, known, |[first, last]| {
            let sql = "SELECT min(said_ms) FROM facts
                       WHERE user = ? AND attribute = ? AND value = ? AND id BETWEEN ? AND ?";
            conn.prepare_cached(sql)?
                .query_row(params![place.user, fact.attribute, fact.value, first, last], |row| row.get(0))
        })?;
        insert.execute(params![
            row(place.session, ordinal),
            place.user,
            fact.attribute,
            fact.value,
            fact.exclusive,
            finite(fact.confidence),
            stands_in,
            quote.start,
            quote.end,
            said_ms,
        ])?;
    }
    Ok(())
}

/// Stores the signatures of the training examples.
pub(super) fn examples(conn: &Connection, signatures: &[u64], place: &Place<'_>) -> Result<(), MemoryError> {
    let mut insert = conn.prepare_cached("INSERT INTO examples(id, signature) VALUES (?, ?)")?;
    for (ordinal, signature) in signatures.iter().enumerate() {
        insert.execute([row(place.session, ordinal), signature.cast_signed()])?;
    }
    Ok(())
}

/// Stores the session's own row, which makes the others count.
pub(super) fn session(
    conn: &Connection,
    envelope: &Envelope,
    names: Names<'_>,
    keep: Option<&Keep>,
    place: &Place<'_>,
    totals: &Totals<'_>,
) -> Result<(), MemoryError> {
    let sql = "INSERT INTO sessions(id, identity, key, user, session_id, app, model, file, format, start_ms, end_ms,
                 start_time, end_time, learned_ms, remembered, message_count, text_bytes, items, language, topics,
                 key_phrases, patterns, redactions, metadata, extra, new_messages, new_preferences, new_facts)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let Envelope { session, learned, file, .. } = envelope;
    let remembered = keep.is_some();
    let wants = |asked: fn(&Keep) -> bool| keep.is_some_and(asked);
    conn.prepare_cached(sql)?.execute(params![
        place.session,
        names.identity,
        names.key,
        place.user,
        session.session_id,
        session.app,
        session.model,
        file.name,
        file.format,
        session.start_time.map(Moment::millis),
        session.end_time.map(Moment::millis),
        session.start_time.map(|at| at.to_string()),
        session.end_time.map(|at| at.to_string()),
        totals.learned_at.as_millisecond(),
        remembered,
        session.messages.len(),
        totals.text_bytes,
        place.earlier.map_or(0, |earlier| earlier.items) + totals.stored.new_items,
        learned.language,
        json(remembered && !learned.topics.is_empty(), &learned.topics)?,
        json(wants(|keep| keep.key_phrases) && !learned.key_phrases.is_empty(), &learned.key_phrases)?,
        json(remembered && learned.patterns.is_some(), &learned.patterns)?,
        json(remembered && !learned.redactions.is_empty(), &learned.redactions)?,
        json(wants(|keep| keep.metadata) && !session.metadata.is_empty(), &session.metadata)?,
        json(remembered && !learned.extra.is_empty(), &learned.extra)?,
        totals.stored.new_messages,
        totals.stored.new_preferences,
        totals.stored.new_facts,
    ])?;
    Ok(())
}

/// The message in which a quote stands word for word at its place; `None` if it does not. A text that was redacted
/// after something was learned from it proves nothing any more.
fn proof<'a>(session: &'a Session, quote: &Quote) -> Option<&'a Message> {
    let message = session.messages.get(quote.message)?;
    (message.text.get(quote.start..quote.end)? == quote.text).then_some(message)
}

/// When something was said, in milliseconds since 1970.
fn said(
    place: &Place<'_>,
    message: &Message,
    known: bool,
    first_said_within: impl FnOnce([i64; 2]) -> rusqlite::Result<Option<i64>>,
) -> Result<i64, MemoryError> {
    if let Some(at) = message.timestamp {
        return Ok(at.millis());
    }
    let before = match place.earlier {
        Some(earlier) if place.guessed && known => first_said_within(row_range(earlier.session))?,
        _ => None,
    };
    Ok(before.unwrap_or(place.said_ms))
}

/// Takes one from the count, if there is one left.
fn take(counts: &mut HashMap<u64, u32>, hash: u64) -> bool {
    match counts.get_mut(&hash) {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        _ => false,
    }
}

fn message_hash(role: i64, text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (role, text).hash(&mut hasher);
    hasher.finish()
}

fn role_number(role: Role) -> i64 {
    match role {
        Role::User => 0,
        Role::Assistant => 1,
        Role::System => 2,
        Role::Tool => 3,
    }
}

fn feedback_number(rating: Rating) -> i64 {
    match rating {
        Rating::Up => 1,
        Rating::Down => -1,
    }
}

/// SQLite has no NaN: it would read it as NULL.
fn finite(number: f64) -> f64 {
    if number.is_finite() { number } else { 0.0 }
}

/// JSON text, or NULL where there is nothing to say.
fn json<T: Serialize>(wanted: bool, value: &T) -> Result<Option<String>, MemoryError> {
    Ok(if wanted { Some(serde_json::to_string(value)?) } else { None })
}
