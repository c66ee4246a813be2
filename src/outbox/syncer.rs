use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::Journal;
use super::journal::sync;
use crate::platform;

/// A thread that syncs the journal while something else is done. To start one for each sync would take about as long as
/// the sync.
#[derive(Debug)]
pub struct Syncer {
    /// `None` once it is to end.
    orders: Option<Sender<Arc<File>>>,
    results: Receiver<io::Result<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// Starts the thread.
    ///
    /// # Errors
    /// If none is to be had.
    pub fn start() -> io::Result<Self> {
        let (orders, inbox) = channel();
        let (results, outbox) = channel();
        let work = move || inbox.iter().all(|file: Arc<File>| results.send(synced(&file)).is_ok());
        let thread = std::thread::Builder::new().name("journal".into()).spawn(move || {
            work();
        })?;
        Ok(Syncer { orders: Some(orders), results: outbox, thread: Some(thread) })
    }

    /// Makes what was written to the journal durable while `beside` runs; waits for both.
    pub fn sync_while<T>(&self, journal: &Journal, beside: impl FnOnce() -> T) -> (io::Result<()>, T) {
        let file = journal.file();
        let begun = self.orders.as_ref().is_some_and(|orders| orders.send(file.clone()).is_ok());
        let done = beside();
        let result = if begun { self.results.recv().ok() } else { None };
        (result.unwrap_or_else(|| synced(file)), done)
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn synced(segment: &File) -> io::Result<()> {
    sync(segment)?;
    platform::failpoint("recorder.journal_synced");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_beside_is_done_and_its_result_comes_with_that_of_the_sync() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let syncer = Syncer::start().unwrap();
        for number in 0..3 {
            let (synced, done) = syncer.sync_while(&journal, || number);
            assert!(synced.is_ok());
            assert_eq!(done, number);
        }
    }
}
