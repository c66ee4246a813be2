//! The sessions of a user that are in the index and not yet in the blocks of its terms.
//!
//! A session's terms lie on most of its user's pages. So that these are not written anew for every session, its terms
//! are first put down in one row, and go into the blocks together with those of the sessions after it, as the levels of
//! a log-structured merge-tree do (O'Neil et al., 1996). A row holds, for each term in alphabetical order,
//!
//! ```text
//! varint(bytes of the term) · term · varint(bytes of the block) · block of this one session
//! ```

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::ReadSession;
use super::postings::{append, session_code, take, varint};
use crate::memory::MemoryError;

/// Puts a session down.
pub(super) fn put(conn: &Connection, user: i64, session: i64, read: &ReadSession) -> Result<(), MemoryError> {
    let mut row = Vec::new();
    let mut block = Vec::new();
    for (term, turns) in &read.places {
        block.clear();
        append(&mut block, 0, session_code(read.words), turns);
        for part in [term.as_bytes(), &block] {
            varint(&mut row, part.len() as u64);
            row.extend_from_slice(part);
        }
    }
    let sql = "INSERT OR REPLACE INTO index_recent(user, session, terms) VALUES (?, ?, ?)";
    conn.prepare_cached(sql)?.execute(params![user, session, row])?;
    Ok(())
}

/// How many sessions of a user are put down.
pub(super) fn count(conn: &Connection, user: i64) -> Result<usize, MemoryError> {
    let sql = "SELECT count(*) FROM index_recent WHERE user = ?";
    Ok(conn.prepare_cached(sql)?.query_row([user], |row| row.get(0))?)
}

/// Hands out all that is put down of a user, session after session: session, term, block.
pub(super) fn each(
    conn: &Connection,
    user: i64,
    mut each: impl FnMut(i64, &str, &[u8]),
) -> Result<(), MemoryError> {
    let sql = "SELECT session, terms FROM index_recent WHERE user = ? ORDER BY session";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([user])?;
    while let Some(row) = rows.next()? {
        let session = row.get(0)?;
        entries(row.get_ref(1)?.as_bytes().unwrap_or_default(), |term, block| each(session, term, block));
    }
    Ok(())
}

/// Takes away a session; `false` if it is not here.
pub(super) fn remove(conn: &Connection, user: i64, session: i64) -> Result<bool, MemoryError> {
    let sql = "DELETE FROM index_recent WHERE user = ? AND session = ?";
    Ok(conn.prepare_cached(sql)?.execute([user, session])? > 0)
}

/// Takes away all of a user's.
pub(super) fn remove_all(conn: &Connection, user: i64) -> Result<(), MemoryError> {
    conn.prepare_cached("DELETE FROM index_recent WHERE user = ?")?.execute([user])?;
    Ok(())
}

/// Where the terms of a question stand in the sessions that are put down: for each term, sessions and their blocks.
pub(crate) struct Recent(HashMap<String, Vec<(i64, Vec<u8>)>>);

impl Recent {
    /// Looks for some terms in the sessions of one user, or of all.
    pub(crate) fn find<'a>(
        conn: &Connection,
        user: Option<i64>,
        terms: impl Iterator<Item = &'a str>,
    ) -> Result<Self, MemoryError> {
        let mut found: HashMap<String, Vec<(i64, Vec<u8>)>> =
            terms.map(|term| (term.to_owned(), Vec::new())).collect();
        let sql = "SELECT session, terms FROM index_recent WHERE user = ? ORDER BY session";
        let all = "SELECT session, terms FROM index_recent";
        let mut statement = conn.prepare_cached(if user.is_some() { sql } else { all })?;
        let mut rows = match user {
            Some(user) => statement.query([user])?,
            None => statement.query([])?,
        };
        while let Some(row) = rows.next()? {
            let session = row.get(0)?;
            entries(row.get_ref(1)?.as_bytes().unwrap_or_default(), |term, block| {
                if let Some(blocks) = found.get_mut(term) {
                    blocks.push((session, block.to_vec()));
                }
            });
        }
        Ok(Recent(found))
    }

    /// The blocks of a term, each with its session.
    pub(crate) fn of(&self, term: &str) -> &[(i64, Vec<u8>)] {
        self.0.get(term).map_or(&[], Vec::as_slice)
    }
}

/// Terms and blocks of a row; what cannot be read is not there.
fn entries(mut row: &[u8], mut each: impl FnMut(&str, &[u8])) {
    let mut part = || -> Option<&[u8]> {
        let length = usize::try_from(take(&mut row)?).ok()?;
        let (part, rest) = row.split_at_checked(length)?;
        row = rest;
        Some(part)
    };
    while let (Some(term), Some(block)) = (part(), part()) {
        if let Ok(term) = std::str::from_utf8(term) {
            each(term, block);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            entries(&bytes, |term, block| assert!(term.len() + block.len() <= bytes.len()));
        }
    }
}
