//! Reading databases: many conversations in one file that is never at rest.

use std::path::Path;

use tracing::warn;

use super::positions::{FilePosition, Oddity};
use super::program::Program;
use super::sqlite::{self, DatabaseError};
use super::worker::{BATCH, PATIENCE, Trouble, Worker, file_name};
use super::{ObserverSettings, llm, open_webui};
use crate::platform::Signature;
use crate::session::{Moment, Session};

impl Worker {
    /// A database is never at rest as a whole: its conversations are, each by its own time.
    pub(super) fn look_at_database(
        &mut self,
        index: usize,
        settings: &ObserverSettings,
        path: &Path,
    ) -> Result<(), Trouble> {
        let Some((database, log)) = sqlite::looks(path) else { return Ok(()) };
        // Both files count; a program that only reads changes neither.
        let signature = Signature {
            size: database.size + log.map_or(0, |log| log.size),
            modified: log.map_or(database.modified, |log| log.modified.max(database.modified)),
            ..database
        };
        let known = self.positions.file(path)?;
        if known.as_ref().is_some_and(|known| known.signature == signature) {
            return Ok(());
        }
        if self.is_refused(index, path, signature) {
            return Ok(());
        }
        // What is staged from here on is given up if the database changes while it is read.
        self.hand_over_if(1)?;
        let since = known.and_then(|known| known.until);
        let (aside, now) = (self.aside.clone(), jiff::Timestamp::now());
        let in_place = log.is_none().then_some((database, log));
        let (mut until, mut waiting, mut trouble) = (since.clone(), 0, None);
        let result = sqlite::read(path, &aside, |db| {
            let mut each = |session: Session, at: Option<Moment>, open: bool, mark: String| {
                let quiet = if open { settings.quiet * PATIENCE } else { settings.quiet };
                let rest = at.map(|at| now.duration_since(at.timestamp()));
                if rest.is_some_and(|rest| rest < jiff::SignedDuration::try_from(quiet).unwrap_or_default()) {
                    waiting += 1;
                    return true;
                }
                if waiting == 0 {
                    until = Some(mark);
                }
                let unchanged = || in_place.is_none_or(|before| sqlite::looks(path) == Some(before));
                trouble = self.stage_row(index, settings, session, &unchanged).err();
                trouble.is_none()
            };
            match settings.program {
                Program::Llm => llm::read(db, since.as_deref(), &mut each),
                _ => open_webui::read(db, since.as_deref(), &mut each),
            }
        });
        let busy = matches!(trouble, Some(Trouble::Changed)) || matches!(result, Err(DatabaseError::Busy));
        if busy || result.is_err() {
            self.delivery.discard();
            self.positions.forget();
            self.handed.clear();
        }
        let left_out = match (trouble, result) {
            _ if busy => {
                self.again(index, path, settings.quiet);
                return Ok(());
            }
            (Some(trouble), _) => return Err(trouble),
            (None, Err(problem)) => {
                self.refuse(index, path, signature, &problem.into());
                return Ok(());
            }
            (None, Ok(rows)) => rows,
        };
        if left_out > 0 {
            let (program, rows) = (settings.program.as_str(), left_out);
            warn!(program, file = file_name(path), rows, "rows left out");
        }
        let (oddity, waits) = (Oddity { left_out, empty: false }, waiting > 0);
        if let Some(source) = self.sources.get_mut(index) {
            source.seen.read(path, oddity);
            source.seen.waiting = waiting;
        }
        // While one waits the file is as good as changed.
        let signature = if waits { Signature { size: 0, ..signature } } else { signature };
        if waits {
            self.again(index, path, settings.quiet);
        }
        let position = FilePosition { signature, offset: signature.size, until, oddity };
        self.read.push((path.to_path_buf(), position));
        Ok(())
    }

    /// Stages a row's session. Nothing of a database is handed over that changed since it was opened.
    fn stage_row(
        &mut self,
        index: usize,
        settings: &ObserverSettings,
        session: Session,
        unchanged: &dyn Fn() -> bool,
    ) -> Result<(), Trouble> {
        if self.stopped() {
            return Err(Trouble::Stopping);
        }
        self.stage(index, settings, session)?;
        if self.delivery.staged() < BATCH {
            return Ok(());
        }
        if !unchanged() {
            return Err(Trouble::Changed);
        }
        self.publish()?;
        self.note()
    }
}
