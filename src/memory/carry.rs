//! A memory.db that is made anew: what is taken over from the one before, and how it takes its place.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::schema::{row, row_range};
use super::{Batch, MemoryError, Writer, reader};
use crate::platform;

/// The columns of the tables whose rows belong to a session, but for the generated ones; `user` is another number in
/// each database.
const TABLES: [(&str, &[&str]); 4] = [
    ("messages", &["role", "at_ms", "local", "feedback", "name", "message_id", "text", "metadata"]),
    (
        "preferences",
        &["user", "object", "polarity", "kind", "strength", "message", "from_byte", "to_byte", "said_ms"],
    ),
    (
        "facts",
        &[
            "user",
            "attribute",
            "value",
            "exclusive",
            "confidence",
            "message",
            "from_byte",
            "to_byte",
            "said_ms",
        ],
    ),
    ("examples", &["signature"]),
];

const SESSION: &[&str] = &[
    "user",
    "identity",
    "key",
    "session_id",
    "app",
    "model",
    "file",
    "format",
    "start_ms",
    "end_ms",
    "start_time",
    "end_time",
    "learned_ms",
    "remembered",
    "message_count",
    "text_bytes",
    "items",
    "language",
    "topics",
    "key_phrases",
    "patterns",
    "redactions",
    "metadata",
    "extra",
];

/// Where, among the files that are gone through, the database that is made has arrived.
const PROGRESS: &str = "rebuilt";

impl Batch<'_> {
    /// Copies a session from another memory.db, row by row.
    ///
    /// # Errors
    /// If the other one cannot be read or this one cannot be written; the batch can then only be given up.
    pub fn carry_over(&mut self, from: &Connection, session: i64) -> Result<(), MemoryError> {
        let sql = "SELECT u.user_id FROM sessions s JOIN users u ON u.id = s.user WHERE s.id = ?";
        let user_id: Option<String> = from.prepare_cached(sql)?.query_row([session], |row| row.get(0))?;
        let user = Value::Integer(self.user(user_id.as_deref())?);
        let number = self.number();
        for (table, columns) in TABLES {
            let list = columns.join(", ");
            let marks = vec!["?"; columns.len() + 1].join(", ");
            let insert = format!("INSERT INTO {table}(id, {list}) VALUES ({marks})");
            let select = format!("SELECT id, {list} FROM {table} WHERE id BETWEEN ? AND ? ORDER BY id");
            let mut statement = from.prepare_cached(&select)?;
            let mut rows = statement.query(row_range(session))?;
            while let Some(found) = rows.next()? {
                let ordinal = found.get::<_, i64>(0)? - row(session, 0);
                let mut values = vec![Value::Integer(row(number, 0) + ordinal)];
                for (column, name) in columns.iter().enumerate() {
                    let value = if *name == "user" { user.clone() } else { found.get(column + 1)? };
                    values.push(value);
                }
                self.run(&insert, params_from_iter(values))?;
            }
        }
        let list = SESSION.join(", ");
        let select = format!("SELECT {list} FROM sessions WHERE id = ?");
        let mut values = from.prepare_cached(&select)?.query_row([session], |row| {
            (0..SESSION.len()).map(|column| row.get::<_, Value>(column)).collect::<Result<Vec<_>, _>>()
        })?;
        if let Some(first) = values.first_mut() {
            *first = user;
        }
        values.insert(0, Value::Integer(number));
        let marks = vec!["?"; values.len()].join(", ");
        self.run(&format!("INSERT INTO sessions(id, {list}) VALUES ({marks})"), params_from_iter(values))?;
        Ok(())
    }

    /// Notes how many files have been gone through, as part of the batch.
    pub fn set_progress(&mut self, files: u64) -> Result<(), MemoryError> {
        let sql = "INSERT OR REPLACE INTO meta VALUES (?, ?)";
        self.run(sql, rusqlite::params![PROGRESS, files])?;
        Ok(())
    }

    /// Takes the note away: the database is whole, and all that is in it was counted.
    pub fn end_progress(&mut self) -> Result<(), MemoryError> {
        self.run("UPDATE sessions SET new_messages = 0, new_preferences = 0, new_facts = 0", [])?;
        self.run("DELETE FROM meta WHERE name = ?", [PROGRESS])?;
        Ok(())
    }
}

/// How many files a database that is being made has gone through; `None` before the first, and once it is whole.
pub fn progress(conn: &Connection) -> Result<Option<u64>, MemoryError> {
    let sql = "SELECT value FROM meta WHERE name = ?";
    Ok(conn.query_row(sql, [PROGRESS], |row| row.get(0)).optional()?)
}

/// Whether a database can be read from end to end; why not, if so. `None` where there is none.
pub fn look_at(path: &Path) -> Option<Result<Connection, MemoryError>> {
    let length = path.metadata().ok()?.len();
    if length == 0 {
        return None;
    }
    let sound = |conn: Connection| match reader::quick_check(&conn)?.into_iter().next() {
        None => Ok(conn),
        Some(finding) => Err(MemoryError::Damaged(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
            Some(finding),
        ))),
    };
    match reader::open(path) {
        Err(MemoryError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
        opened => Some(opened.and_then(sound)),
    }
}

/// Moves a damaged database, with the files beside it, out of the way; where it lies then.
///
/// # Errors
/// What the system said.
pub fn set_aside(path: &Path, stamp: &str) -> io::Result<PathBuf> {
    let named = |number: u32| {
        let again = if number > 1 { format!("-{number}") } else { String::new() };
        suffixed(path, &format!(".damaged-{stamp}{again}"))
    };
    // One that was set aside within the same second stays.
    let is_free = |aside: &PathBuf| platform::lstat(aside).is_err();
    let aside = (1..).map(named).find(is_free).unwrap_or_else(|| named(1));
    // The log first: a database without it is old, a log without its database is nothing.
    for end in ["-wal", "-shm", ""] {
        let from = suffixed(path, end);
        if from.exists() {
            std::fs::rename(&from, suffixed(&aside, end))?;
        }
    }
    Ok(aside)
}

/// Puts a database in the place of another in one step. Nobody writes to either; whoever reads the old one goes on
/// reading it.
///
/// # Errors
/// [`MemoryError::Held`] while somebody reads the old one in a way that keeps its log; nothing is changed then.
pub fn take_place(new: &Path, old: &Path) -> Result<(), MemoryError> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| MemoryError::Open { path, source }
    };
    if old.exists() {
        // A log that is left would be taken for the new one's.
        Writer::open(old)?.truncate_log()?;
    }
    Writer::open(new)?.truncate_log()?;
    for path in [new, old] {
        for end in ["-wal", "-shm"] {
            match std::fs::remove_file(suffixed(path, end)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(path)(error)),
                _ => {}
            }
        }
    }
    std::fs::File::open(new).and_then(|file| file.sync_all()).map_err(failed(new))?;
    std::fs::rename(new, old).map_err(failed(old))?;
    old.parent().map_or(Ok(()), platform::sync_dir).map_err(failed(old))
}

fn suffixed(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(end);
    name.into()
}
