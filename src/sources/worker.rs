use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use thiserror::Error;
use tracing::{debug, error, warn};

use super::positions::{FilePosition, Positions};
use super::program::Program;
use super::read::{self, ReadError};
use super::source::{Hint, Source};
use super::sqlite::{self, DatabaseError};
use super::{ObserverSettings, copies, llm, open_webui};
use crate::platform::{self, Signature};
use crate::session::{Identity, Moment, Role, Session, SessionKey};
use crate::spool::{Delivery, DeliveryError, Home, shown};
use crate::state::{State, StateError};

/// A turn that is still under way is waited for so many times `quiet`; then the program has died in it.
const PATIENCE: u32 = 12;
/// Sessions that are handed over together.
const BATCH: usize = 256;
/// With so many files in the spool nothing is added until some are taken.
const WAITING: usize = 2048;
/// How long to wait before a trouble of our own is tried again.
const PAUSE: Duration = Duration::from_secs(10);

/// Trouble of our own: the file that was at hand is read again later.
#[derive(Debug, Error)]
enum Trouble {
    #[error("the spool cannot be written: {0}")]
    Spool(#[from] io::Error),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("the database changed while it was read")]
    Changed,
    #[error("stopping")]
    Stopping,
}

/// Reads what is at rest in the sources and hands it over.
pub(super) struct Worker {
    pub(super) sources: Vec<Source>,
    delivery: Delivery,
    positions: Positions,
    /// Files whose sessions are staged, with what is to be noted of them.
    read: Vec<(PathBuf, FilePosition)>,
    /// Files that could not be read, so that it is said once for each state of a file.
    refused: HashMap<PathBuf, Signature>,
    aside: PathBuf,
    /// Session files above this many bytes are not taken by the spool.
    max_size: u64,
    stop: Arc<AtomicBool>,
    pub(super) backpressure: bool,
}

impl Worker {
    pub(super) fn new(
        home: &Home,
        state: State,
        sources: Vec<ObserverSettings>,
        max_size: u64,
        stop: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let sources = sources.into_iter().map(Source::new).collect();
        Ok(Worker {
            sources,
            delivery: Delivery::new(home, "observed")?,
            positions: Positions::new(state),
            read: Vec::new(),
            refused: HashMap::new(),
            aside: home.root.join("state").join("observed"),
            max_size,
            stop,
            backpressure: true,
        })
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    pub(super) fn take(&mut self, hint: Hint) {
        let Hint::Look { source, path } = hint else { return };
        if let Some(source) = self.sources.get_mut(source) {
            source.changed(&path);
        }
    }

    /// How long nothing is due.
    pub(super) fn until_next(&self) -> Duration {
        let times = self.sources.iter().flat_map(|source| source.due.values().chain([&source.next_scan]));
        times.min().map_or(PAUSE, |next| next.saturating_duration_since(Instant::now()))
    }

    /// Reads the names of sources whose time has come; of all of them if `now`.
    pub(super) fn scan(&mut self, now: bool) {
        for source in self.sources.iter_mut().filter(|source| now || source.is_due()) {
            source.scan(&self.positions);
        }
    }

    /// Looks at the files that are due.
    pub(super) fn attend(&mut self) {
        for index in 0..self.sources.len() {
            let now = Instant::now();
            let Some(source) = self.sources.get_mut(index) else { return };
            let mut due: Vec<PathBuf> =
                source.due.iter().filter(|(_, at)| **at <= now).map(|(path, _)| path.clone()).collect();
            source.due.retain(|_, at| *at > now);
            // Older files first: of a fork and what it was made from, that one owns what was said in both.
            due.sort_by_cached_key(|path| {
                platform::lstat(path).map(|metadata| Signature::of(&metadata).modified).ok()
            });
            let settings = source.settings.clone();
            let mut left = due.into_iter();
            while let Some(path) = left.next() {
                let result = self.look_at(index, &settings, &path).and_then(|()| self.hand_over_if(BATCH));
                let result =
                    if left.len() == 0 { result.and_then(|()| self.hand_over_if(1)) } else { result };
                if let Err(trouble) = result {
                    self.give_up_for_now(index, &trouble, left.chain([path]));
                    break;
                }
            }
        }
    }

    /// What was at hand is read again later; what was staged and not published too.
    fn give_up_for_now(&mut self, index: usize, trouble: &Trouble, left: impl Iterator<Item = PathBuf>) {
        if !matches!(trouble, Trouble::Stopping) {
            error!(%trouble, again_in = ?PAUSE, "the sources wait");
        }
        self.positions.forget();
        let again = Instant::now() + PAUSE;
        let read = std::mem::take(&mut self.read);
        if let Some(source) = self.sources.get_mut(index) {
            source.due.extend(left.chain(read.into_iter().map(|(path, _)| path)).map(|path| (path, again)));
        }
    }

    /// Reads a file if its conversations are at rest, and stages what is new in them.
    fn look_at(&mut self, index: usize, settings: &ObserverSettings, path: &Path) -> Result<(), Trouble> {
        if self.stopped() {
            return Err(Trouble::Stopping);
        }
        if settings.program.is_file() {
            return self.look_at_database(index, settings, path);
        }
        let Ok(metadata) = platform::lstat(path) else { return Ok(()) };
        let before = Signature::of(&metadata);
        if !metadata.is_file() || self.positions.file(path)?.is_some_and(|known| known.signature == before) {
            return Ok(());
        }
        if self.refused.get(path) == Some(&before) {
            return Ok(());
        }
        let age = age(&metadata);
        if age < settings.quiet {
            self.again(index, path, settings.quiet.saturating_sub(age));
            return Ok(());
        }
        let read = match read::read(settings.program, path) {
            Ok(read) => read,
            Err(problem) => {
                self.refuse(settings, path, before, &problem);
                return Ok(());
            }
        };
        let unchanged = platform::lstat(path).is_ok_and(|metadata| Signature::of(&metadata) == before);
        let open = read.sessions.iter().any(|(_, open)| *open) && age < settings.quiet * PATIENCE;
        if !unchanged || open {
            self.again(index, path, settings.quiet);
            return Ok(());
        }
        if read.left_out > 0 {
            warn!(
                program = settings.program.as_str(),
                file = file_name(path),
                lines = read.left_out,
                "lines left out"
            );
        }
        for (session, _) in read.sessions {
            self.stage(settings, session)?;
        }
        let position = FilePosition { signature: before, offset: read.offset, until: None };
        self.read.push((path.to_path_buf(), position));
        Ok(())
    }

    /// A file that cannot be read is looked at again when it changes.
    fn refuse(
        &mut self,
        settings: &ObserverSettings,
        path: &Path,
        signature: Signature,
        problem: &ReadError,
    ) {
        if self.refused.insert(path.to_path_buf(), signature) != Some(signature) {
            warn!(program = settings.program.as_str(), file = file_name(path), %problem, "a file of a source is left out");
        }
    }

    fn again(&mut self, index: usize, path: &Path, after: Duration) {
        if let Some(source) = self.sources.get_mut(index) {
            source.due.insert(path.to_path_buf(), Instant::now() + after);
        }
    }

    /// A database is never at rest as a whole: its conversations are, each by its own time.
    fn look_at_database(
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
        if self.refused.get(path) == Some(&signature) {
            return Ok(());
        }
        // What is staged from here on is given up if the database changes while it is read.
        self.hand_over_if(1)?;
        let since = known.and_then(|known| known.until);
        let (aside, now) = (self.aside.clone(), jiff::Timestamp::now());
        let in_place = log.is_none().then_some((database, log));
        let (mut until, mut waits, mut trouble) = (since.clone(), false, None);
        let result = sqlite::read(path, &aside, |db| {
            let mut each = |session: Session, at: Option<Moment>, open: bool, mark: String| {
                let quiet = if open { settings.quiet * PATIENCE } else { settings.quiet };
                let rest = at.map(|at| now.duration_since(at.timestamp()));
                if rest.is_some_and(|rest| rest < jiff::SignedDuration::try_from(quiet).unwrap_or_default()) {
                    waits = true;
                    // What changed later is not at rest either, unless this one waits for its answer.
                    return open;
                }
                if !waits {
                    until = Some(mark);
                }
                let unchanged = || in_place.is_none_or(|before| sqlite::looks(path) == Some(before));
                trouble = self.stage_row(settings, session, &unchanged).err();
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
        }
        match (trouble, result) {
            _ if busy => {
                self.again(index, path, settings.quiet);
                return Ok(());
            }
            (Some(trouble), _) => return Err(trouble),
            (None, Err(problem)) => {
                self.refuse(settings, path, signature, &problem.into());
                return Ok(());
            }
            (None, Ok(0)) => {}
            (None, Ok(rows)) => {
                warn!(program = settings.program.as_str(), file = file_name(path), rows, "rows left out");
            }
        }
        // While one waits the file is as good as changed.
        let signature = if waits { Signature { size: 0, ..signature } } else { signature };
        if waits {
            self.again(index, path, settings.quiet);
        }
        self.read.push((path.to_path_buf(), FilePosition { signature, offset: signature.size, until }));
        Ok(())
    }

    /// Stages a row's session. Nothing of a database is handed over that changed since it was opened.
    fn stage_row(
        &mut self,
        settings: &ObserverSettings,
        session: Session,
        unchanged: &dyn Fn() -> bool,
    ) -> Result<(), Trouble> {
        if self.stopped() {
            return Err(Trouble::Stopping);
        }
        self.stage(settings, session)?;
        if self.delivery.staged() < BATCH {
            return Ok(());
        }
        if !unchanged() {
            return Err(Trouble::Changed);
        }
        self.publish()?;
        Ok(self.positions.write()?)
    }

    /// Stages what is new in a session.
    fn stage(&mut self, settings: &ObserverSettings, mut session: Session) -> Result<(), Trouble> {
        session.user_id = settings.user.clone().or(session.user_id);
        let identity = Identity::of(&session);
        copies::leave_out(&mut session, &mut self.positions, settings.program.has_global_ids())?;
        if !session.messages.iter().any(|message| message.role == Role::User) {
            return Ok(());
        }
        let key = SessionKey::of(&session);
        if self.positions.is_handed(&identity, &key)? {
            return Ok(());
        }
        match self.delivery.stage(&session, &key, self.max_size) {
            Ok(()) => {}
            Err(problem @ DeliveryError::TooLarge) => {
                warn!(program = settings.program.as_str(), %problem, "a conversation of a source is left out");
                return Ok(());
            }
            Err(DeliveryError::Io(problem)) => return Err(problem.into()),
        }
        self.positions.put_handed(&identity, &key);
        Ok(())
    }

    /// Hands over what is staged, and notes what was read, once so many files are.
    fn hand_over_if(&mut self, count: usize) -> Result<(), Trouble> {
        if self.read.len() < count && self.delivery.staged() < count {
            return Ok(());
        }
        self.publish()?;
        for (path, position) in self.read.drain(..) {
            self.positions.put_file(&path, &position);
        }
        Ok(self.positions.write()?)
    }

    fn publish(&mut self) -> Result<(), Trouble> {
        let sessions = self.delivery.staged();
        self.delivery.publish()?;
        if sessions > 0 {
            debug!(sessions, "handed to the spool");
        }
        while self.backpressure && self.delivery.waiting()? > WAITING {
            if self.stopped() {
                break;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }
}

/// How long ago a file was written to. A time in the future counts as now.
fn age(metadata: &std::fs::Metadata) -> Duration {
    metadata.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok()).unwrap_or_default()
}

fn file_name(path: &Path) -> String {
    path.file_name().map(shown).unwrap_or_default()
}
