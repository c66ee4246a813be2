//! Finds files in the spool and claims them.
//!
//! One thread owns the spool. The watcher's events are hints to look at a name; what is lost is found by reading the
//! folder: at start, when events were lost, on a watcher's error, when the folder itself was replaced, and every
//! `rescan`. The watcher is set up before the first reading, so nothing falls between the two. Claimed files go into a
//! bounded channel; while it is full nothing is claimed, and whatever waits, waits in the spool.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use notify::RecommendedWatcher;
use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

use super::Home;
use super::claim::{Claimed, Refusal};
use super::names::{NameFilter, shown};
use super::readiness::{Decision, Readiness};
use super::watch::{Hint, HintSink, LiveHints, WatcherKind, watch};
use crate::platform::{self, Signature};

/// Hints that may wait; beyond that a rescan is cheaper.
const HINTS: usize = 4096;
/// How often the spool is read where no events arrive.
const POLL: Duration = Duration::from_secs(1);
/// Names of the spool that are put in order at a time.
const SORTED: usize = 8192;
/// How long the start-up probe waits for its own event.
const PROBE: Duration = Duration::from_secs(1);

/// The part of `[spool]` the intake needs.
#[derive(Debug, Clone)]
pub struct IntakeSettings {
    /// Which names are session files.
    pub names: NameFilter,
    /// How long a file written in place must be quiet.
    pub settle: Duration,
    /// How long a quiet file that is not whole JSON is waited for.
    pub grace: Duration,
    /// How often the folder is read in any case.
    pub rescan: Duration,
    /// Files above this many bytes are refused.
    pub max_size: u64,
    /// How changes are noticed.
    pub watcher: WatcherKind,
    /// Says whether the bytes of a file are whole, so that nothing half-written is claimed.
    pub looks_complete: fn(&[u8]) -> bool,
    /// Who is told of changes of live files, if anybody.
    pub live: Option<LiveHints>,
}

/// What the intake is doing, for `atles status`.
#[derive(Debug, Default)]
pub struct IntakeStatus {
    /// Files that are not whole yet.
    pub waiting: AtomicUsize,
    /// How changes are noticed: `native` or `poll`; empty before the watcher is set up.
    pub watcher: Mutex<&'static str>,
    /// Why the spool cannot be read now.
    pub trouble: Mutex<Option<String>>,
    /// Set once the first reading of the spool is over.
    pub scanned: AtomicBool,
}

/// The thread that owns the spool.
#[derive(Debug)]
pub struct Intake {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    wake: SyncSender<Hint>,
    /// What it is doing.
    pub status: Arc<IntakeStatus>,
}

impl Intake {
    /// Starts watching. `once` reads the spool a single time, waits for what is not whole yet, and ends.
    ///
    /// # Errors
    /// Only if no thread can be started.
    pub fn start(
        home: Home,
        settings: IntakeSettings,
        claimed: mpsc::Sender<Claimed>,
        once: bool,
    ) -> io::Result<Self> {
        let (wake, hints) = sync_channel(HINTS);
        let stop = Arc::new(AtomicBool::new(false));
        let status = Arc::new(IntakeStatus::default());
        let worker = Worker {
            readiness: Readiness::new(settings.settle, settings.grace),
            rescan: Arc::new(AtomicBool::new(true)),
            sink: wake.clone(),
            stop: stop.clone(),
            status: status.clone(),
            left_alone: HashSet::new(),
            watched: None,
            home,
            settings,
            claimed,
            hints,
        };
        let thread = std::thread::Builder::new()
            .name("intake".into())
            .spawn(move || if once { worker.run_once() } else { worker.run() })?;
        Ok(Intake { thread: Some(thread), stop, wake, status })
    }

    /// Stops claiming. What was claimed but not handed over stays in `work/` for the next start.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.wake.try_send(Hint { name: OsString::new(), renamed_in: false });
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the intake thread panicked");
        }
    }
}

/// The hand-over channel is closed: the daemon is stopping.
struct Closed;

struct Worker {
    home: Home,
    settings: IntakeSettings,
    claimed: mpsc::Sender<Claimed>,
    hints: Receiver<Hint>,
    sink: SyncSender<Hint>,
    rescan: Arc<AtomicBool>,
    readiness: Readiness,
    stop: Arc<AtomicBool>,
    status: Arc<IntakeStatus>,
    /// Names that were reported once and are not ours to move.
    left_alone: HashSet<OsString>,
    watched: Option<(Option<RecommendedWatcher>, u64)>,
}

impl Worker {
    fn run(mut self) {
        let mut age_counts = true;
        let mut last_scan: Option<Instant> = None;
        while !self.stopped() {
            self.keep_watching();
            let period =
                if self.is_polling() { POLL.min(self.settings.rescan) } else { self.settings.rescan };
            let period = platform::hurried(period);
            let due = last_scan.is_none_or(|at| at.elapsed() >= period);
            if self.rescan.swap(false, Ordering::AcqRel) || due {
                last_scan = Some(Instant::now());
                if self.scan(age_counts).is_err() {
                    return;
                }
                age_counts = false;
                self.status.scanned.store(true, Ordering::Release);
            }
            let next_scan = last_scan.map_or(period, |at| period.saturating_sub(at.elapsed()));
            if self.attend(next_scan).is_err() {
                return;
            }
        }
    }

    fn run_once(mut self) {
        if self.scan(true).is_err() {
            return;
        }
        self.status.scanned.store(true, Ordering::Release);
        while !self.stopped() && self.readiness.len() > 0 {
            let settle = self.settings.settle;
            if self.attend(settle).is_err() {
                return;
            }
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire) || self.claimed.is_closed()
    }

    fn is_polling(&self) -> bool {
        !matches!(self.watched, Some((Some(_), _)))
    }

    /// Sets up the watcher, anew if the folder was replaced (unmounted, say, and mounted again).
    fn keep_watching(&mut self) {
        let id = match platform::lstat(&self.home.spool) {
            Ok(metadata) => Signature::of(&metadata).inode,
            Err(error) => return self.lost_spool(&error),
        };
        if self.watched.as_ref().is_some_and(|(_, watched)| *watched == id) {
            return;
        }
        let again = self.watched.is_some();
        self.watched = None;
        let watcher = match self.settings.watcher {
            WatcherKind::Poll => None,
            WatcherKind::Auto | WatcherKind::Native => {
                let sink = HintSink::new(self.sink.clone(), self.rescan.clone(), self.settings.live.clone());
                let probe = (self.settings.watcher == WatcherKind::Auto).then_some(PROBE);
                watch(&self.home.spool, &sink, probe)
                    .inspect_err(|error| {
                        warn!(%error, every = ?POLL, "falling back to polling the spool");
                    })
                    .ok()
            }
        };
        let kind = if watcher.is_some() { "native" } else { "poll" };
        info!(spool = %self.home.spool.display(), watcher = kind, again, "watching");
        self.settings.live.iter().for_each(|live| live.set_arriving(watcher.is_some()));
        *lock(&self.status.watcher) = kind;
        *lock(&self.status.trouble) = None;
        self.watched = Some((watcher, id));
        self.rescan.store(true, Ordering::Release);
    }

    fn lost_spool(&mut self, error: &io::Error) {
        self.watched = None;
        let mut trouble = lock(&self.status.trouble);
        if trouble.is_none() {
            error!(%error, spool = %self.home.spool.display(), "the spool cannot be read; waiting for it to come back");
            *trouble = Some(format!("the spool cannot be read: {error}"));
        }
    }

    /// Waits for hints, or until a file or the next scan is due, and looks at what they name.
    fn attend(&mut self, next_scan: Duration) -> Result<(), Closed> {
        let now = Instant::now();
        let until_due = self.readiness.wake_at().map(|at| at.saturating_duration_since(now));
        match self.hints.recv_timeout(until_due.map_or(next_scan, |due| due.min(next_scan))) {
            Ok(hint) => {
                self.look_at(&hint.name, hint.renamed_in, None)?;
                while let Ok(hint) = self.hints.try_recv() {
                    self.look_at(&hint.name, hint.renamed_in, None)?;
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        let now = Instant::now();
        while let Some(name) = self.readiness.next_due(now) {
            self.look_at(&name, false, None)?;
            if self.stopped() {
                return Err(Closed);
            }
        }
        self.status.waiting.store(self.readiness.len(), Ordering::Relaxed);
        Ok(())
    }

    fn scan(&mut self, age_counts: bool) -> Result<(), Closed> {
        let mut entries = match std::fs::read_dir(&self.home.spool) {
            Ok(entries) => entries,
            Err(error) => {
                self.lost_spool(&error);
                return Ok(());
            }
        };
        let now = SystemTime::now();
        loop {
            // By name, as far as that can be done without holding all names of a full folder: apps put a date or a
            // number into names, so that what was said earlier is learned earlier.
            let some: Result<Vec<_>, _> = entries.by_ref().take(SORTED).collect();
            let Ok(mut some) = some else {
                self.rescan.store(true, Ordering::Release);
                break;
            };
            some.sort_by_key(std::fs::DirEntry::file_name);
            for entry in &some {
                if self.stopped() {
                    return Err(Closed);
                }
                self.look_at(&entry.file_name(), false, age_counts.then_some(now))?;
            }
            if some.len() < SORTED {
                break;
            }
        }
        self.status.waiting.store(self.readiness.len(), Ordering::Relaxed);
        Ok(())
    }

    /// Looks at one name and claims the file if it is whole. `now` lets the file's own times count.
    fn look_at(&mut self, name: &OsStr, renamed_in: bool, now: Option<SystemTime>) -> Result<(), Closed> {
        if !self.settings.names.takes(name) {
            return Ok(());
        }
        let path = self.home.spool.join(name);
        let Ok(metadata) = platform::lstat(&path) else {
            self.readiness.forget(name);
            return Ok(());
        };
        let Some(opens) = Refusal::of(&metadata, self.settings.max_size) else {
            if self.left_alone.len() < 1000 && self.left_alone.insert(name.to_os_string()) {
                warn!(
                    name = shown(name),
                    "a folder in the spool is not a session file; it is left where it is"
                );
            }
            return Ok(());
        };
        let signature = Signature::of(&metadata);
        let is_link = matches!(opens, Err(Refusal::NotAFile(_)));
        if !renamed_in && !is_link {
            let age = now.and_then(|now| now.duration_since(platform::last_change(&metadata)).ok());
            match self.readiness.judge(name, signature, Instant::now(), age) {
                Decision::Take => {}
                Decision::Peek if opens.is_ok() && self.is_whole(&path, signature.size) => {}
                Decision::Peek | Decision::Wait => return Ok(()),
            }
        }
        self.readiness.forget(name);
        self.claim(name, opens.err())
    }

    fn is_whole(&self, path: &Path, size: u64) -> bool {
        use std::io::Read;
        // One byte more than there should be: what was written since shows at once.
        let mut bytes = Vec::with_capacity(size.min(self.settings.max_size) as usize + 1);
        platform::open_regular(path)
            .and_then(|(file, _)| file.take(self.settings.max_size).read_to_end(&mut bytes))
            .is_ok_and(|_| (self.settings.looks_complete)(&bytes))
    }

    fn claim(&mut self, name: &OsStr, refusal: Option<Refusal>) -> Result<(), Closed> {
        // Hints that came after the stop may have been read together with the one that woke us for it.
        if self.stopped() {
            return Err(Closed);
        }
        match Claimed::take(&self.home, name, refusal) {
            Ok(claimed) => {
                debug!(name = claimed.shown(), "claimed");
                self.claimed.blocking_send(claimed).map_err(|_| Closed)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => {
                if self.left_alone.insert(name.to_os_string()) {
                    warn!(name = shown(name), %error, "cannot claim the file; it stays in the spool");
                }
                Ok(())
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
