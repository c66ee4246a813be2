//! Taking sessions, or single turns of them, out of memory.db so that no byte of them is left in the file.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use super::schema::{row, row_range};
use super::{Batch, MemoryError, Writer, embedding, index};
use crate::session::{Identity, SessionKey};

/// A session as memory.db has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its row in `sessions`.
    pub row: i64,
    /// Who it is, whatever its length.
    pub identity: Identity,
    /// Its content.
    pub key: SessionKey,
    /// The chat app's id.
    pub session_id: String,
    /// Whose it is.
    pub user_id: Option<String>,
    /// Name of the file it came in.
    pub file: String,
    /// Messages it has.
    pub messages: usize,
    /// When it was learned, in milliseconds since 1970.
    pub learned_ms: i64,
    /// Whether it is only a piece of a chat that runs.
    pub piece: bool,
}

/// Where something stands: by session row, the ordinals of the messages.
pub type Turns = BTreeMap<i64, BTreeSet<usize>>;

/// What is forgotten of one session that stays.
#[derive(Debug, Clone, Default)]
pub struct Blank<'a> {
    /// Ordinals of the messages that lose their words.
    pub turns: BTreeSet<usize>,
    /// Key of the session as it is now; `None` leaves the one it has.
    pub key: Option<SessionKey>,
    /// What must not stand in the session's notes either.
    pub matching: Option<&'a Regex>,
    /// Whether the signatures of its training examples go.
    pub examples: bool,
}

/// How much went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Removed {
    /// Sessions.
    pub sessions: u64,
    /// Messages, of sessions that went and of those that stay.
    pub messages: u64,
    /// Statements of fact.
    pub facts: u64,
    /// Statements of preference.
    pub preferences: u64,
    /// Signatures of training examples.
    pub examples: u64,
    /// Users of whom nothing is left.
    pub users: u64,
}

/// Every session there is, those of which only signatures are kept included.
pub fn sessions(conn: &Connection) -> Result<Vec<Known>, MemoryError> {
    // A database that no writer of ours has opened yet has no table of running chats.
    let has_live = conn.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'live'")?.exists([])?;
    let piece = if has_live { "s.id IN (SELECT session FROM live)" } else { "0" };
    let sql = format!(
        "SELECT s.id, s.identity, s.key, s.session_id, u.user_id, s.file, s.message_count, s.learned_ms, {piece}
         FROM sessions s JOIN users u ON u.id = s.user ORDER BY s.id"
    );
    let mut statement = conn.prepare(&sql)?;
    let rows = statement.query_map([], |row| {
        Ok(Known {
            row: row.get(0)?,
            identity: Identity(row.get(1)?),
            key: SessionKey(row.get(2)?),
            session_id: row.get(3)?,
            user_id: row.get(4)?,
            file: row.get(5)?,
            messages: row.get(6)?,
            learned_ms: row.get(7)?,
            piece: row.get(8)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The turns of the sessions whose words, name or notes match, or of which a statement was learned that does.
pub fn turns_matching(
    conn: &Connection,
    wanted: &Regex,
    of: &dyn Fn(i64) -> bool,
) -> Result<Turns, MemoryError> {
    let mut turns = Turns::new();
    let mut note = |session: i64, ordinal: usize| {
        if of(session) {
            turns.entry(session).or_default().insert(ordinal);
        }
    };
    for sql in [
        "SELECT session, message, text, name, metadata FROM messages",
        "SELECT session, message, object, NULL, NULL FROM preferences",
        "SELECT session, message, value, NULL, NULL FROM facts",
    ] {
        let mut statement = conn.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            for column in 2..5 {
                if row.get_ref(column)?.as_str_or_null().ok().flatten().is_some_and(|it| wanted.is_match(it))
                {
                    note(row.get(0)?, row.get(1)?);
                }
            }
        }
    }
    Ok(turns)
}

/// The sessions whose notes (the app's own, phrases, what programs added) match.
pub fn notes_matching(conn: &Connection, wanted: &Regex) -> Result<BTreeSet<i64>, MemoryError> {
    let mut found = BTreeSet::new();
    let mut statement = conn.prepare("SELECT id, metadata, extra, key_phrases, patterns FROM sessions")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        for column in 1..5 {
            if row.get_ref(column)?.as_str_or_null().ok().flatten().is_some_and(|it| wanted.is_match(it)) {
                found.insert(row.get(0)?);
            }
        }
    }
    Ok(found)
}

/// The turns that state a fact: those of every statement of the same user, attribute and value. `None` if there is no
/// fact of that number.
pub fn turns_stating(conn: &Connection, fact: i64) -> Result<Option<Turns>, MemoryError> {
    let about = conn
        .prepare_cached("SELECT user, attribute, value FROM facts WHERE id = ?")?
        .query_row([fact], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
        })
        .optional()?;
    let Some((user, attribute, value)) = about else { return Ok(None) };
    let mut turns = Turns::new();
    let mut statement = conn.prepare_cached(
        "SELECT session, message FROM facts WHERE user = ? AND attribute = ? AND value = ?",
    )?;
    let mut rows = statement.query(params![user, attribute, value])?;
    while let Some(row) = rows.next()? {
        turns.entry(row.get(0)?).or_default().insert(row.get(1)?);
    }
    Ok(Some(turns))
}

/// The words of some turns, as they stand in memory.db.
pub fn words(
    conn: &Connection,
    session: i64,
    turns: &BTreeSet<usize>,
) -> Result<BTreeMap<usize, (i64, String)>, MemoryError> {
    let mut look_up = conn.prepare_cached("SELECT role, text FROM messages WHERE id = ?")?;
    let mut words = BTreeMap::new();
    for turn in turns {
        let found =
            look_up.query_row([row(session, *turn)], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        words.extend(found.map(|found| (*turn, found)));
    }
    Ok(words)
}

impl Batch<'_> {
    /// Removes a session as [`Batch::remove`] does, and tells how much that was.
    ///
    /// # Errors
    /// After an error the batch can only be given up.
    pub fn forget(&mut self, identity: &Identity) -> Result<Removed, MemoryError> {
        self.remove_pieces_of(identity)?;
        let Some((session, _)) = self.find(identity)? else { return Ok(Removed::default()) };
        let count = |table: &str| self.count_rows(table, session);
        let removed = Removed {
            sessions: 1,
            messages: count("messages")?,
            facts: count("facts")?,
            preferences: count("preferences")?,
            examples: count("examples")?,
            users: 0,
        };
        self.remove(identity)?;
        self.run("DELETE FROM live WHERE session = ?", [session])?;
        Ok(removed)
    }

    /// Takes the words of some turns out of a session that stays, with what was learned from them.
    ///
    /// The session gets a new number, as a revision does: the index only ever grows at its end.
    ///
    /// # Errors
    /// After an error the batch can only be given up.
    pub fn blank(&mut self, identity: &Identity, blank: &Blank<'_>) -> Result<Removed, MemoryError> {
        let Some((session, _)) = self.find(identity)? else { return Ok(Removed::default()) };
        let mut removed = Removed::default();
        index::remove(self.connection(), session)?;
        embedding::store::remove(self.connection(), session)?;
        for turn in &blank.turns {
            let sql = "UPDATE messages SET text = '', name = NULL, metadata = NULL
                       WHERE id = ? AND (text <> '' OR name IS NOT NULL OR metadata IS NOT NULL)";
            removed.messages += self.run(sql, params![row(session, *turn)])?;
            let [first, last] = row_range(session);
            let facts = "DELETE FROM facts WHERE id BETWEEN ? AND ? AND message = ?";
            removed.facts += self.run(facts, params![first, last, turn])?;
            let preferences = "DELETE FROM preferences WHERE id BETWEEN ? AND ? AND message = ?";
            removed.preferences += self.run(preferences, params![first, last, turn])?;
        }
        if blank.examples {
            let sql = "DELETE FROM examples WHERE id BETWEEN ? AND ?";
            removed.examples += self.run(sql, row_range(session))?;
        }
        self.blank_notes(session, blank)?;
        self.renumber(session)?;
        Ok(removed)
    }

    /// What the session's own row says of the turns that go.
    fn blank_notes(&mut self, session: i64, blank: &Blank<'_>) -> Result<(), MemoryError> {
        let conn = self.connection();
        let sql = "SELECT metadata, key_phrases, patterns FROM sessions WHERE id = ?";
        let [metadata, phrases, patterns] = conn.prepare_cached(sql)?.query_row([session], |row| {
            Ok([0, 1, 2].map(|column| row.get::<_, Option<String>>(column).ok().flatten()))
        })?;
        let left = left_words(conn, session)?;
        let metadata = metadata.and_then(|it| without_matches(&it, blank.matching));
        let phrases = phrases.and_then(|it| phrases_within(&it, &left));
        let patterns = patterns.and_then(|it| patterns_without(&it, &blank.turns));
        let sql =
            "UPDATE sessions SET metadata = ?, key_phrases = ?, patterns = ?, extra = NULL, text_bytes = ?,
                     key = ifnull(?, key) WHERE id = ?";
        let bytes: usize = left.iter().map(String::len).sum();
        let key = blank.key.map(|key| key.0);
        self.run(sql, params![metadata, phrases, patterns, bytes, key, session])?;
        Ok(())
    }

    /// Takes away users of whom nothing is left.
    pub fn forget_empty_users(&mut self) -> Result<u64, MemoryError> {
        let gone =
            self.run("DELETE FROM users WHERE id > 0 AND id NOT IN (SELECT user FROM sessions)", [])?;
        for table in ["index_users", "index_terms", "index_recent"] {
            self.run(&format!("DELETE FROM {table} WHERE user NOT IN (SELECT user FROM sessions)"), [])?;
        }
        Ok(gone)
    }

    fn count_rows(&self, table: &str, session: i64) -> Result<u64, MemoryError> {
        let sql = format!("SELECT count(*) FROM {table} WHERE id BETWEEN ? AND ?");
        Ok(self.connection().prepare_cached(&sql)?.query_row(row_range(session), |row| row.get(0))?)
    }
}

/// The words a session still has, in lower case.
fn left_words(conn: &Connection, session: i64) -> Result<Vec<String>, MemoryError> {
    let mut statement =
        conn.prepare_cached("SELECT text FROM messages WHERE id BETWEEN ? AND ? AND text <> ''")?;
    let rows = statement.query_map(row_range(session), |row| row.get::<_, String>(0))?;
    Ok(rows.map(|text| text.map(|text| text.to_lowercase())).collect::<Result<_, _>>()?)
}

/// Phrases that still stand in what is left.
fn phrases_within(json: &str, left: &[String]) -> Option<String> {
    let Ok(Value::Array(mut phrases)) = serde_json::from_str(json) else { return None };
    phrases.retain(|phrase| {
        let text = phrase.get("text").and_then(Value::as_str).unwrap_or_default().to_lowercase();
        left.iter().any(|words| words.contains(&text))
    });
    (!phrases.is_empty()).then(|| Value::Array(phrases).to_string())
}

/// The style of the session without the quotes that stand in turns that go.
fn patterns_without(json: &str, turns: &BTreeSet<usize>) -> Option<String> {
    let mut patterns: Value = serde_json::from_str(json).ok()?;
    if let Some(feedback) = patterns.get_mut("feedback").and_then(Value::as_array_mut) {
        feedback.retain(|one| {
            let message = one.pointer("/quote/message").and_then(Value::as_u64);
            message.is_some_and(|message| usize::try_from(message).is_ok_and(|it| !turns.contains(&it)))
        });
    }
    Some(patterns.to_string())
}

/// Notes of an app without the texts that match.
fn without_matches(json: &str, matching: Option<&Regex>) -> Option<String> {
    let mut notes: Value = serde_json::from_str(json).ok()?;
    if let Some(matching) = matching {
        scrub(&mut notes, &|text| matching.is_match(text));
    }
    Some(notes.to_string())
}

/// Empties every text in a JSON value that is not to stand there, and takes away entries whose name is not to. `true`
/// if there was any.
pub fn scrub(value: &mut Value, goes: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) if goes(text) => {
            *text = String::new();
            true
        }
        // All of them, not only up to the first.
        Value::Array(list) => list.iter_mut().filter_map(|item| scrub(item, goes).then_some(())).count() > 0,
        Value::Object(entries) => {
            let before = entries.len();
            entries.retain(|name, _| !goes(name));
            let named = entries.len() < before;
            entries.values_mut().fold(named, |any, item| scrub(item, goes) || any)
        }
        _ => false,
    }
}

impl Writer {
    /// Makes the file anew, page by page, and empties the write-ahead log: what was deleted is in neither any more.
    ///
    /// # Errors
    /// [`MemoryError::Held`] while another process reads the database as it was.
    pub fn scour(&mut self) -> Result<(), MemoryError> {
        self.truncate_log()?;
        self.connection().execute_batch("VACUUM")?;
        self.truncate_log()
    }

    /// Moves the write-ahead log into the database and cuts it to nothing.
    ///
    /// # Errors
    /// [`MemoryError::Held`] while another process reads the database as it was.
    pub fn truncate_log(&mut self) -> Result<(), MemoryError> {
        let busy: i64 =
            self.connection().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy == 0 { Ok(()) } else { Err(MemoryError::Held) }
    }
}
