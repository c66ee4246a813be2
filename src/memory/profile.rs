//! What is known of one user: for `atles profile`, for the block that goes into a prompt, and for whoever publishes a
//! model.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use super::MemoryError;

/// What is known of one user.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Profile {
    /// Who; absent for apps that know only one user.
    pub user_id: Option<String>,
    /// Sessions remembered.
    pub sessions: u64,
    /// Their messages.
    pub messages: u64,
    /// When the first of them began, ISO 8601.
    pub first_seen: Option<String>,
    /// When the last of them ended.
    pub last_seen: Option<String>,
    /// What holds now, by attribute.
    pub facts: Vec<HeldFact>,
    /// What the user wants and avoids now, the surest first.
    pub preferences: Vec<HeldPreference>,
    /// How the user writes.
    pub patterns: BTreeMap<String, f64>,
    /// Topics and the number of sessions about them, the most frequent first.
    pub topics: Vec<TopicCount>,
}

/// A fact that holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeldFact {
    /// Its number, for `atles forget --fact`: that of the last statement.
    pub id: i64,
    /// What is stated, as in `lives_in`.
    pub attribute: String,
    /// As said last.
    pub value: String,
    /// When it was first said, ISO 8601.
    pub valid_from: String,
    /// When it was last said.
    pub last_seen: String,
    /// How often it was said.
    pub mentions: u64,
    /// How sure the rule is, 0 to 1.
    pub confidence: f64,
    /// The words that prove it.
    pub quote: String,
    /// Where they stand.
    pub source: SourcePlace,
    /// What held before, the latest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub superseded: Vec<Superseded>,
}

/// A value that held once.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Superseded {
    /// The value.
    pub value: String,
    /// When it was first said, ISO 8601.
    pub valid_from: String,
    /// When another took its place.
    pub valid_to: String,
    /// The words that prove it.
    pub quote: String,
}

/// Something the user wants or avoids.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeldPreference {
    /// What it is about.
    pub object: String,
    /// `for` or `against`.
    pub polarity: String,
    /// The family of the statement.
    pub kind: String,
    /// 0 to 1.
    pub strength: f64,
    /// How often it was said so.
    pub mentions: u64,
    /// When it was first said, ISO 8601.
    pub first_seen: String,
    /// When it was last said.
    pub last_seen: String,
    /// The words that prove it.
    pub quote: String,
    /// Where they stand.
    pub source: SourcePlace,
}

/// Where words stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SourcePlace {
    /// The chat app's id of the session.
    pub session_id: String,
    /// Index of the message in it.
    pub message_index: u64,
    /// The first byte of the quote in the message.
    pub start: u64,
    /// Behind its last byte.
    pub end: u64,
}

/// How many sessions are about a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicCount {
    /// Its name in the taxonomy.
    pub name: String,
    /// Sessions.
    pub sessions: u64,
}

/// A user there is something about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KnownUser {
    /// Who; absent for apps that know only one user.
    pub user_id: Option<String>,
    /// Sessions remembered.
    pub sessions: u64,
    /// Their messages.
    pub messages: u64,
}

/// Topics a profile names.
const TOPICS: i64 = 12;
/// Newest sessions whose style is read; an older style says little of how the user writes today.
const STYLE_SESSIONS: i64 = 500;

/// The users that sessions are remembered of, by id.
pub fn users(conn: &Connection) -> Result<Vec<KnownUser>, MemoryError> {
    let sql = "SELECT u.user_id, count(*), sum(s.message_count) FROM users u JOIN sessions s ON s.user = u.id
               WHERE s.remembered GROUP BY u.id ORDER BY u.user_id";
    all(conn, sql, [], |row| {
        Ok(KnownUser { user_id: row.get(0)?, sessions: row.get(1)?, messages: row.get(2)? })
    })
}

/// What is known of one user; `None` if nothing is.
pub fn profile(conn: &Connection, user_id: Option<&str>) -> Result<Option<Profile>, MemoryError> {
    let user: Option<i64> = match user_id {
        None => Some(0),
        Some(id) => conn
            .prepare_cached("SELECT id FROM users WHERE user_id = ?")?
            .query_row([id], |row| row.get(0))
            .optional()?,
    };
    let Some(user) = user else { return Ok(None) };
    let sql = "SELECT count(*), ifnull(sum(message_count), 0), min(coalesce(start_ms, learned_ms)),
                 max(coalesce(end_ms, start_ms, learned_ms)) FROM sessions WHERE user = ? AND remembered";
    let (sessions, messages, first, last) = conn.prepare_cached(sql)?.query_row([user], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get::<_, Option<i64>>(2)?, row.get::<_, Option<i64>>(3)?))
    })?;
    if sessions == 0 {
        return Ok(None);
    }
    Ok(Some(Profile {
        user_id: user_id.map(str::to_owned),
        sessions,
        messages,
        first_seen: first.map(iso),
        last_seen: last.map(iso),
        facts: facts(conn, user_id)?,
        preferences: preferences(conn, user_id)?,
        patterns: patterns(conn, user)?,
        topics: topics(conn, user)?,
    }))
}

fn facts(conn: &Connection, user_id: Option<&str>) -> Result<Vec<HeldFact>, MemoryError> {
    let sql = "SELECT attribute, value, exclusive, valid_from, valid_to, last_ms, mentions, confidence, id
               FROM facts_history WHERE user_id IS ? ORDER BY attribute, valid_from, id";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([user_id])?;
    let mut held: Vec<HeldFact> = Vec::new();
    let mut gone: Vec<Superseded> = Vec::new();
    while let Some(row) = rows.next()? {
        let (quote, source) = proof(conn, "facts_said", row.get(8)?)?;
        let (value, valid_from) = (row.get(1)?, iso(row.get(3)?));
        if let Some(valid_to) = row.get::<_, Option<i64>>(4)? {
            gone.push(Superseded { value, valid_from, valid_to: iso(valid_to), quote });
            continue;
        }
        let exclusive: bool = row.get(2)?;
        held.push(HeldFact {
            id: row.get(8)?,
            attribute: row.get(0)?,
            value,
            valid_from,
            last_seen: iso(row.get(5)?),
            mentions: row.get(6)?,
            confidence: row.get(7)?,
            quote,
            source,
            // Rows come oldest first, and the one without an end closes its attribute.
            superseded: if exclusive { gone.drain(..).rev().collect() } else { Vec::new() },
        });
    }
    Ok(held)
}

fn preferences(conn: &Connection, user_id: Option<&str>) -> Result<Vec<HeldPreference>, MemoryError> {
    let sql = "SELECT object, polarity, kind, max_strength, mentions, first_ms, last_ms, id
               FROM preferences_now WHERE user_id IS ? ORDER BY mentions DESC, max_strength DESC, last_ms DESC, object";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([user_id])?;
    let mut held = Vec::new();
    while let Some(row) = rows.next()? {
        let (quote, source) = proof(conn, "preferences_said", row.get(7)?)?;
        held.push(HeldPreference {
            object: row.get(0)?,
            polarity: row.get(1)?,
            kind: row.get(2)?,
            strength: row.get(3)?,
            mentions: row.get(4)?,
            first_seen: iso(row.get(5)?),
            last_seen: iso(row.get(6)?),
            quote,
            source,
        });
    }
    Ok(held)
}

/// The words of a statement and where they stand. `view` is one of ours, never something from outside.
fn proof(conn: &Connection, view: &'static str, id: i64) -> Result<(String, SourcePlace), MemoryError> {
    let sql = format!("SELECT quote, session_id, message, from_byte, to_byte FROM {view} WHERE id = ?");
    let read = |row: &Row<'_>| {
        let place = SourcePlace {
            session_id: row.get(1)?,
            message_index: row.get(2)?,
            start: row.get(3)?,
            end: row.get(4)?,
        };
        Ok((row.get(0)?, place))
    };
    Ok(conn.prepare_cached(&sql)?.query_row([id], read).optional()?.unwrap_or_default())
}

/// The mean of each number of the sessions' styles, weighed by the messages it is taken from.
fn patterns(conn: &Connection, user: i64) -> Result<BTreeMap<String, f64>, MemoryError> {
    let sql =
        "SELECT patterns FROM sessions WHERE user = ? AND patterns IS NOT NULL ORDER BY id DESC LIMIT ?";
    let styles = all(conn, sql, params![user, STYLE_SESSIONS], |row| row.get::<_, String>(0))?;
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    let mut weight = 0.0;
    for style in &styles {
        let Ok(serde_json::Value::Object(style)) = serde_json::from_str(style) else { continue };
        let messages = style.get("messages").and_then(serde_json::Value::as_f64).unwrap_or(0.0);
        weight += messages;
        for (name, value) in style.iter().filter(|(name, _)| *name != "messages") {
            if let Some(value) = value.as_f64() {
                *sums.entry(name.clone()).or_default() += value * messages;
            }
        }
    }
    if weight == 0.0 {
        return Ok(BTreeMap::new());
    }
    Ok(sums.into_iter().map(|(name, sum)| (name, (sum / weight * 1e3).round() / 1e3)).collect())
}

fn topics(conn: &Connection, user: i64) -> Result<Vec<TopicCount>, MemoryError> {
    let sql = "SELECT t.value ->> 'name' AS name, count(*) AS sessions FROM sessions s, json_each(s.topics) t
               WHERE s.user = ? GROUP BY name ORDER BY sessions DESC, name LIMIT ?";
    all(conn, sql, params![user, TOPICS], |row| Ok(TopicCount { name: row.get(0)?, sessions: row.get(1)? }))
}

fn all<T>(
    conn: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, MemoryError> {
    Ok(conn.prepare_cached(sql)?.query_map(params, read)?.collect::<Result<_, _>>()?)
}

fn iso(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string())
}

impl Profile {
    /// The profile as Markdown. Words from chats stand escaped, each on one line.
    pub fn markdown(&self) -> String {
        let mut page = String::new();
        let name = self.user_id.as_deref().map_or_else(|| "The user".to_owned(), plain);
        let _ = writeln!(page, "# {name}\n");
        let _ = write!(page, "{} sessions, {} messages", self.sessions, self.messages);
        if let (Some(first), Some(last)) = (&self.first_seen, &self.last_seen) {
            let _ = write!(page, ", {} to {}", day(first), day(last));
        }
        page.push('\n');
        if !self.facts.is_empty() {
            page.push_str("\n## Facts\n\n");
        }
        for fact in &self.facts {
            let attribute = plain(&fact.attribute.replace(['_', '.'], " "));
            let since = day(&fact.valid_from);
            let _ = writeln!(
                page,
                "- {attribute}: **{}** (since {since}): “{}”",
                plain(&fact.value),
                plain(&fact.quote)
            );
            for before in &fact.superseded {
                let (from, to) = (day(&before.valid_from), day(&before.valid_to));
                let _ = writeln!(page, "  - before: {} ({from} to {to})", plain(&before.value));
            }
        }
        for (polarity, title) in [("for", "Likes and wants"), ("against", "Dislikes and avoids")] {
            let mut held = self.preferences.iter().filter(|it| it.polarity == polarity).peekable();
            if held.peek().is_some() {
                let _ = writeln!(page, "\n## {title}\n");
            }
            for it in held {
                let times = if it.mentions > 1 { format!("{} times, ", it.mentions) } else { String::new() };
                let (object, quote) = (plain(&it.object.replace('_', " ")), plain(&it.quote));
                let _ = writeln!(page, "- **{object}** ({times}last {}): “{quote}”", day(&it.last_seen));
            }
        }
        if !self.topics.is_empty() {
            let named =
                |topic: &TopicCount| format!("{} ({})", plain(&topic.name.replace('_', " ")), topic.sessions);
            let list: Vec<String> = self.topics.iter().map(named).collect();
            let _ = writeln!(page, "\n## Topics\n\n{}", list.join(", "));
        }
        if !self.patterns.is_empty() {
            page.push_str("\n## Style\n\n");
            for (name, value) in &self.patterns {
                let _ = writeln!(page, "- {}: {value}", name.replace('_', " "));
            }
        }
        page
    }
}

/// The day of an ISO 8601 time.
pub(super) fn day(time: &str) -> &str {
    time.get(..10).unwrap_or(time)
}

/// Words from a chat as Markdown that stays what it is: on one line, without markup.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in super::prompt::one_line(text).chars() {
        if matches!(letter, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '~' | '&' | '!') {
            plain.push('\\');
        }
        plain.push(letter);
    }
    plain
}
