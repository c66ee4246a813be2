//! Starts the pipeline's parts and stops them in order.

use std::io;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tracing::error;

use super::chain::Chain;
use super::dispatcher::{Dispatcher, Gauges};
use super::recorder::Recorder;
use super::recovery::{self, Recovered};
use super::reservations::Reservations;
use super::runner::{Runner, Stop};
use super::settler::{Order, Settler, SharedTotals};
use super::stems::Stems;
use crate::forget::Forgotten;
use crate::memory::Writer;
use crate::outbox::{Courier, Journal, Syncer};
use crate::platform::Clock;
use crate::spool::{Claimed, Home};
use crate::state::{State, StateError, Totals};
use crate::training::SeenExamples;

/// What the pipeline is made of.
pub struct Parts {
    /// The folders.
    pub home: Home,
    /// The ledger.
    pub state: State,
    /// memory.db.
    pub memory: Writer,
    /// The training examples of all sessions.
    pub examples: Arc<SeenExamples>,
    /// What was forgotten and shall not come back.
    pub forgotten: Arc<Forgotten>,
    /// The chain; it may be swapped while the pipeline runs.
    pub chain: Arc<ArcSwap<Chain>>,
    /// The time of day.
    pub clock: Clock,
    /// Files under way at once.
    pub in_flight: usize,
    /// End when nothing is left to do.
    pub once: bool,
}

/// Why the pipeline could not start.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The state store failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// A folder, a file or a thread failed.
    #[error("cannot start the pipeline: {0}")]
    Io(#[from] io::Error),
}

/// The running pipeline.
pub struct Engine {
    /// What it is doing.
    pub gauges: Arc<Gauges>,
    /// What recovery found in `work/` at the start.
    pub recovered: usize,
    totals: SharedTotals,
    courier: Arc<Courier>,
    stop: watch::Sender<Stop>,
    returned: mpsc::Sender<Claimed>,
    settler: std::sync::mpsc::Sender<Order>,
    dispatcher: Option<tokio::task::JoinHandle<Result<(), String>>>,
    threads: Vec<(&'static str, JoinHandle<()>)>,
}

impl Engine {
    /// Recovers what an earlier run left, and starts. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// If what was left cannot be read, or a thread cannot be started.
    pub fn start(parts: Parts, claimed: mpsc::Receiver<Claimed>) -> Result<Self, EngineError> {
        let Parts { home, state, memory, examples, forgotten, chain, clock, in_flight, once } = parts;
        let journal = Journal::open(&home.outbox())?;
        let known = state.clone();
        let settled = move |key: &crate::session::SessionKey| matches!(known.learned_by(key), Ok(Some(_)));
        let courier = Arc::new(Courier::start(&home, journal.end().segment, &settled)?);
        let Recovered { parked, moved, files } = recovery::recover(&home, &state, &clock)?;
        let mut totals = state.totals()?;
        if totals.since == 0 {
            totals.since = clock.millis();
        }
        let totals: SharedTotals = Arc::new(Mutex::new(totals));
        let (stop, stopping) = watch::channel(Stop::No);
        let (to_recorder, from_runner) = channel();
        let (to_settler, orders) = channel();
        let (returned, from_failed) = mpsc::channel(64);

        let settler = Settler {
            home: home.clone(),
            state: state.clone(),
            clock: clock.clone(),
            courier: courier.clone(),
            totals: totals.clone(),
            moved,
            unmoved: Vec::new(),
            totals_unsure: false,
        };
        let recorder = Recorder {
            home: home.clone(),
            memory,
            journal,
            syncer: Syncer::start()?,
            state: state.clone(),
            clock: clock.clone(),
            stems: Stems::default(),
        };
        let for_recorder = to_settler.clone();
        let threads = vec![
            ("recorder", spawn("recorder", move || recorder.run(&from_runner, &for_recorder))?),
            ("settler", spawn("settler", move || settler.run(&orders))?),
        ];
        let runner = Arc::new(Runner {
            home: home.clone(),
            state,
            clock,
            reservations: Reservations::default(),
            examples,
            forgotten,
            recorder: to_recorder,
            settler: to_settler.clone(),
            stop: stopping.clone(),
            room: tokio::sync::Semaphore::new(super::runner::ROOM_KIB as usize),
        });
        let gauges = Arc::new(Gauges::default());
        let dispatcher =
            Dispatcher { home, runner, chain, gauges: gauges.clone(), in_flight, stop: stopping, once };
        let dispatcher = tokio::spawn(dispatcher.run(claimed, from_failed, parked));
        Ok(Engine {
            gauges,
            recovered: files,
            totals,
            courier,
            stop,
            returned,
            settler: to_settler,
            dispatcher: Some(dispatcher),
            threads,
        })
    }

    /// The counts over the life of the home.
    pub fn totals(&self) -> Totals {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Batches whose small files are still to be written.
    pub fn undelivered(&self) -> u64 {
        self.courier.backlog()
    }

    /// Takes a file that was moved from `failed/` back to `work/`.
    pub async fn take_back(&self, name: std::ffi::OsString) {
        let (reply, done) = tokio::sync::oneshot::channel();
        if self.settler.send(Order::Unfail { reply }).is_ok() {
            let _ = done.await;
        }
        let _ = self.returned.send(Claimed::found(name)).await;
    }

    /// Waits until the pipeline has ended by itself (`once`) or was stopped. `Err` says why `once` gave up.
    pub async fn ended(&mut self) -> Result<(), String> {
        let Some(dispatcher) = self.dispatcher.as_mut() else { return Ok(()) };
        let result = dispatcher.await;
        self.dispatcher = None;
        result.unwrap_or_else(|panic| Err(format!("the dispatcher panicked: {panic}")))
    }

    /// Asks for a stop. Going back is not possible.
    pub fn stop(&self, how: Stop) {
        self.stop.send_if_modified(|now| {
            let further = how > *now;
            *now = (*now).max(how);
            further
        });
    }

    /// Waits for what is being written, down to the small files.
    pub fn finish(self) {
        let Engine { settler, threads, courier, dispatcher, .. } = self;
        drop(dispatcher);
        drop(settler);
        for (name, thread) in threads {
            if thread.join().is_err() {
                error!(name, "a thread of the pipeline panicked");
            }
        }
        // The settler has let go of it, so this ends the courier: it delivers what was released and stops.
        drop(courier);
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(work)
}
