//! The full-text index over the turns.
//!
//! For each user and term, blocks of [`postings`] tell in which turns the term stands; sessions that came last wait
//! beside them, in [`recent`]. Indexing costs several times what storing does, so it is not part of storing: sessions up
//! to the mark `indexed` in the table `meta` are in the index, later ones are not yet. The writer moves the mark in short
//! steps when it has nothing else to do, and whoever reads brings the index up to date first. The index holds no text but
//! single words, and a session that is taken out leaves none of its own.

pub(super) mod postings;
pub(super) mod recent;
pub(super) mod terms;

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use self::postings::{Turn, append, read, session_code, turn_code, without};
use self::terms::Terms;
use super::MemoryError;
use super::schema::{self, row_range};

/// Bytes of text after which a step ends, so that no step holds the database for long.
const STEP_BYTES: u64 = 1 << 20;

/// Sessions in one step of [`catch_up`].
const STEP_SESSIONS: usize = 64;

/// Sessions of a user from which on they go into the blocks of their terms. Few in the tests, so that theirs get there.
const WORTH_MERGING: usize = if cfg!(test) { 3 } else { 16 };

/// The most that wait: whoever reads looks through them all.
const MOST_WAITING: usize = 4 * WORTH_MERGING;

/// One session may wait for so many that a user has: the more there are, the more pages a merge touches.
const SESSIONS_A_WAITING_ONE: usize = 32;

/// A step brings the sessions of one user into the blocks for each so many sessions it indexes: more than come, and yet
/// few, so that no step takes long.
const SESSIONS_A_MERGE: usize = 8;

/// Bytes from which a block takes no more sessions. Small enough that several fit on a page.
const BLOCK_BYTES: usize = 1000;

/// What one step did.
pub(super) struct Step {
    /// Sessions that may be left; 0 if and only if none is.
    pub left: usize,
    /// Bytes of text brought into the index.
    pub bytes: u64,
}

/// Brings every stored session into the index. The connection must be able to write.
pub fn catch_up(conn: &Connection) -> Result<(), MemoryError> {
    let mut terms = Terms::default();
    // Most often there is nothing to do, and then no lock is taken.
    while is_behind(conn)? {
        step(conn, STEP_SESSIONS, &mut terms)?;
    }
    Ok(())
}

/// Whether the index has the form that this version reads. Opening memory.db for writing gives it that form.
pub fn is_current(conn: &Connection) -> Result<bool, MemoryError> {
    schema::index_is_current(conn)
}

/// Whether a stored session is not yet in the index.
pub fn is_behind(conn: &Connection) -> Result<bool, MemoryError> {
    let (last, indexed) = marks(conn)?;
    Ok(last > indexed)
}

/// Empties the index; it fills again from the start.
pub fn restart(conn: &Connection) -> Result<(), MemoryError> {
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    for table in ["index_terms", "index_recent", "index_users"] {
        tx.execute(&format!("DELETE FROM {table}"), [])?;
    }
    set_mark(&tx, 0)?;
    tx.commit()?;
    Ok(())
}

/// Indexes up to `max_sessions` sessions in a transaction of its own.
pub(super) fn step(conn: &Connection, max_sessions: usize, terms: &mut Terms) -> Result<Step, MemoryError> {
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    let (last, indexed) = marks(&tx)?;
    let mut reached = indexed;
    let mut bytes = 0;
    let mut gathered = Gathered::default();
    for (session, user, size) in next_sessions(&tx, indexed, max_sessions)? {
        gathered.add(user, session, read_session(&tx, session, terms)?);
        reached = session;
        bytes += size;
        if bytes >= STEP_BYTES {
            break;
        }
    }
    if reached > indexed {
        gathered.write(&tx)?;
        set_mark(&tx, reached)?;
    }
    tx.commit()?;
    Ok(Step { left: usize::try_from(last - reached).unwrap_or(0), bytes })
}

/// Removes a session's turns from the index, if they are in it. To be called while its messages are still there.
pub(super) fn remove(conn: &Connection, session: i64) -> Result<(), MemoryError> {
    let (_, indexed) = marks(conn)?;
    let user = conn
        .prepare_cached("SELECT user FROM sessions WHERE id = ?")?
        .query_row([session], |row| row.get::<_, i64>(0))
        .optional()?;
    let Some(user) = user.filter(|_| session <= indexed) else { return Ok(()) };
    let read = read_session(conn, session, &mut Terms::default())?;
    if !recent::remove(conn, user, session)? {
        for term in read.places.keys() {
            take_out(conn, term, user, session)?;
        }
    }
    let sql =
        "UPDATE index_users SET sessions = sessions - 1, turns = turns - ?, words = words - ? WHERE user = ?";
    conn.prepare_cached(sql)?.execute(params![read.turns, read.words, user])?;
    Ok(())
}

fn take_out(conn: &Connection, term: &str, user: i64, session: i64) -> Result<(), MemoryError> {
    let sql = "SELECT first, turns FROM index_terms WHERE term = ? AND user = ? AND first <= ?
               ORDER BY first DESC LIMIT 1";
    let block: Option<(i64, Vec<u8>)> = conn
        .prepare_cached(sql)?
        .query_row(params![term, user, session], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((first, bytes)) = block else { return Ok(()) };
    match without(&bytes, first, session) {
        Some((left, Some(last))) => {
            let sql = "UPDATE index_terms SET turns = ?, last = ? WHERE term = ? AND user = ? AND first = ?";
            conn.prepare_cached(sql)?.execute(params![left, last, term, user, first])?;
        }
        // Nothing is left of it, or it was unreadable; a search could make nothing of it either.
        _ => {
            let sql = "DELETE FROM index_terms WHERE term = ? AND user = ? AND first = ?";
            conn.prepare_cached(sql)?.execute(params![term, user, first])?;
        }
    }
    Ok(())
}

/// A session as the index sees it.
#[derive(Debug, Default)]
struct ReadSession {
    /// By term: the turns it stands in, as ordinal, times and the code of the turn's length.
    places: BTreeMap<String, Vec<(u32, u32, u8)>>,
    turns: u64,
    words: u64,
}

fn read_session(conn: &Connection, session: i64, terms: &mut Terms) -> Result<ReadSession, MemoryError> {
    let sql = "SELECT message, name, text FROM messages WHERE id BETWEEN ? AND ? AND text <> '' ORDER BY id";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(row_range(session))?;
    let mut read = ReadSession::default();
    let mut touched: Vec<String> = Vec::new();
    while let Some(row) = rows.next()? {
        let ordinal: u32 = row.get(0)?;
        let mut words = 0;
        let mut count = |term: &str| {
            words += 1;
            match read.places.get_mut(term) {
                Some(places) => match places.last_mut() {
                    Some((last, times, _)) if *last == ordinal => *times += 1,
                    _ => {
                        places.push((ordinal, 1, 0));
                        touched.push(term.to_owned());
                    }
                },
                None => {
                    read.places.insert(term.to_owned(), vec![(ordinal, 1, 0)]);
                    touched.push(term.to_owned());
                }
            }
        };
        for column in 1..=2 {
            if let Some(text) = row.get_ref(column)?.as_str_or_null().ok().flatten() {
                terms.read(text, &mut count);
            }
        }
        let code = turn_code(words);
        for term in touched.drain(..) {
            if let Some((_, _, unknown)) = read.places.get_mut(&term).and_then(|places| places.last_mut()) {
                *unknown = code;
            }
        }
        read.turns += 1;
        read.words += u64::from(words);
    }
    Ok(read)
}

/// What a step has read and not yet written: sessions by user, in their order.
#[derive(Default)]
struct Gathered(BTreeMap<i64, Vec<(i64, ReadSession)>>);

struct Entry {
    session: i64,
    code: u8,
    turns: Vec<(u32, u32, u8)>,
}

impl Gathered {
    fn add(&mut self, user: i64, session: i64, read: ReadSession) {
        self.0.entry(user).or_default().push((session, read));
    }

    fn write(&self, conn: &Connection) -> Result<(), MemoryError> {
        let mut waiting = Vec::new();
        for (user, sessions) in &self.0 {
            let worth = worth_merging(add_to_totals(conn, *user, sessions)?);
            let count = recent::count(conn, *user)? + sessions.len();
            waiting.push((count.checked_sub(worth), user, sessions));
        }
        // Those that are furthest beyond what may wait come first.
        waiting.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        let merges = self.0.values().map(Vec::len).sum::<usize>().div_ceil(SESSIONS_A_MERGE);
        for (number, (overdue, user, sessions)) in waiting.into_iter().enumerate() {
            if overdue.is_some() && number < merges {
                merge(conn, *user, sessions)?;
            } else {
                for (session, read) in sessions {
                    recent::put(conn, *user, *session, read)?;
                }
            }
        }
        Ok(())
    }
}

/// How many sessions of a user who has so many are worth a merge.
fn worth_merging(sessions: usize) -> usize {
    (sessions / SESSIONS_A_WAITING_ONE).clamp(WORTH_MERGING, MOST_WAITING)
}

/// Adds to the sums of a user; how many sessions these are now.
fn add_to_totals(
    conn: &Connection,
    user: i64,
    sessions: &[(i64, ReadSession)],
) -> Result<usize, MemoryError> {
    let sql = "INSERT INTO index_users(user, sessions, turns, words) VALUES (?, ?, ?, ?) ON CONFLICT (user)
                   DO UPDATE SET sessions = sessions + excluded.sessions, turns = turns + excluded.turns,
                                 words = words + excluded.words
                   RETURNING sessions";
    let turns: u64 = sessions.iter().map(|(_, read)| read.turns).sum();
    let words: u64 = sessions.iter().map(|(_, read)| read.words).sum();
    let mut statement = conn.prepare_cached(sql)?;
    Ok(statement.query_row(params![user, sessions.len() as i64, turns, words], |row| row.get(0))?)
}

/// Brings what waits of a user, and these sessions after it, into the blocks of their terms: in the order of the table,
/// so that each page of it is touched once.
fn merge(conn: &Connection, user: i64, sessions: &[(i64, ReadSession)]) -> Result<(), MemoryError> {
    let mut terms: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    let mut add = |term: &str, entry| match terms.get_mut(term) {
        Some(entries) => entries.push(entry),
        None => drop(terms.insert(term.to_owned(), vec![entry])),
    };
    let mut scratch = Vec::new();
    recent::each(conn, user, |session, term, block| {
        let each = |session: i64, code: u8, turns: &[Turn]| {
            let turns = turns.iter().map(|turn| (turn.ordinal, u32::from(turn.times), turn.code)).collect();
            add(term, Entry { session, code, turns });
        };
        // A block that cannot be read is one that finds nothing.
        let _ = read(block, session, each, &mut scratch);
    })?;
    for (session, read) in sessions {
        let code = session_code(read.words);
        for (term, turns) in &read.places {
            add(term, Entry { session: *session, code, turns: turns.clone() });
        }
    }
    for (term, entries) in &terms {
        add_entries(conn, term, user, entries)?;
    }
    recent::remove_all(conn, user)
}

/// Adds to the last block of a term, or begins the next. Sessions only ever come at the end.
fn add_entries(conn: &Connection, term: &str, user: i64, entries: &[Entry]) -> Result<(), MemoryError> {
    let sql =
        "SELECT first, last, turns FROM index_terms WHERE term = ? AND user = ? ORDER BY first DESC LIMIT 1";
    let mut tail: Option<(i64, i64, Vec<u8>)> = conn
        .prepare_cached(sql)?
        .query_row(params![term, user], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?
        .filter(|(_, _, bytes): &(i64, i64, Vec<u8>)| bytes.len() < BLOCK_BYTES);
    let sql = "INSERT OR REPLACE INTO index_terms(user, term, first, last, turns) VALUES (?, ?, ?, ?, ?)";
    let mut put = conn.prepare_cached(sql)?;
    for entry in entries {
        let (first, last, mut bytes) = tail.take().unwrap_or((entry.session, entry.session, Vec::new()));
        append(&mut bytes, entry.session.abs_diff(last), entry.code, &entry.turns);
        if bytes.len() >= BLOCK_BYTES {
            put.execute(params![user, term, first, entry.session, bytes])?;
        } else {
            tail = Some((first, entry.session, bytes));
        }
    }
    if let Some((first, last, bytes)) = tail {
        put.execute(params![user, term, first, last, bytes])?;
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

fn next_sessions(conn: &Connection, after: i64, limit: usize) -> Result<Vec<(i64, i64, u64)>, MemoryError> {
    let sql = "SELECT id, user, text_bytes FROM sessions WHERE id > ? ORDER BY id LIMIT ?";
    let mut statement = conn.prepare_cached(sql)?;
    let found = statement
        .query_map(params![after, limit as i64], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}
