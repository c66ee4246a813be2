//! The thread that trains beside the pipeline, one run at a time.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::{error, info, warn};

use super::execute::{Desk, base};
use super::{Phase, Run, RunFailure, Standing, Tally, backend, due, execute, publishers, report};
use crate::config::{Training, TriggerMode};
use crate::platform;
use crate::spool::Home;
use crate::training::set::TrainingSet;
use crate::training::versions::Versions;

/// How often the set is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often the versions are read again although the set did not change.
const AGAIN: Duration = Duration::from_secs(30);
/// The first pause after a failed run; it doubles up to [`LONGEST`].
const PAUSE: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(6 * 3600);

/// The runs of one home.
#[derive(Debug)]
pub struct Manager {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    shared: Arc<Shared>,
    settings: Mutex<Training>,
}

/// What the thread is asked.
enum Order {
    /// These settings from now on.
    Settings(Box<Training>),
    /// Do what is due, now, and answer when it is done.
    Finish(Sender<()>),
}

#[derive(Debug, Default)]
struct Shared {
    running: Mutex<Option<Running>>,
    queued: AtomicU64,
    promoted: AtomicU64,
}

/// The run that is under way.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Running {
    /// Its name.
    pub run: String,
    /// Steps done.
    pub step: u64,
    /// Steps in all; 0 where that is not known (yet).
    pub steps: u64,
}

impl Manager {
    /// Starts the thread. With `once` it begins nothing by itself: see [`Manager::finish_due`].
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(home: &Home, config_dir: PathBuf, settings: Training, once: bool) -> std::io::Result<Self> {
        let (orders, inbox) = channel();
        let (stop, shared) = (Arc::new(AtomicBool::new(false)), Arc::new(Shared::default()));
        let known = Mutex::new(settings.clone());
        let worker = Worker {
            tally: Tally::of(TrainingSet::of(home)),
            versions: Versions::of(home),
            home: home.clone(),
            config_dir,
            settings,
            once,
            stop: stop.clone(),
            shared: shared.clone(),
            standing: Standing::default(),
            counted: None,
            not_before: None,
            pause: PAUSE,
            too_little: None,
        };
        let thread = std::thread::Builder::new().name("training".into()).spawn(move || worker.run(&inbox))?;
        Ok(Manager { orders: Some(orders), thread: Some(thread), stop, shared, settings: known })
    }

    /// Takes over `[training]` as it is now; a run that is under way keeps what it began with.
    pub fn set_settings(&self, settings: &Training) {
        let mut known = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != *settings {
            known.clone_from(settings);
            self.order(Order::Settings(Box::new(settings.clone())));
        }
    }

    /// The run that is under way.
    pub fn running(&self) -> Option<Running> {
        self.shared.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers that wait for a run.
    pub fn queued(&self) -> u64 {
        self.shared.queued.load(Ordering::Relaxed)
    }

    /// Versions that were promoted over the life of the home.
    pub fn promoted(&self) -> u64 {
        self.shared.promoted.load(Ordering::Relaxed)
    }

    /// Does what is due, and comes back when it is done or was stopped.
    pub fn finish_due(&self) {
        let (reply, done) = channel();
        self.order(Order::Finish(reply));
        let _ = done.recv();
    }

    /// Makes a run that is under way stop within a second; it goes on at the next start.
    pub fn stopper(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            let _ = orders.send(order);
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.orders = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the training thread panicked");
        }
    }
}

/// The thread's own things.
struct Worker {
    tally: Tally,
    versions: Versions,
    home: Home,
    config_dir: PathBuf,
    settings: Training,
    once: bool,
    stop: Arc<AtomicBool>,
    shared: Arc<Shared>,
    standing: Standing,
    counted: Option<Instant>,
    not_before: Option<Instant>,
    pause: Duration,
    /// What was there when it was too little; with the same again nothing is tried.
    too_little: Option<Standing>,
}

impl Worker {
    fn run(mut self, inbox: &Receiver<Order>) {
        platform::be_nice();
        loop {
            match inbox.recv_timeout(platform::hurried(LOOK)) {
                Ok(Order::Settings(settings)) => {
                    self.settings = *settings;
                    (self.not_before, self.too_little, self.pause) = (None, None, PAUSE);
                }
                Ok(Order::Finish(reply)) => {
                    self.count(true);
                    self.train_if_due(true);
                    let _ = reply.send(());
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.count(false);
                    if !self.once {
                        self.train_if_due(false);
                        self.publish_if_due();
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Looks at what waits.
    fn count(&mut self, anyway: bool) {
        let changed = self.tally.read_on().unwrap_or_else(|problem| {
            warn!(error = %problem, "the training set cannot be read");
            false
        });
        let stale = self.counted.is_none_or(|at| at.elapsed() >= platform::hurried(AGAIN));
        if !changed && !stale && !anyway {
            return;
        }
        self.counted = Some(Instant::now());
        self.standing = self.tally.standing(&self.versions);
        self.shared.queued.store(self.standing.new_answers as u64, Ordering::Relaxed);
        let promoted = self.versions.list().iter().filter(|version| version.is_promoted()).count();
        self.shared.promoted.store(promoted as u64, Ordering::Relaxed);
    }

    fn train_if_due(&mut self, once: bool) {
        let stopped = self.stop.load(Ordering::Relaxed);
        let waiting = self.not_before.is_some_and(|at| Instant::now() < at);
        if stopped || (waiting && !once) || self.too_little.as_ref() == Some(&self.standing) {
            return;
        }
        let broken_off =
            self.settings.trigger.mode != TriggerMode::Manual && Desk::of(&self.home).plan().exists();
        let due = due(&self.settings.trigger, &self.standing, Timestamp::now(), &TimeZone::system(), once);
        let Some(reason) = due.or(broken_off.then_some("it was broken off")) else { return };
        info!(
            reason,
            sessions = self.standing.new_sessions,
            answers = self.standing.new_answers,
            "a training run begins"
        );
        let result = self.train();
        *self.shared.running.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.note(result);
        self.count(true);
    }

    /// Publishes what could not be published before, and what was promoted by hand.
    fn publish_if_due(&self) {
        if !self.stop.load(Ordering::Relaxed) {
            // What came of it is in the log and in models/publish.json.
            drop(
                crate::publish::Desk::new(&self.settings.publish, &self.home)
                    .catch_up(&self.home, &self.stop),
            );
        }
    }

    /// Looks for the base before the whole set is read and split for a run that cannot be. A run that was broken off
    /// has its plan already, and one that something was forgotten for has more to do than to train.
    fn base_is_there(&self) -> Result<(), RunFailure> {
        if self.standing.retrain || Desk::of(&self.home).plan().exists() {
            return Ok(());
        }
        let Err(missing) = base(&self.settings, &self.config_dir, &self.home) else { return Ok(()) };
        report::log_no_run(&self.home, &self.settings.base, self.standing.sessions, &missing);
        Err(missing)
    }

    fn train(&mut self) -> Result<(), RunFailure> {
        self.base_is_there()?;
        let shared = self.shared.clone();
        let mut run_name = String::new();
        let mut watch = |phase: &Phase<'_>| {
            let mut running = shared.running.lock().unwrap_or_else(PoisonError::into_inner);
            match phase {
                Phase::Planned(plan) => run_name.clone_from(&plan.run),
                Phase::Training(progress) => {
                    *running =
                        Some(Running { run: run_name.clone(), step: progress.step, steps: progress.steps });
                    return;
                }
                Phase::MeasuringBefore | Phase::MeasuringAfter | Phase::Publishing(_) => {}
            }
            let (step, steps) = running.as_ref().map_or((0, 0), |running| (running.step, running.steps));
            *running = Some(Running { run: run_name.clone(), step, steps });
        };
        let mut backend = backend(&self.settings, &self.config_dir)?;
        let mut publishers = publishers(&self.settings, &self.home);
        let mut run = Run {
            home: &self.home,
            config_dir: &self.config_dir,
            settings: &self.settings,
            backend: &mut *backend,
            publishers: &mut publishers,
            stop: &self.stop,
        };
        execute(&mut run, &mut watch).map(drop)
    }

    /// Draws the conclusions for the next try.
    fn note(&mut self, result: Result<(), RunFailure>) {
        match result {
            Ok(()) => (self.not_before, self.pause, self.too_little) = (None, PAUSE, None),
            Err(RunFailure::Stopped) => info!("the training run was stopped; it goes on at the next start"),
            Err(RunFailure::Busy) => self.not_before = Some(Instant::now() + Duration::from_secs(10)),
            Err(failure @ RunFailure::TooLittle(_)) => {
                info!(reason = %failure, "no training run");
                report::log_no_run(&self.home, &self.settings.base, self.standing.sessions, &failure);
                self.too_little = Some(self.standing.clone());
            }
            Err(failure) => {
                warn!(
                    error = %failure, hint = failure.hint(), again_in = ?self.pause,
                    "a training run failed; the sessions stay queued, and the current version stays"
                );
                self.not_before = Some(Instant::now() + self.pause);
                self.pause = (self.pause * 2).min(LONGEST);
            }
        }
    }
}
