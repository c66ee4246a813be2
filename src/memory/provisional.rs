//! What running chats say, held until they end.
//!
//! A chat that runs is stored piece by piece, each piece as a session of its own: so the full-text index takes it up
//! like any other, and nothing that is indexed ever changes. When the chat has ended and is stored as a whole, the same
//! transaction removes its pieces ([`Batch::store`] does): at no time does memory.db hold both, or neither.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{self, Place};
use super::schema::MESSAGES_MAX;
use super::{Batch, MemoryError, Stored};
use crate::session::{Envelope, Identity, Keep, Moment, SessionKey};

/// A piece of a running chat.
#[derive(Debug)]
pub struct Piece<'a> {
    /// Token of the live file.
    pub token: &'a str,
    /// The chat, or its end, as the chain left it; `identity` is that which the whole session will have.
    pub envelope: &'a Envelope,
    /// What the `memory` stage keeps.
    pub keep: &'a Keep,
    /// The first message of `envelope` that belongs to the piece.
    pub first: usize,
    /// Messages of the chat that stand before those in `envelope`.
    pub before: usize,
}

/// What a piece is stored on top of. Where memory.db holds something else by then, nothing is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ground {
    /// The session that was learned before under the same identity, if one was.
    pub learned: Option<i64>,
    /// Pieces of the same chat.
    pub pieces: usize,
}

/// The row and the key of what was learned before under an identity.
pub fn learned_as(conn: &Connection, identity: &Identity) -> Result<Option<(i64, SessionKey)>, MemoryError> {
    let sql = "SELECT id, key FROM sessions WHERE identity = ?";
    Ok(conn
        .prepare_cached(sql)?
        .query_row([identity.0], |row| Ok((row.get(0)?, SessionKey(row.get(1)?))))
        .optional()?)
}

/// The tokens of the chats that have pieces.
pub fn tokens(conn: &Connection) -> Result<Vec<String>, MemoryError> {
    let mut statement = conn.prepare_cached("SELECT DISTINCT token FROM live")?;
    let tokens = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(tokens)
}

impl Batch<'_> {
    /// Stores a piece of a running chat; its row. `None` if the ground is another than the one that was thought.
    ///
    /// # Errors
    /// After an error the batch can only be given up.
    pub fn store_piece(
        &mut self,
        piece: &Piece<'_>,
        ground: Ground,
        now: Timestamp,
    ) -> Result<Option<i64>, MemoryError> {
        self.refuse_if_torn()?;
        let envelope = piece.envelope;
        let count = piece.before + envelope.session.messages.len();
        if count > MESSAGES_MAX {
            return Err(MemoryError::TooMany { what: "messages", count });
        }
        let learned = learned_as(self.connection(), &envelope.identity)?.map(|(row, _)| row);
        let pieces: usize = self
            .connection()
            .prepare_cached("SELECT count(*) FROM live WHERE token = ?")?
            .query_row([piece.token], |row| row.get(0))?;
        if (Ground { learned, pieces }) != ground {
            return Ok(None);
        }
        self.torn = true;
        let row = self.write_piece(piece, now)?;
        self.torn = false;
        Ok(Some(row))
    }

    /// Removes pieces of a running chat.
    ///
    /// # Errors
    /// After an error the batch can only be given up.
    pub fn remove_pieces(&mut self, pieces: &[i64]) -> Result<(), MemoryError> {
        self.refuse_if_torn()?;
        self.torn = true;
        for piece in pieces {
            self.remove_rows(*piece)?;
            self.connection().prepare_cached("DELETE FROM live WHERE session = ?")?.execute([piece])?;
        }
        self.torn = false;
        Ok(())
    }

    /// Removes all that was said in a running chat, and its user if nothing else is known of them. How many pieces
    /// there were.
    ///
    /// # Errors
    /// After an error the batch can only be given up.
    pub fn remove_live(&mut self, token: &str) -> Result<usize, MemoryError> {
        let pieces = self.pieces("SELECT session FROM live WHERE token = ?", token)?;
        let mut users = Vec::new();
        for piece in &pieces {
            let sql = "SELECT user FROM sessions WHERE id = ?";
            users.extend(
                self.connection()
                    .prepare_cached(sql)?
                    .query_row([piece], |row| row.get::<_, i64>(0))
                    .optional()?,
            );
        }
        self.remove_pieces(&pieces)?;
        users.sort_unstable();
        users.dedup();
        for user in users {
            let sql = "DELETE FROM users
                       WHERE id = ?1 AND id > 0 AND NOT EXISTS (SELECT 1 FROM sessions WHERE user = ?1)";
            self.connection().prepare_cached(sql)?.execute([user])?;
        }
        Ok(pieces.len())
    }

    /// Removes what was said while the session ran that is now stored as a whole.
    pub(super) fn remove_pieces_of(&mut self, identity: &Identity) -> Result<(), MemoryError> {
        let pieces = self.pieces("SELECT session FROM live WHERE identity = ?", identity.0)?;
        self.remove_pieces(&pieces)
    }

    fn pieces(&self, sql: &str, which: impl rusqlite::ToSql) -> Result<Vec<i64>, MemoryError> {
        let mut statement = self.connection().prepare_cached(sql)?;
        let pieces = statement.query_map([which], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(pieces)
    }

    fn write_piece(&mut self, piece: &Piece<'_>, now: Timestamp) -> Result<i64, MemoryError> {
        let Piece { token, envelope, keep, first, before } = *piece;
        let session = &envelope.session;
        let known = session.start_time.or(session.end_time);
        let place = Place {
            session: self.number(),
            user: self.user(session.user_id.as_deref())?,
            said_ms: known.map_or(now.as_millisecond(), Moment::millis),
            guessed: known.is_none(),
            earlier: None,
            first,
            before,
        };
        let mut counted = Stored::default();
        let conn = self.connection();
        let text_bytes = rows::messages(conn, session, keep, &place, &mut counted)?;
        rows::preferences(conn, envelope, &place, &mut counted)?;
        rows::facts(conn, envelope, &place, &mut counted)?;
        // It counts as nothing that was learned, and its key is no session's.
        let own = own_hash(token, place.session);
        let names = rows::Names { identity: &own, key: &own };
        let totals = rows::Totals { learned_at: now, text_bytes, stored: &Stored::default() };
        rows::session(conn, envelope, names, None, &place, &totals)?;
        conn.prepare_cached("INSERT INTO live(session, token, identity) VALUES (?, ?, ?)")?
            .execute(params![place.session, token, envelope.identity.0])?;
        Ok(place.session)
    }
}

/// What a piece has in the place of a session's identity and key.
fn own_hash(token: &str, row: i64) -> [u8; 32] {
    let mut hash = blake3::Hasher::new();
    hash.update(b"atles live 1").update(&row.to_le_bytes()).update(token.as_bytes());
    *hash.finalize().as_bytes()
}
