use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::{Duration, Instant, SystemTime};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tracing::{info, warn};

use super::account::{Seen, SourceReport};
use super::positions::Positions;
use super::tree::{files, without_links};
use super::{ObserverSettings, account};
use crate::platform::{self, Signature};

/// How often a source is read in full where events arrive.
const RESCAN: Duration = Duration::from_secs(300);
/// How often it is where none do.
const POLL: Duration = Duration::from_secs(30);

/// A word from a watcher.
#[derive(Debug)]
pub(super) enum Hint {
    Look {
        source: usize,
        path: PathBuf,
    },
    /// Something else is to be looked at: whether to stop, or other sources.
    Wake,
}

/// A source, and which of its files are to be looked at.
pub(super) struct Source {
    /// Its number; no other source of a run has it, also when the list of sources changes.
    pub(super) number: usize,
    pub(super) settings: ObserverSettings,
    pub(super) seen: Seen,
    watcher: Option<RecommendedWatcher>,
    /// The inode of what is watched.
    watched: u64,
    /// Files to be looked at, and when.
    pub(super) due: BTreeMap<PathBuf, Instant>,
    pub(super) next_scan: Instant,
    /// Set by the watcher when events were lost.
    rescan: Arc<AtomicBool>,
}

impl Source {
    pub(super) fn new(number: usize, settings: ObserverSettings) -> Self {
        Source {
            number,
            settings,
            seen: Seen::default(),
            watcher: None,
            watched: 0,
            due: BTreeMap::new(),
            next_scan: Instant::now(),
            rescan: Arc::default(),
        }
    }

    /// Its name in the state store.
    pub(super) fn name(&self) -> super::positions::Name {
        account::name_of(&self.settings)
    }

    /// Writes how it stands into a report.
    pub(super) fn tell(&self, report: &mut SourceReport) {
        let watcher = match (&self.seen.trouble, &self.watcher) {
            (Some(_), _) => "",
            (None, Some(_)) => "native",
            (None, None) => "poll",
        };
        watcher.clone_into(&mut report.watcher);
        let files = self.due.len() as u64;
        report.waiting = if self.settings.program.is_file() { self.seen.waiting } else { files };
        self.seen.tell(&self.settings.path, report);
    }

    /// Sets up the watcher if it is missing. Where none can be had the source is read every now and then.
    pub(super) fn keep_watching(&mut self, sink: &SyncSender<Hint>) {
        let number = self.number;
        if self.next_scan > Instant::now() {
            return;
        }
        // A folder that was made anew is another one; the events of the old one have ended.
        let inode = platform::lstat(&self.settings.path).map_or(0, |metadata| Signature::of(&metadata).inode);
        if self.watcher.is_some() && (inode == self.watched || self.settings.program.is_file()) {
            return;
        }
        let (program, path) = (self.settings.program.as_str(), &self.settings.path);
        // A program deletes and makes its database and the log beside it: only their folder stays.
        let (folder, mode) = match platform::lstat(path) {
            Ok(metadata) if metadata.is_file() => {
                (path.parent().unwrap_or(path).to_path_buf(), RecursiveMode::NonRecursive)
            }
            Ok(_) => (path.clone(), RecursiveMode::Recursive),
            Err(_) => return,
        };
        let (sink, rescan) = (sink.clone(), self.rescan.clone());
        let watcher = RecommendedWatcher::new(
            move |event| hear(number, event, &sink, &rescan),
            notify::Config::default().with_follow_symlinks(false),
        );
        match watcher.and_then(|mut watcher| watcher.watch(&folder, mode).map(|()| watcher)) {
            Ok(watcher) => {
                info!(program, path = %path.display(), "watching a source");
                self.watcher = Some(watcher);
                self.watched = inode;
            }
            Err(problem) => warn!(
                program, path = %path.display(), %problem, every = ?POLL,
                "a source cannot be watched; it is read every now and then"
            ),
        }
    }

    /// Whether it is time to read its names.
    pub(super) fn is_due(&self) -> bool {
        self.next_scan <= Instant::now() || self.rescan.swap(false, Ordering::AcqRel)
    }

    /// Something happened to a path.
    pub(super) fn changed(&mut self, path: &Path) {
        let Some(file) = self.settings.program.file_of(path).or_else(|| self.is_itself(path)) else { return };
        // A folder on the way that is a link leads elsewhere; the source itself is known without links.
        if file.parent().is_none_or(|folder| without_links(folder) != folder) {
            return;
        }
        let at = Instant::now() + self.settings.quiet;
        if self.settings.program.is_file() {
            // Somebody always writes to a database; that must not put its turn off for ever.
            self.due.entry(file).or_insert(at);
        } else {
            self.due.insert(file, at);
        }
    }

    /// The source itself, where the user named a database that has another name than usual.
    fn is_itself(&self, path: &Path) -> Option<PathBuf> {
        let own = &self.settings.path;
        let name = |path: &Path| path.file_name().map(|name| name.as_encoded_bytes().to_vec());
        let (own_name, name) = (name(own)?, name(path)?);
        let ends = [b"".as_slice(), b"-wal", b"-shm", b"-journal"];
        let is_own = ends.iter().any(|end| name.strip_suffix(*end) == Some(&own_name));
        (self.settings.program.is_file() && is_own && path.parent() == own.parent()).then(|| own.clone())
    }

    /// Finds files that changed since they were read.
    pub(super) fn scan(&mut self, positions: &Positions) {
        let period = if self.watcher.is_some() { RESCAN } else { POLL };
        self.next_scan = Instant::now() + period;
        let (program, quiet) = (self.settings.program, self.settings.quiet);
        let (own, mut found) = (self.settings.path.clone(), Vec::new());
        let walked = files(&own, &mut |path, signature| {
            let wanted =
                program.file_of(path).is_some_and(|file| file == path) || (program.is_file() && path == own);
            if wanted {
                found.push((path.to_path_buf(), signature));
            }
        });
        if let Err(problem) = walked {
            if self.seen.trouble.replace(problem.to_string()).is_none() {
                warn!(program = program.as_str(), path = %own.display(), %problem, "a source cannot be read");
            }
            self.watcher = None;
            return;
        }
        self.seen.trouble = None;
        self.seen.odd.clear();
        self.seen.refused.retain(|path, _| found.iter().any(|(there, _)| there == path));
        let now = SystemTime::now();
        for (path, signature) in found {
            let known = positions.file(&path).ok().flatten();
            if let Some(odd) = known.as_ref().map(|known| known.oddity).filter(|odd| !odd.is_none()) {
                self.seen.odd.insert(path.clone(), odd);
            }
            if !program.is_file() && known.is_some_and(|known| known.signature == signature) {
                continue;
            }
            let age = u64::try_from(signature.modified)
                .ok()
                .and_then(|nanos| {
                    now.duration_since(SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)).ok()
                })
                .unwrap_or_default();
            let wait = if program.is_file() { Duration::ZERO } else { quiet.saturating_sub(age) };
            self.due.entry(path).or_insert(Instant::now() + wait);
        }
    }
}

/// Passes on what a watcher says. Never blocks: where events are lost, a rescan makes up for it.
fn hear(source: usize, event: notify::Result<notify::Event>, sink: &SyncSender<Hint>, rescan: &AtomicBool) {
    let event = match event {
        Ok(event) if !event.need_rescan() => event,
        _ => return rescan.store(true, Ordering::Release),
    };
    // Readers make no news, ourselves among them.
    if matches!(event.kind, EventKind::Access(_)) {
        return;
    }
    for path in event.paths {
        if let Err(TrySendError::Full(_)) = sink.try_send(Hint::Look { source, path }) {
            rescan.store(true, Ordering::Release);
        }
    }
}
