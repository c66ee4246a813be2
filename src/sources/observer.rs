//! The thread that watches the sources.
//!
//! It owns what it needs and shares nothing with the spool's intake: to the spool it is one more program that drops
//! files.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::error;

use super::account::{Accounts, SourceReport};
use super::program::Program;
use super::source::Hint;
use super::worker::Worker;
use crate::spool::Home;
use crate::state::State;

/// Paths that may wait to be looked at; beyond that a rescan is cheaper.
const HINTS: usize = 4096;
/// The shortest pause between two looks.
const SHORTEST: Duration = Duration::from_millis(50);

/// One source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObserverSettings {
    /// The folder, or the database, of the program.
    pub path: PathBuf,
    /// The program.
    pub program: Program,
    /// How long a conversation must have been at rest.
    pub quiet: Duration,
    /// Whose chats they are; `None`: as the program says, if it does.
    pub user: Option<String>,
}

/// The thread that watches the sources.
#[derive(Debug)]
pub struct Observer {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    wake: SyncSender<Hint>,
    /// Sources that are to take the place of those that are watched.
    others: Others,
    accounts: Accounts,
    state: State,
}

type Others = Arc<Mutex<Option<Vec<ObserverSettings>>>>;

impl Observer {
    /// Starts watching.
    ///
    /// # Errors
    /// If no thread can be started, or the spool cannot be read.
    pub fn start(
        home: &Home,
        state: State,
        sources: Vec<ObserverSettings>,
        max_size: u64,
    ) -> io::Result<Self> {
        let (wake, hints) = sync_channel(HINTS);
        let stop = Arc::new(AtomicBool::new(false));
        let worker = Worker::new(home, state.clone(), sources, max_size, stop.clone())?;
        let accounts = worker.accounts.clone();
        let (sink, others) = (wake.clone(), Others::default());
        let asked = others.clone();
        let thread = std::thread::Builder::new()
            .name("sources".into())
            .spawn(move || run(worker, &hints, &sink, &asked))?;
        Ok(Observer { thread: Some(thread), stop, wake, others, accounts, state })
    }

    /// Has other sources watched from now on. Those that stay the same are watched on.
    pub fn watch_instead(&self, sources: Vec<ObserverSettings>) {
        *self.others.lock().unwrap_or_else(PoisonError::into_inner) = Some(sources);
        let _ = self.wake.try_send(Hint::Wake);
    }

    /// How the sources stand, in the order of pipeline.toml.
    pub fn report(&self) -> Vec<SourceReport> {
        self.accounts.report(&self.state)
    }

    /// Reads every source a single time and hands over what is at rest.
    ///
    /// # Errors
    /// If the spool cannot be read.
    pub fn look_once(
        home: &Home,
        state: State,
        sources: Vec<ObserverSettings>,
        max_size: u64,
    ) -> io::Result<()> {
        let mut worker = Worker::new(home, state, sources, max_size, Arc::default())?;
        worker.backpressure = false;
        worker.scan(true);
        worker.attend();
        Ok(())
    }

    /// Asks it to stop.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.wake.try_send(Hint::Wake);
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the thread of the sources panicked");
        }
    }
}

fn run(mut worker: Worker, hints: &Receiver<Hint>, sink: &SyncSender<Hint>, others: &Others) {
    worker.count_what_is_learned();
    while !worker.stopped() {
        if let Some(sources) = others.lock().unwrap_or_else(PoisonError::into_inner).take() {
            worker.watch_instead(sources);
        }
        for source in &mut worker.sources {
            source.keep_watching(sink);
        }
        worker.scan(false);
        worker.tell();
        worker.attend();
        worker.tell();
        match hints.recv_timeout(worker.until_next().max(SHORTEST)) {
            Ok(hint) => {
                worker.take(hint);
                while let Ok(hint) = hints.try_recv() {
                    worker.take(hint);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
