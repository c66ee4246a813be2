//! The daemon's life on one screen.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use super::boot::{BootError, Booted, boot};
use super::control::{Request, Response};
use super::reload::Reload;
use super::statistics::StatisticsFile;
use super::{Report, Services};
use crate::config::{Loaded, Settings, Span, Watcher};
use crate::pipeline::{Engine, Parts, Stop};
use crate::platform::{self, Clock};
use crate::session::formats::looks_complete;
use crate::sources::{Observer, ObserverSettings};
use crate::spool::{
    Claimed, Home, InstanceLock, Intake, IntakeSettings, NameFilter, Retention, WatcherKind, sweep,
};
use crate::state::{State, Totals};

/// How often pipeline.toml is looked at and the statistics are written.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// How often old files are looked for, where the user limits their age.
const SWEEP: Duration = Duration::from_secs(3600);

/// A daemon that has started.
pub struct Daemon {
    home: Home,
    state: State,
    engine: Engine,
    intake: Intake,
    observer: Option<Observer>,
    reload: Reload,
    asked: mpsc::Receiver<Asked>,
    statistics: StatisticsFile,
    started: Instant,
    kept_house: Option<Instant>,
    swept: Option<Instant>,
    _lock: InstanceLock,
}

#[cfg(unix)]
type Asked = super::control::server::Asked;
#[cfg(not(unix))]
type Asked = (Request, tokio::sync::oneshot::Sender<Response>);

/// How a daemon's life ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// All that was there is settled (`once`), or a stop was asked for and everything under way finished.
    Well,
    /// The deadline passed; what was under way is resumed at the next start.
    Deadline,
    /// `once` gave up: our own storage is in trouble.
    Stuck(String),
}

/// What a caller can see while a daemon runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Running {
    /// Files settled since the start.
    pub settled: u64,
    /// Dead letters since the start.
    pub failed: u64,
    /// Files that wait to be tried again.
    pub parked: usize,
    /// Counts over the life of the home.
    pub totals: Totals,
}

impl Daemon {
    /// Opens the home and starts everything. Must be called inside a tokio runtime. With `once`, the daemon works
    /// through what is there and ends.
    ///
    /// # Errors
    /// See [`BootError`]; nothing runs then.
    pub fn start(loaded: Loaded, services: Services, once: bool) -> Result<Self, BootError> {
        let settings = loaded.config.settings.clone();
        let Booted { home, state, memory, lock } = boot(&loaded.config, &services)?;
        let examples = services.examples();
        let sources = loaded.config.sources.clone();
        let reload = Reload::new(loaded, services);
        let (claimed, from_intake) = mpsc::channel(settings.workers.in_flight);
        let parts = Parts {
            home: home.clone(),
            state: state.clone(),
            memory,
            examples,
            chain: reload.chain(),
            clock: Clock::default(),
            in_flight: settings.workers.in_flight,
            once,
        };
        let engine = Engine::start(parts, from_intake)?;
        let spool_trouble = |source| BootError::File { path: home.spool.clone(), source };
        let observer =
            start_observer(&home, &state, sources, settings.spool.max_size.0, once).map_err(spool_trouble)?;
        let intake = start_intake(&home, &settings, claimed, once).map_err(spool_trouble)?;
        let asked = start_control(&home);
        info!(
            home = %home.root.display(), version = env!("CARGO_PKG_VERSION"), stages = reload.stages.len(),
            recovered = engine.recovered, "started"
        );
        Ok(Daemon {
            statistics: StatisticsFile::new(home.clone()),
            started: Instant::now(),
            kept_house: None,
            swept: None,
            _lock: lock,
            home,
            state,
            engine,
            intake,
            observer,
            reload,
            asked,
        })
    }

    /// The ledger, to be read after the end.
    pub fn state(&self) -> State {
        self.state.clone()
    }

    /// Runs until stopped by a signal, or (`once`) until all is done.
    pub async fn run(self) -> Ended {
        self.run_watched(HOUSEKEEPING, |_| ()).await
    }

    /// Runs like [`Daemon::run`], and tells every so often, and at the end, how it stands.
    pub async fn run_watched(mut self, every: Duration, mut watch: impl FnMut(Running)) -> Ended {
        let mut signals = Signals::new();
        let mut tick = interval(every.min(HOUSEKEEPING));
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut stop = None;
        let ended = loop {
            tokio::select! {
                result = self.engine.ended() => break match (result, stop) {
                    (Err(reason), _) => Ended::Stuck(reason),
                    (Ok(()), Some(StopAsked { late: true, .. })) => Ended::Deadline,
                    (Ok(()), _) => Ended::Well,
                },
                () = signals.next() => self.on_signal(&mut stop),
                Some((request, reply)) = self.asked.recv() => {
                    let response = self.answer(request, &mut stop).await;
                    let _ = reply.send(response);
                }
                _ = tick.tick() => {
                    watch(self.running());
                    self.keep_house();
                }
                () = deadline(stop) => {
                    warn!("the deadline for stopping has passed; what is under way is resumed at the next start");
                    stop = stop.map(|asked| StopAsked { late: true, ..asked });
                    self.engine.stop(Stop::Now);
                }
            }
        };
        watch(self.running());
        self.finish(&ended).await;
        ended
    }

    fn on_signal(&mut self, stop: &mut Option<StopAsked>) {
        if stop.is_some() {
            warn!("second signal: stopping at once; what is under way is resumed at the next start");
            std::process::exit(130);
        }
        self.begin_stop(stop);
    }

    fn begin_stop(&mut self, stop: &mut Option<StopAsked>) {
        info!(deadline = %self.reload.settings().shutdown.deadline, "stopping: finishing what is under way");
        self.intake.stop();
        if let Some(observer) = &self.observer {
            observer.stop();
        }
        self.engine.stop(Stop::Draining);
        stop.get_or_insert(StopAsked {
            until: Instant::now() + self.reload.settings().shutdown.deadline.0,
            late: false,
        });
    }

    async fn finish(self, ended: &Ended) {
        let Daemon { engine, intake, observer, home, mut statistics, .. } = self;
        let totals = engine.totals();
        // Both wait for threads.
        let waited = tokio::task::spawn_blocking(move || {
            drop(observer);
            drop(intake);
            engine.finish();
        });
        if waited.await.is_err() {
            error!("the pipeline did not end cleanly");
        }
        if let Err(problem) = statistics.write(totals, 0, 0) {
            warn!(error = %problem, "the statistics cannot be written");
        }
        let _ = std::fs::remove_file(home.socket());
        info!(?ended, learned = totals.files_learned, failed = totals.failed, "stopped");
    }

    fn running(&self) -> Running {
        let gauges = &self.engine.gauges;
        Running {
            settled: gauges.settled.load(Ordering::Relaxed),
            failed: gauges.failed.load(Ordering::Relaxed),
            parked: gauges.parked.load(Ordering::Relaxed),
            totals: self.engine.totals(),
        }
    }

    fn keep_house(&mut self) {
        if self.kept_house.is_some_and(|at| at.elapsed() < HOUSEKEEPING) {
            return;
        }
        self.kept_house = Some(Instant::now());
        self.reload.poll();
        let running = self.running();
        let in_flight = self.engine.gauges.in_flight.load(Ordering::Relaxed) as u64;
        if let Err(problem) = self.statistics.write(running.totals, in_flight, running.parked as u64) {
            warn!(error = %problem, "the statistics cannot be written");
        }
        if self.swept.is_none_or(|at| at.elapsed() >= SWEEP) {
            self.swept = Some(Instant::now());
            self.sweep();
        }
    }

    fn sweep(&self) {
        let limits = &self.reload.settings().retention;
        let days = |limit: Option<Span>| limit.map(|span| span.0);
        let limits =
            Retention { done: days(limits.done), failed: days(limits.failed), logs: days(limits.logs) };
        match sweep(&self.home, limits, SystemTime::now()) {
            Ok(0) => {}
            Ok(deleted) => info!(deleted, "deleted files that are older than [retention] allows"),
            Err(problem) => warn!(error = %problem, "old files cannot be looked for"),
        }
    }

    async fn answer(&mut self, request: Request, stop: &mut Option<StopAsked>) -> Response {
        match request {
            Request::Status => Response::Status(Box::new(self.report())),
            Request::TakeBack { name } => {
                self.engine.take_back(platform::name_from_bytes(name)).await;
                Response::Ok
            }
            Request::Stop => {
                self.begin_stop(stop);
                Response::Ok
            }
        }
    }

    fn report(&self) -> Report {
        let (gauges, intake) = (&self.engine.gauges, &self.intake.status);
        let report = Report {
            running: true,
            pid: Some(std::process::id()),
            version: env!("CARGO_PKG_VERSION").into(),
            pipeline: Some(self.reload.path().display().to_string()),
            stages: self.reload.stages.clone(),
            pipeline_problem: self.reload.problem.clone(),
            uptime_seconds: self.started.elapsed().as_secs(),
            watcher: read(&intake.watcher).to_owned(),
            paused: read(&gauges.paused).or_else(|| read(&intake.trouble)),
            settling: intake.waiting.load(Ordering::Relaxed) as u64,
            in_flight: gauges.in_flight.load(Ordering::Relaxed) as u64,
            retrying: gauges.parked.load(Ordering::Relaxed) as u64,
            undelivered: self.engine.undelivered(),
            totals: Some(self.engine.totals()),
            ..Report::default()
        };
        report.look_at(&self.home)
    }
}

fn read<T: Clone>(shared: &Mutex<T>) -> T {
    shared.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A stop that was asked for, and when patience ends.
#[derive(Debug, Clone, Copy)]
struct StopAsked {
    until: Instant,
    late: bool,
}

/// Passes once the deadline of a stop has; never where none was asked for.
async fn deadline(stop: Option<StopAsked>) {
    match stop {
        Some(StopAsked { until, late: false }) => tokio::time::sleep_until(until.into()).await,
        _ => std::future::pending().await,
    }
}

/// Without sources there is no thread. With `once` they are read before the spool is, so that what they hold is learned
/// in the same run.
fn start_observer(
    home: &Home,
    state: &State,
    sources: Vec<ObserverSettings>,
    max_size: u64,
    once: bool,
) -> io::Result<Option<Observer>> {
    if sources.is_empty() {
        return Ok(None);
    }
    if once {
        return Observer::look_once(home, state.clone(), sources, max_size).map(|()| None);
    }
    Observer::start(home, state.clone(), sources, max_size).map(Some)
}

fn start_intake(
    home: &Home,
    settings: &Settings,
    claimed: mpsc::Sender<Claimed>,
    once: bool,
) -> io::Result<Intake> {
    let spool = &settings.spool;
    let include: Vec<String> = spool.include.iter().map(ToString::to_string).collect();
    let settings = IntakeSettings {
        names: NameFilter::new(&include),
        settle: spool.settle.0,
        grace: spool.grace.0,
        rescan: spool.rescan.0,
        max_size: spool.max_size.0,
        watcher: match spool.watcher {
            Watcher::Auto => WatcherKind::Auto,
            Watcher::Native => WatcherKind::Native,
            Watcher::Poll => WatcherKind::Poll,
        },
        looks_complete,
    };
    Intake::start(home.clone(), settings, claimed, once)
}

/// Without a socket the daemon learns all the same; it only cannot be asked.
fn start_control(home: &Home) -> mpsc::Receiver<Asked> {
    let (inbox, asked) = mpsc::channel(8);
    #[cfg(unix)]
    if let Err(problem) = super::control::server::listen(home, inbox) {
        warn!(error = %problem, "no control socket; `atles status` will tell only what the folders tell");
    }
    #[cfg(not(unix))]
    drop((home, inbox));
    asked
}

/// SIGINT and SIGTERM, and their like elsewhere.
struct Signals {
    #[cfg(unix)]
    terminate: Option<tokio::signal::unix::Signal>,
}

impl Signals {
    fn new() -> Self {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Signals { terminate: signal(SignalKind::terminate()).ok() }
        }
        #[cfg(not(unix))]
        Signals {}
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(terminate) = &mut self.terminate {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
        let _ = tokio::signal::ctrl_c().await;
    }
}
