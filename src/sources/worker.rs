use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use thiserror::Error;
use tracing::{debug, error, info, warn};

use super::account::Accounts;
use super::positions::{FilePosition, Oddity, Positions};
use super::read::{self, ReadError};
use super::source::{Hint, Source};
use super::tree::without_links;
use super::{ObserverSettings, copies};
use crate::platform::{self, Signature};
use crate::session::{Identity, Role, Session, SessionKey};
use crate::spool::{Delivery, DeliveryError, Home, shown};
use crate::state::{State, StateError};

/// A turn that is still under way is waited for so many times `quiet`; then the program has died in it.
pub(super) const PATIENCE: u32 = 12;
/// Sessions that are handed over together.
pub(super) const BATCH: usize = 256;
/// With so many files in the spool nothing is added until some are taken.
const WAITING: usize = 2048;
/// How long to wait before a trouble of our own is tried again.
const PAUSE: Duration = Duration::from_secs(10);

/// Trouble of our own: the file that was at hand is read again later.
#[derive(Debug, Error)]
pub(super) enum Trouble {
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
    pub(super) delivery: Delivery,
    pub(super) positions: Positions,
    /// Files whose sessions are staged, with what is to be noted of them.
    pub(super) read: Vec<(PathBuf, FilePosition)>,
    /// Conversations whose files are staged: the source by its place, and what is to be noted of them.
    pub(super) handed: Vec<(usize, Identity, SessionKey)>,
    pub(super) accounts: Accounts,
    /// The number of the next source.
    next: usize,
    pub(super) aside: PathBuf,
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
        let mut worker = Worker {
            sources: Vec::new(),
            delivery: Delivery::new(home, "observed")?,
            positions: Positions::new(state),
            read: Vec::new(),
            handed: Vec::new(),
            accounts: Accounts::default(),
            next: 0,
            aside: home.root.join("state").join("observed"),
            max_size,
            stop,
            backpressure: true,
        };
        worker.watch_instead(sources);
        Ok(worker)
    }

    /// Takes other sources; those that are the same as before stay as they are.
    pub(super) fn watch_instead(&mut self, sources: Vec<ObserverSettings>) {
        let mut before = std::mem::take(&mut self.sources);
        for settings in sources {
            let settings = ObserverSettings { path: without_links(&settings.path), ..settings };
            let same = before.iter().position(|source| source.settings == settings);
            let source = match same {
                Some(index) => before.swap_remove(index),
                None => {
                    self.next += 1;
                    Source::new(self.next, settings)
                }
            };
            self.sources.push(source);
        }
        for gone in before {
            info!(program = gone.settings.program.as_str(), path = %gone.settings.path.display(), "not watching a source any more");
        }
        let settings: Vec<_> = self.sources.iter().map(|source| &source.settings).collect();
        self.accounts.open(&settings, &self.positions);
    }

    /// Looks in full which conversations were learned before.
    pub(super) fn count_what_is_learned(&self) {
        if let Err(problem) = self.accounts.settle(self.positions.state(), usize::MAX) {
            warn!(%problem, "what was learned from the sources cannot be counted");
        }
    }

    /// Tells how the sources stand.
    pub(super) fn tell(&self) {
        for (index, source) in self.sources.iter().enumerate() {
            self.accounts.tell(index, |report| source.tell(report));
        }
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    pub(super) fn take(&mut self, hint: Hint) {
        let Hint::Look { source, path } = hint else { return };
        if let Some(source) = self.sources.iter_mut().find(|known| known.number == source) {
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
        self.handed.clear();
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
        let superseded = read::packed_from(path).is_some_and(|plain| plain.is_file());
        if superseded || self.is_refused(index, path, before) {
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
                self.refuse(index, path, before, &problem);
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
        let oddity = Oddity { left_out: read.left_out, empty: read.sessions.is_empty() };
        if let Some(source) = self.sources.get_mut(index) {
            source.seen.read(path, oddity);
        }
        for (session, _) in read.sessions {
            self.stage(index, settings, session)?;
        }
        let position = FilePosition { signature: before, offset: read.offset, until: None, oddity };
        self.read.push((path.to_path_buf(), position));
        Ok(())
    }

    pub(super) fn is_refused(&self, index: usize, path: &Path, signature: Signature) -> bool {
        let refused = self.sources.get(index).and_then(|source| source.seen.refused.get(path));
        refused.is_some_and(|(known, _)| *known == signature)
    }

    /// A file that cannot be read is looked at again when it changes.
    pub(super) fn refuse(&mut self, index: usize, path: &Path, signature: Signature, problem: &ReadError) {
        let Some(source) = self.sources.get_mut(index) else { return };
        let program = source.settings.program.as_str();
        warn!(program, file = file_name(path), %problem, "a file of a source is left out");
        source.seen.refused.insert(path.to_path_buf(), (signature, problem.to_string()));
    }

    pub(super) fn again(&mut self, index: usize, path: &Path, after: Duration) {
        if let Some(source) = self.sources.get_mut(index) {
            source.due.insert(path.to_path_buf(), Instant::now() + after);
        }
    }

    /// Stages what is new in a session.
    pub(super) fn stage(
        &mut self,
        index: usize,
        settings: &ObserverSettings,
        mut session: Session,
    ) -> Result<(), Trouble> {
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
        let name = self.sources.get(index).map(Source::name).unwrap_or_default();
        self.positions.put_handed(&identity, &key, &name);
        self.handed.push((index, identity, key));
        Ok(())
    }

    /// Hands over what is staged, and notes what was read, once so many files are.
    pub(super) fn hand_over_if(&mut self, count: usize) -> Result<(), Trouble> {
        if self.read.len() < count && self.delivery.staged() < count {
            return Ok(());
        }
        self.publish()?;
        for (path, position) in self.read.drain(..) {
            self.positions.put_file(&path, &position);
        }
        self.note()
    }

    /// Notes what was published.
    pub(super) fn note(&mut self) -> Result<(), Trouble> {
        self.positions.write()?;
        for (index, identity, key) in self.handed.drain(..) {
            self.accounts.handed(index, identity, &key);
        }
        Ok(())
    }

    pub(super) fn publish(&mut self) -> Result<(), Trouble> {
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

pub(super) fn file_name(path: &Path) -> String {
    path.file_name().map(shown).unwrap_or_default()
}
