use std::cell::Cell;
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::embedding::{self, Reader, WordVectors};
use super::index::terms::Terms;
use super::{Batch, MemoryError, index, schema};

/// Pages (of 8 KiB) the write-ahead log may hold before a commit moves them into the database itself.
const LOG_PAGES: i64 = 4096;

/// Bytes of text stored since the last checkpoint from which [`Writer::idle`] makes one.
const WORTH_A_CHECKPOINT: u64 = 2 << 20;

/// The one writer of memory.db.
#[derive(Debug)]
pub struct Writer {
    conn: Connection,
    /// Roughly how much the write-ahead log holds.
    logged: Cell<u64>,
    terms: Terms,
    /// Where the meanings of turns are kept too.
    meanings: Option<Reader>,
}

impl Writer {
    /// Opens memory.db, making or migrating it as needed.
    ///
    /// # Errors
    /// [`MemoryError::Damaged`] if the file is no sound database: it may be set aside and made anew.
    pub fn open(path: &Path) -> Result<Writer, MemoryError> {
        let conn = schema::open(path)?;
        // Checkpoints are made when idle; this is the bound for a busy day. The file never shrinks below the bound
        // because it would only grow again.
        conn.pragma_update_and_check(None, "wal_autocheckpoint", LOG_PAGES, |_| Ok(()))?;
        conn.pragma_update_and_check(None, "journal_size_limit", LOG_PAGES * 8192, |_| Ok(()))?;
        Ok(Writer { conn, logged: Cell::new(0), terms: Terms::default(), meanings: None })
    }

    /// Opens memory.db beside the one writer, for what may be lost in a power failure: commits do not wait for the
    /// disk.
    ///
    /// # Errors
    /// As [`Writer::open`].
    pub fn open_beside(path: &Path) -> Result<Writer, MemoryError> {
        let writer = Writer::open(path)?;
        writer.conn.pragma_update(None, "synchronous", "normal")?;
        Ok(writer)
    }

    /// Starts a batch: what is stored in it becomes durable at its commit, or not at all.
    pub fn begin(&mut self) -> Result<Batch<'_>, MemoryError> {
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        Batch::new(tx, &self.logged)
    }

    /// Brings up to `max_sessions` more sessions into the full-text index, in one short transaction. Returns how many
    /// are left at most; 0 means none.
    pub fn index_some(&mut self, max_sessions: usize) -> Result<usize, MemoryError> {
        let step = index::step(&self.conn, max_sessions, &mut self.terms)?;
        self.logged.set(self.logged.get() + step.bytes);
        Ok(step.left)
    }

    /// From now on the meanings of turns are kept too, by these vectors of words.
    pub fn keep_meanings(&mut self, vectors: WordVectors) {
        self.meanings = Some(Reader::new(vectors));
    }

    /// Works out the meanings of the turns of up to `max_sessions` more sessions, in one short transaction, if they are
    /// kept. Returns how many are left at most; 0 means none.
    pub fn embed_some(&mut self, max_sessions: usize) -> Result<usize, MemoryError> {
        let Some(reader) = &mut self.meanings else { return Ok(0) };
        let (left, bytes) = embedding::store::step(&self.conn, max_sessions, reader)?;
        self.logged.set(self.logged.get() + bytes);
        Ok(left)
    }

    /// Moves the write-ahead log into the database if enough has gathered. To be called when there is nothing else to
    /// do; costs nothing when little was written.
    pub fn idle(&mut self) -> Result<(), MemoryError> {
        if self.logged.get() >= WORTH_A_CHECKPOINT {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Moves the write-ahead log into the database now.
    pub fn checkpoint(&mut self) -> Result<(), MemoryError> {
        self.conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        self.logged.set(0);
        Ok(())
    }

    /// The connection, for the functions of [`super::reader`] and [`super::index`].
    pub fn connection(&self) -> &Connection {
        &self.conn
    }
}
