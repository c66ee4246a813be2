use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::Connection;

use super::evaluate::{Asked, Report, evaluate};
use super::{Hit, Query, Recall, Weights};
use crate::memory::embedding::{WordVectors, catch_up, store};
use crate::memory::{MemoryError, Writer, index, reader, schema};

/// memory.db, opened to be asked. The daemon may be writing meanwhile.
#[derive(Debug)]
pub struct Memory {
    conn: Connection,
    path: PathBuf,
    recall: Recall,
}

impl Memory {
    /// Opens memory.db; `None` if nothing was learned yet.
    pub fn open(path: &Path) -> Result<Option<Self>, MemoryError> {
        if !path.try_exists().unwrap_or(true) {
            return Ok(None);
        }
        let conn = match reader::open(path) {
            Ok(conn) if schema::vectors_are_current(&conn)? && index::is_current(&conn)? => conn,
            Err(MemoryError::Open { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(problem) => return Err(problem),
            // Made by an earlier version: opening it for writing brings it up to ours.
            Ok(_) => {
                drop(Writer::open(path)?);
                reader::open(path)?
            }
        };
        // Pages are read where they lie, instead of through copies.
        conn.pragma_update_and_check(None, "mmap_size", 1_i64 << 30, |_| Ok(()))?;
        Ok(Some(Memory { conn, path: path.to_path_buf(), recall: Recall::default() }))
    }

    /// Compares meanings too, by these vectors of words.
    #[must_use]
    pub fn with_meanings(mut self, vectors: WordVectors) -> Self {
        self.recall = Recall::with_meanings(vectors);
        self
    }

    /// Brings the index, and the meanings of turns where they are compared, up to date, if they are not.
    ///
    /// # Errors
    /// [`MemoryError::Busy`] if another process writes for too long; what is indexed can be asked all the same.
    pub fn refresh(&mut self) -> Result<(), MemoryError> {
        if index::is_behind(&self.conn)? {
            index::catch_up(Writer::open(&self.path)?.connection())?;
        }
        if let Some(reader) = self.recall.meanings()
            && store::is_behind(&self.conn, reader)?
        {
            catch_up(Writer::open(&self.path)?.connection(), reader)?;
        }
        Ok(())
    }

    /// Asks questions whose answers are known; tells how much is found.
    pub fn evaluate(
        &mut self,
        asked: &[Asked],
        cuts: &[usize],
        weights: Weights,
        now: Timestamp,
    ) -> Result<Report, MemoryError> {
        evaluate(&mut self.recall, &self.conn, asked, cuts, weights, now)
    }

    /// The best hits, best first.
    pub fn find(&mut self, query: &Query<'_>) -> Result<Vec<Hit>, MemoryError> {
        self.recall.find(&self.conn, query)
    }

    /// The connection, for the functions of [`reader`].
    pub fn connection(&self) -> &Connection {
        &self.conn
    }
}
