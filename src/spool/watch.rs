use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use serde::{Deserialize, Serialize};

use super::abandoned::live_token;

/// How the daemon learns that something was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WatcherKind {
    /// Native events; polling where a probe at start shows that none arrive.
    #[default]
    Auto,
    /// Native events, without the probe.
    Native,
    /// No events: the spool is read every second.
    Poll,
}

/// A word from the watcher: look at this name now. It is a hint only; a lost one is made up for by a rescan.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hint {
    pub(super) name: OsString,
    /// The name appeared by a rename, so the file is whole.
    pub(super) renamed_in: bool,
}

/// Names of live files that may wait; beyond that all of them are looked at.
const LIVE_NAMES: usize = 1024;

/// Where the names of live files go as they change, for whoever looks after running chats. Hints like the others.
#[derive(Debug, Clone)]
pub struct LiveHints {
    names: SyncSender<OsString>,
    missed: Arc<AtomicBool>,
    arrive: Arc<AtomicBool>,
}

impl LiveHints {
    /// The hints, and where they arrive.
    pub fn new() -> (Self, Receiver<OsString>) {
        let (names, arriving) = sync_channel(LIVE_NAMES);
        (LiveHints { names, missed: Arc::default(), arrive: Arc::default() }, arriving)
    }

    /// Whether changes are noticed at all; if not, the spool has to be read often.
    pub fn arrive(&self) -> bool {
        self.arrive.load(Ordering::Acquire)
    }

    /// Whether a name may have been lost since this was last asked.
    pub fn take_missed(&self) -> bool {
        self.missed.swap(false, Ordering::AcqRel)
    }

    /// Wakes whoever waits for a name.
    pub fn wake(&self) {
        let _ = self.names.try_send(OsString::new());
    }

    pub(super) fn set_arriving(&self, arrive: bool) {
        self.arrive.store(arrive, Ordering::Release);
        self.miss();
    }

    fn miss(&self) {
        self.missed.store(true, Ordering::Release);
        self.wake();
    }

    fn tell(&self, name: &OsStr) {
        if let Err(TrySendError::Full(_)) = self.names.try_send(name.to_os_string()) {
            self.missed.store(true, Ordering::Release);
        }
    }
}

/// Where hints go. Never blocks: when the queue is full, or events were lost, a rescan is asked for instead.
#[derive(Debug, Clone)]
pub(super) struct HintSink {
    queue: SyncSender<Hint>,
    rescan: Arc<AtomicBool>,
    live: Option<LiveHints>,
    probe: Arc<OnceLock<(OsString, SyncSender<()>)>>,
}

impl HintSink {
    pub(super) fn new(queue: SyncSender<Hint>, rescan: Arc<AtomicBool>, live: Option<LiveHints>) -> Self {
        HintSink { queue, rescan, live, probe: Arc::default() }
    }

    fn accept(&self, event: notify::Result<Event>) {
        let event = match event {
            Ok(event) if !event.need_rescan() => event,
            _ => {
                self.live.iter().for_each(LiveHints::miss);
                return self.miss();
            }
        };
        let renamed_in = match event.kind {
            EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) => true,
            EventKind::Modify(ModifyKind::Name(RenameMode::From)) => return,
            EventKind::Create(_) | EventKind::Modify(_) => false,
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
            _ => return,
        };
        let Some(name) = event.paths.last().and_then(|path| path.file_name()) else { return };
        if live_token(name).is_some() {
            return self.live.iter().for_each(|live| live.tell(name));
        }
        if let Some((probe, heard)) = self.probe.get()
            && probe == name
        {
            let _ = heard.try_send(());
            return;
        }
        match self.queue.try_send(Hint { name: name.to_os_string(), renamed_in }) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => self.miss(),
        }
    }

    /// Asks for a rescan, and wakes whoever waits for the next hint. Where there is no room for that they are awake: they
    /// look whether one was asked for when they are through with what is there.
    fn miss(&self) {
        self.rescan.store(true, Ordering::Release);
        let _ = self.queue.try_send(Hint { name: OsString::new(), renamed_in: false });
    }
}

/// Why a folder is not watched natively.
#[derive(Debug, thiserror::Error)]
pub(super) enum WatchError {
    /// The system refused.
    #[error("cannot watch the spool: {0}")]
    Refused(#[from] notify::Error),
    /// The system agreed, and yet says nothing: network mounts and some containers do that.
    #[error("the spool's file system delivers no change events")]
    Silent,
    /// The probe could not be written.
    #[error("cannot write to the spool: {0}")]
    Unwritable(#[from] std::io::Error),
}

/// Watches one flat folder; with `patience`, proves with a probe file that events arrive.
pub(super) fn watch(
    spool: &Path,
    sink: &HintSink,
    patience: Option<Duration>,
) -> Result<RecommendedWatcher, WatchError> {
    let sink = HintSink { probe: Arc::default(), ..sink.clone() };
    let for_events = sink.clone();
    let mut watcher = notify::recommended_watcher(move |event| for_events.accept(event))?;
    watcher.watch(spool, RecursiveMode::NonRecursive)?;
    let Some(patience) = patience else { return Ok(watcher) };

    let name: OsString = format!(".atles-probe-{}", std::process::id()).into();
    let (heard, listen) = sync_channel(1);
    let _ = sink.probe.set((name.clone(), heard));
    let path = spool.join(name);
    std::fs::write(&path, [])?;
    let answer = listen.recv_timeout(patience);
    std::fs::remove_file(&path)?;
    match answer {
        Ok(()) => Ok(watcher),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(WatchError::Silent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink(room: usize) -> (HintSink, std::sync::mpsc::Receiver<Hint>, Arc<AtomicBool>) {
        let (queue, hints) = sync_channel(room);
        let rescan = Arc::new(AtomicBool::new(false));
        (HintSink::new(queue, rescan.clone(), None), hints, rescan)
    }

    #[test]
    fn an_overflow_without_a_path_asks_for_a_rescan() {
        let (sink, hints, rescan) = sink(4);
        sink.accept(Ok(Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan)));
        assert!(rescan.load(Ordering::Acquire));
        assert_eq!(hints.try_recv().unwrap().name, "", "whoever waits is woken");
    }

    #[test]
    fn a_full_queue_asks_for_a_rescan_and_does_not_block() {
        let (sink, hints, rescan) = sink(1);
        let created =
            |name: &str| Event::new(EventKind::Create(notify::event::CreateKind::File)).add_path(name.into());
        sink.accept(Ok(created("/spool/a.json")));
        assert!(!rescan.load(Ordering::Acquire));
        sink.accept(Ok(created("/spool/b.json")));
        assert!(rescan.load(Ordering::Acquire));
        assert_eq!(hints.recv().unwrap(), Hint { name: "a.json".into(), renamed_in: false });
    }

    #[test]
    fn a_rename_into_the_folder_is_told_from_a_write() {
        let dir = tempfile::tempdir().unwrap();
        let (sink, hints, _) = sink(64);
        let _watcher = watch(dir.path(), &sink, Some(Duration::from_secs(5))).unwrap();
        std::fs::write(dir.path().join(".a.json.tmp"), "{}").unwrap();
        std::fs::rename(dir.path().join(".a.json.tmp"), dir.path().join("a.json")).unwrap();
        let renamed = std::iter::from_fn(|| hints.recv_timeout(Duration::from_secs(5)).ok())
            .find(|hint| hint.name == "a.json")
            .unwrap();
        assert!(renamed.renamed_in);
    }

    #[test]
    fn a_live_file_is_told_to_who_looks_after_it_and_to_nobody_else() {
        let (live, names) = LiveHints::new();
        let (queue, hints) = sync_channel(4);
        let sink = HintSink::new(queue, Arc::default(), Some(live.clone()));
        let written = |name: &str| {
            Event::new(EventKind::Modify(ModifyKind::Any)).add_path(format!("/spool/{name}").into())
        };
        sink.accept(Ok(written(".live-1.jsonl")));
        assert_eq!(names.try_recv().unwrap(), ".live-1.jsonl");
        assert!(hints.try_recv().is_err() && !live.take_missed());
        (0..=LIVE_NAMES).for_each(|_| sink.accept(Ok(written(".live-1.jsonl"))));
        assert!(live.take_missed() && !live.take_missed());
        sink.accept(Ok(Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan)));
        assert!(live.take_missed());
    }
}
