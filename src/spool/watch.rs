use std::ffi::OsString;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use serde::{Deserialize, Serialize};

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

/// Where hints go. Never blocks: when the queue is full, or events were lost, a rescan is asked for instead.
#[derive(Debug, Clone)]
pub(super) struct HintSink {
    queue: SyncSender<Hint>,
    rescan: Arc<AtomicBool>,
    probe: Arc<OnceLock<(OsString, SyncSender<()>)>>,
}

impl HintSink {
    pub(super) fn new(queue: SyncSender<Hint>, rescan: Arc<AtomicBool>) -> Self {
        HintSink { queue, rescan, probe: Arc::default() }
    }

    fn accept(&self, event: notify::Result<Event>) {
        let event = match event {
            Ok(event) if !event.need_rescan() => event,
            _ => return self.rescan.store(true, Ordering::Release),
        };
        let renamed_in = match event.kind {
            EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) => true,
            EventKind::Modify(ModifyKind::Name(RenameMode::From)) => return,
            EventKind::Create(_) | EventKind::Modify(_) => false,
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
            _ => return,
        };
        let Some(name) = event.paths.last().and_then(|path| path.file_name()) else { return };
        if let Some((probe, heard)) = self.probe.get()
            && probe == name
        {
            let _ = heard.try_send(());
            return;
        }
        match self.queue.try_send(Hint { name: name.to_os_string(), renamed_in }) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => self.rescan.store(true, Ordering::Release),
        }
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
        (HintSink::new(queue, rescan.clone()), hints, rescan)
    }

    #[test]
    fn an_overflow_without_a_path_asks_for_a_rescan() {
        let (sink, hints, rescan) = sink(4);
        sink.accept(Ok(Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan)));
        assert!(rescan.load(Ordering::Acquire));
        assert!(hints.try_recv().is_err());
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
}
