use std::cell::Cell;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction};

use super::rows::{self, Earlier, Place};
use super::schema::{MESSAGES_MAX, row_range};
use super::{MemoryError, embedding, index};
use crate::session::{Effect, Envelope, Identity, Keep, Moment};

/// What [`Batch::store`] did with a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// Its row in `sessions`; 0 if the session wanted nothing stored.
    pub session_row: i64,
    /// What was new for the user: the sum of the three below.
    pub new_items: u64,
    /// Messages that the earlier revision did not have.
    pub new_messages: u64,
    /// Preferences for or against something that the user had not stated so before.
    pub new_preferences: u64,
    /// Facts that the user had not stated before.
    pub new_facts: u64,
    /// Preferences and facts left out because the words said to prove them do not stand in the message.
    pub unproven: u64,
    /// An earlier revision gave its place.
    pub replaced: bool,
    /// The same content is there already, and nothing was done. What was new is what was new when it was stored: whoever
    /// stores it again was kept from counting it the first time.
    pub unchanged: bool,
}

/// What is stored of a session.
pub(super) struct Standing {
    /// The hash of its content.
    pub key: [u8; 32],
    /// How many messages it has.
    pub messages: u64,
}

/// Sessions on their way into memory.db, all or none. Dropped without [`Batch::commit`], it leaves nothing.
#[derive(Debug)]
pub struct Batch<'w> {
    tx: Transaction<'w>,
    logged: &'w Cell<u64>,
    bytes: u64,
    next_session: i64,
    /// Whether an error may have left half a session in it.
    pub(super) torn: bool,
}

impl<'w> Batch<'w> {
    pub(super) fn new(tx: Transaction<'w>, logged: &'w Cell<u64>) -> Result<Self, MemoryError> {
        let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'sessions'";
        let last: Option<i64> = tx.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?;
        Ok(Batch { tx, logged, bytes: 0, next_session: last.unwrap_or(0) + 1, torn: false })
    }

    /// Makes everything stored in the batch durable.
    pub fn commit(self) -> Result<(), MemoryError> {
        self.refuse_if_torn()?;
        self.tx.commit()?;
        self.logged.set(self.logged.get() + self.bytes);
        Ok(())
    }

    /// Gives the batch up.
    pub fn rollback(self) -> Result<(), MemoryError> {
        Ok(self.tx.rollback()?)
    }

    /// Stores what the session's effects ask for. A session stored under the same identity gives its place, and so does
    /// what was stored of it while it ran; one with the same key stays as it is, unless `anew` says that it shall be written again.
    ///
    /// # Errors
    /// [`MemoryError::TooMany`] is found before anything is written, and the batch goes on. After any other error
    /// the batch can only be given up.
    pub fn store(
        &mut self,
        envelope: &Envelope,
        learned_at: Timestamp,
        anew: bool,
    ) -> Result<Stored, MemoryError> {
        let counted = |_: &[u8]| true;
        self.store_over(envelope, learned_at, anew, &counted)
    }

    /// The same where not all that is stored was counted: a run may have stored a session, and been cut off before that
    /// was settled. `counted` says of the key that stands under the session's identity whether it was. If not, what
    /// was new with it is new again.
    ///
    /// # Errors
    /// See [`Batch::store`].
    pub fn store_over(
        &mut self,
        envelope: &Envelope,
        learned_at: Timestamp,
        anew: bool,
        counted: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Stored, MemoryError> {
        self.refuse_if_torn()?;
        let keep = envelope.effects.iter().find_map(|effect| match effect {
            Effect::Memory(keep) => Some(keep),
            _ => None,
        });
        if keep.is_none()
            && !envelope.effects.iter().any(|effect| matches!(effect, Effect::TrainingData { .. }))
        {
            self.remove_pieces_of(&envelope.identity)?;
            return Ok(Stored::default());
        }
        let signatures = signatures(envelope);
        refuse_what_cannot_be_numbered(envelope, signatures.len())?;
        self.remove_pieces_of(&envelope.identity)?;
        let found = self.find(&envelope.identity)?;
        if let Some((session, key)) = &found
            && !anew
            && key.as_slice() == envelope.key.0
        {
            return Ok(self.stored_before(*session)?);
        }
        if keep.is_none() && signatures.is_empty() {
            return Ok(Stored { replaced: self.remove(&envelope.identity)?, ..Stored::default() });
        }
        self.torn = true;
        let earlier = match found {
            Some((session, key)) => Some(Earlier::read(&self.tx, session, counted(&key))?),
            None => None,
        };
        let stored = self.write(envelope, keep, &signatures, earlier.as_ref(), learned_at)?;
        self.torn = false;
        Ok(stored)
    }

    /// What came of a session when it was stored.
    fn stored_before(&self, session: i64) -> rusqlite::Result<Stored> {
        let sql = "SELECT new_messages, new_preferences, new_facts FROM sessions WHERE id = ?";
        self.tx.prepare_cached(sql)?.query_row([session], |row| {
            let (new_messages, new_preferences, new_facts) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let new_items = new_messages + new_preferences + new_facts;
            let stored = Stored { new_items, new_messages, new_preferences, new_facts, ..Stored::default() };
            Ok(Stored { session_row: session, unchanged: true, ..stored })
        })
    }

    /// Removes a session and all that was learned from it. `false` if there is none.
    ///
    /// # Errors
    /// After an error the batch can only be given up.
    pub fn remove(&mut self, identity: &Identity) -> Result<bool, MemoryError> {
        self.refuse_if_torn()?;
        let Some((session, _)) = self.find(identity)? else { return Ok(false) };
        self.torn = true;
        self.remove_rows(session)?;
        self.torn = false;
        Ok(true)
    }

    /// The database as it stands in the batch.
    pub(super) fn connection(&self) -> &Connection {
        &self.tx
    }

    /// What is stored under an identity.
    pub(super) fn standing(&self, identity: &Identity) -> Result<Option<Standing>, MemoryError> {
        let sql = "SELECT key, message_count FROM sessions WHERE identity = ?";
        let mut look_up = self.tx.prepare_cached(sql)?;
        let read = |row: &rusqlite::Row<'_>| Ok(Standing { key: row.get(0)?, messages: row.get(1)? });
        Ok(look_up.query_row([identity.0], read).optional()?)
    }

    /// Has the rows of one more session of a user written, by the session's number and the user's. `write` returns the
    /// bytes of its texts.
    pub(super) fn write_rows(
        &mut self,
        user_id: Option<&str>,
        write: impl FnOnce(&rusqlite::Connection, i64, i64) -> Result<u64, MemoryError>,
    ) -> Result<(), MemoryError> {
        self.refuse_if_torn()?;
        self.torn = true;
        let user = self.user(user_id)?;
        self.bytes += write(&self.tx, self.next_session, user)?;
        self.next_session += 1;
        self.torn = false;
        Ok(())
    }

    pub(super) fn refuse_if_torn(&self) -> Result<(), MemoryError> {
        if self.torn { Err(MemoryError::GivenUp) } else { Ok(()) }
    }

    fn write(
        &mut self,
        envelope: &Envelope,
        keep: Option<&Keep>,
        signatures: &[u64],
        earlier: Option<&Earlier>,
        learned_at: Timestamp,
    ) -> Result<Stored, MemoryError> {
        let place = self.place(envelope, learned_at, earlier)?;
        let mut stored =
            Stored { session_row: place.session, replaced: earlier.is_some(), ..Stored::default() };
        let mut text_bytes = 0;
        if let Some(keep) = keep {
            text_bytes = rows::messages(&self.tx, &envelope.session, keep, &place, &mut stored)?;
            rows::preferences(&self.tx, envelope, &place, &mut stored)?;
            rows::facts(&self.tx, envelope, &place, &mut stored)?;
            stored.new_items = stored.new_messages + stored.new_preferences + stored.new_facts;
        }
        rows::examples(&self.tx, signatures, &place)?;
        // The earlier rows go only now, because "is this new?" was asked of them too.
        if let Some(earlier) = earlier {
            self.remove_rows(earlier.session)?;
        }
        rows::session(
            &self.tx,
            envelope,
            rows::Names { identity: &envelope.identity.0, key: &envelope.key.0 },
            keep,
            &place,
            &rows::Totals { learned_at, text_bytes, stored: &stored },
        )?;
        self.bytes += text_bytes;
        Ok(stored)
    }

    /// Runs one statement that changes rows; how many.
    pub(super) fn run(&mut self, sql: &str, params: impl rusqlite::Params) -> Result<u64, MemoryError> {
        Ok(self.tx.prepare_cached(sql)?.execute(params)? as u64)
    }

    /// Gives a session the next number, so that the index takes it up again.
    pub(super) fn renumber(&mut self, session: i64) -> Result<(), MemoryError> {
        self.torn = true;
        let number = self.number();
        let [first, last] = row_range(session);
        for table in ["messages", "preferences", "facts", "examples"] {
            let sql = format!("UPDATE {table} SET id = id - ? + ? WHERE id BETWEEN ? AND ?");
            self.run(&sql, [first, row_range(number)[0], first, last])?;
        }
        self.run("UPDATE sessions SET id = ? WHERE id = ?", [number, session])?;
        self.run("UPDATE live SET session = ? WHERE session = ?", [number, session])?;
        self.run("UPDATE sqlite_sequence SET seq = ? WHERE name = 'sessions'", [number])?;
        self.torn = false;
        Ok(())
    }

    /// The row and the key of a stored session.
    pub(super) fn find(&self, identity: &Identity) -> Result<Option<(i64, Vec<u8>)>, MemoryError> {
        let mut look_up = self.tx.prepare_cached("SELECT id, key FROM sessions WHERE identity = ?")?;
        Ok(look_up.query_row([identity.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
    }

    fn place<'a>(
        &mut self,
        envelope: &Envelope,
        learned_at: Timestamp,
        earlier: Option<&'a Earlier>,
    ) -> Result<Place<'a>, MemoryError> {
        let session = &envelope.session;
        let known = session.start_time.or(session.end_time);
        let place = Place {
            session: self.number(),
            user: self.user(session.user_id.as_deref())?,
            said_ms: known.map_or(learned_at.as_millisecond(), Moment::millis),
            guessed: known.is_none(),
            earlier,
            first: 0,
            before: 0,
        };
        Ok(place)
    }

    /// A number that no session had.
    pub(super) fn number(&mut self) -> i64 {
        let number = self.next_session;
        self.next_session += 1;
        number
    }

    /// The number of a user, given now if there is none.
    pub(super) fn user(&self, user_id: Option<&str>) -> Result<i64, MemoryError> {
        let Some(user_id) = user_id else { return Ok(0) };
        let mut look_up = self.tx.prepare_cached("SELECT id FROM users WHERE user_id = ?")?;
        if let Some(user) = look_up.query_row([user_id], |row| row.get(0)).optional()? {
            return Ok(user);
        }
        self.tx.prepare_cached("INSERT INTO users(user_id) VALUES (?)")?.execute([user_id])?;
        Ok(self.tx.last_insert_rowid())
    }

    pub(super) fn remove_rows(&self, session: i64) -> Result<(), MemoryError> {
        index::remove(&self.tx, session)?;
        embedding::store::remove(&self.tx, session)?;
        for sql in [
            "DELETE FROM messages WHERE id BETWEEN ? AND ?",
            "DELETE FROM preferences WHERE id BETWEEN ? AND ?",
            "DELETE FROM facts WHERE id BETWEEN ? AND ?",
            "DELETE FROM examples WHERE id BETWEEN ? AND ?",
        ] {
            self.tx.prepare_cached(sql)?.execute(row_range(session))?;
        }
        self.tx.prepare_cached("DELETE FROM sessions WHERE id = ?")?.execute([session])?;
        Ok(())
    }
}

fn signatures(envelope: &Envelope) -> Vec<u64> {
    let of_effect = |effect: &Effect| match effect {
        Effect::TrainingData { signatures, .. } => signatures.clone(),
        _ => Vec::new(),
    };
    envelope.effects.iter().flat_map(of_effect).collect()
}

fn refuse_what_cannot_be_numbered(envelope: &Envelope, examples: usize) -> Result<(), MemoryError> {
    let counts = [
        ("messages", envelope.session.messages.len()),
        ("preferences", envelope.learned.preferences.len()),
        ("facts", envelope.learned.facts.len()),
        ("training examples", examples),
    ];
    match counts.into_iter().find(|(_, count)| *count > MESSAGES_MAX) {
        Some((what, count)) => Err(MemoryError::TooMany { what, count }),
        None => Ok(()),
    }
}
