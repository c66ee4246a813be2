use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use super::MemoryError;
use crate::platform;

/// The version of the tables, kept in `PRAGMA user_version`.
pub const VERSION: i64 = 1;

/// `ATLS`, kept in `PRAGMA application_id`: tells our database from any other.
const APPLICATION: i64 = 0x4154_4c53;

/// What belongs to a session is numbered `session << BITS | ordinal`.
const BITS: u32 = 20;

/// Messages, facts or preferences that one session may have.
pub const MESSAGES_MAX: usize = 1 << BITS;

/// How long a connection waits for another process to finish its write.
const PATIENCE: Duration = Duration::from_secs(5);

const TABLES: &str = include_str!("tables.sql");
const VIEWS: &str = include_str!("views.sql");
const INDEX: &str = include_str!("index.sql");
const VECTORS: &str = include_str!("vectors.sql");
const LIVE: &str = include_str!("live.sql");

/// The number of row `ordinal` of a session.
pub(super) fn row(session: i64, ordinal: usize) -> i64 {
    session << BITS | ordinal as i64
}

/// The first and last number that rows of a session can have.
pub(super) fn row_range(session: i64) -> [i64; 2] {
    [row(session, 0), row(session, MESSAGES_MAX - 1)]
}

/// Opens memory.db for writing, making or migrating it as needed.
pub(super) fn open(path: &Path) -> Result<Connection, MemoryError> {
    make_private(path).map_err(|source| MemoryError::Open { path: path.to_path_buf(), source })?;
    let mut conn = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    conn.busy_timeout(PATIENCE)?;
    if is_new(&conn, path)? {
        conn.pragma_update(None, "page_size", 8192)?;
    }
    // Damage may look like a format that is only to be read: it would be waited for without end.
    if conn.is_readonly("main")? && platform::may_write(path) {
        return Err(MemoryError::Damaged(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOTADB),
            Some("its header says that it cannot be written".into()),
        )));
    }
    // A writer that stops half-way through a batch must leave nothing of it, and a commit must outlive a power cut.
    conn.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", "full")?;
    conn.pragma_update(None, "secure_delete", "on")?;
    conn.pragma_update(None, "cache_size", -4096)?;
    conn.pragma_update(None, "temp_store", "memory")?;
    conn.set_prepared_statement_cache_capacity(64);
    migrate(&mut conn, path)?;
    touch_every_table(&conn)?;
    Ok(conn)
}

/// Opens memory.db for reading only.
pub(super) fn open_read_only(path: &Path) -> Result<Connection, MemoryError> {
    let nothing_yet =
        || MemoryError::Open { path: path.to_path_buf(), source: io::ErrorKind::NotFound.into() };
    if !path.try_exists().unwrap_or(true) {
        return Err(nothing_yet());
    }
    let conn = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    conn.busy_timeout(PATIENCE)?;
    conn.set_prepared_statement_cache_capacity(32);
    if is_new(&conn, path)? { Err(nothing_yet()) } else { Ok(conn) }
}

/// Makes the file before SQLite does, readable by its owner alone; the files beside it take over its mode.
///
/// A file that is there is not opened: closing it again would let go of all locks that this process has on it, those of
/// its other connections too, and another program could then take away the write-ahead log under them.
fn make_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create_new(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

/// Whether the database is still empty; an error if it is not ours, or of a later version.
fn is_new(conn: &Connection, path: &Path) -> Result<bool, MemoryError> {
    let number = |pragma| conn.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (application, found) = (number("application_id")?, number("user_version")?);
    let objects: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match application {
        APPLICATION if found > VERSION => {
            Err(MemoryError::Newer { path: path.to_path_buf(), found, known: VERSION })
        }
        APPLICATION => Ok(false),
        0 if objects == 0 => Ok(true),
        _ => Err(MemoryError::Foreign { path: path.to_path_buf() }),
    }
}

fn migrate(conn: &mut Connection, path: &Path) -> Result<(), MemoryError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Asked again under the lock: another process may have made the tables meanwhile.
    if is_new(&tx, path)? {
        tx.execute_batch(TABLES)?;
        tx.pragma_update(None, "application_id", APPLICATION)?;
        tx.pragma_update(None, "user_version", VERSION)?;
    }
    tx.execute_batch(LIVE)?;
    add_counts(&tx)?;
    renew_views(&tx)?;
    renew_index(&tx)?;
    renew_vectors(&tx)?;
    tx.commit()?;
    Ok(())
}

/// What a session was new with, which databases made before this was kept lack.
fn add_counts(conn: &Connection) -> Result<(), MemoryError> {
    for column in ["new_messages", "new_preferences", "new_facts"] {
        let sql = "SELECT 1 FROM pragma_table_info('sessions') WHERE name = ?";
        if !conn.prepare(sql)?.exists([column])? {
            conn.execute_batch(&format!(
                "ALTER TABLE sessions ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0"
            ))?;
        }
    }
    Ok(())
}

/// Replaces the views if their wording has changed since they were made.
fn renew_views(conn: &Connection) -> Result<(), MemoryError> {
    let wording = wording(VIEWS);
    if made_with(conn, "views")? == Some(wording) {
        return Ok(());
    }
    let mut statement = conn.prepare("SELECT name FROM sqlite_schema WHERE type = 'view'")?;
    let names: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for name in names {
        conn.execute_batch(&format!("DROP VIEW \"{}\"", name.replace('"', "\"\"")))?;
    }
    conn.execute_batch(VIEWS)?;
    conn.execute("INSERT OR REPLACE INTO meta VALUES ('views', ?)", [wording])?;
    Ok(())
}

/// Whether the index is there in the form we know.
pub(super) fn index_is_current(conn: &Connection) -> Result<bool, MemoryError> {
    Ok(made_with(conn, "index")? == Some(wording(INDEX)))
}

/// Begins the index anew if its wording has changed since it was made.
fn renew_index(conn: &Connection) -> Result<(), MemoryError> {
    let wording = wording(INDEX);
    if index_is_current(conn)? {
        return Ok(());
    }
    conn.execute_batch(
        "DROP TABLE IF EXISTS turns_fts; DROP TABLE IF EXISTS index_terms; DROP TABLE IF EXISTS index_users;
         DROP TABLE IF EXISTS index_recent; DROP INDEX IF EXISTS sessions_by_time; UPDATE meta SET value = 0 WHERE name = 'indexed'",
    )?;
    conn.execute_batch(INDEX)?;
    conn.execute("INSERT OR REPLACE INTO meta VALUES ('index', ?)", [wording])?;
    Ok(())
}

/// Whether the vectors of turns have the form we know.
pub(super) fn vectors_are_current(conn: &Connection) -> Result<bool, MemoryError> {
    Ok(made_with(conn, "vectors")? == Some(wording(VECTORS)))
}

/// Begins the vectors of turns anew if their wording has changed since they were made.
fn renew_vectors(conn: &Connection) -> Result<(), MemoryError> {
    if vectors_are_current(conn)? {
        return Ok(());
    }
    conn.execute_batch(
        "DROP TABLE IF EXISTS vectors; DELETE FROM meta WHERE name IN ('embedded', 'embedder')",
    )?;
    conn.execute_batch(VECTORS)?;
    conn.execute("INSERT OR REPLACE INTO meta VALUES ('vectors', ?)", [wording(VECTORS)])?;
    Ok(())
}

fn wording(sql: &str) -> i64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(sql.as_bytes()).as_bytes()[..8]);
    i64::from_le_bytes(first)
}

/// The wording that the views or the index were made with.
fn made_with(conn: &Connection, what: &str) -> Result<Option<i64>, MemoryError> {
    let sql = "SELECT value FROM meta WHERE name = ?";
    Ok(conn.query_row(sql, [what], |row| row.get(0)).optional()?)
}

/// Reads the end of each table, so that a file cut short or overwritten is found out now and not in the middle of a
/// batch. The full check is [`super::reader::quick_check`].
fn touch_every_table(conn: &Connection) -> Result<(), MemoryError> {
    for table in ["sessions", "messages", "preferences", "facts", "examples", "users"] {
        conn.query_row(&format!("SELECT max(id) FROM {table}"), [], |row| row.get::<_, Option<i64>>(0))?;
    }
    Ok(())
}
