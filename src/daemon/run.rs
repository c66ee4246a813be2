//! The daemon's life on one screen.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use super::boot::{BootError, Booted, Stores, boot};
use super::control::{Request, Response};
use super::forgetting::{Forgetting, patience};
use super::reload::Reload;
use super::signals::Signals;
use super::statistics::StatisticsFile;
use super::training::Runs;
use super::working::{Working, start_observer, start_pipeline};
use super::{Report, Services};
use crate::config::{Loaded, Span};
use crate::live::Keeper;
use crate::pipeline::{Engine, Stop};
use crate::platform;
use crate::sources::Observer;
use crate::spool::{Home, InstanceLock, Intake, Retention, sweep};
use crate::state::{State, Totals};

/// How often pipeline.toml is looked at and the statistics are written.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// How often old files are looked for, where the user limits their age.
const SWEEP: Duration = Duration::from_secs(3600);
/// The same, where the limit is shorter than that.
const SHORTEST_SWEEP: Duration = Duration::from_secs(60);

/// A daemon that has started.
pub struct Daemon {
    pub(super) home: Home,
    pub(super) state: State,
    pub(super) engine: Engine,
    pub(super) intake: Intake,
    /// `None` in a run that works through the spool once, and where memory.db cannot be opened a second time.
    pub(super) keeper: Option<Keeper>,
    pub(super) observer: Option<Observer>,
    pub(super) reload: Reload,
    pub(super) asked: mpsc::Receiver<Asked>,
    pub(super) signals: Signals,
    pub(super) statistics: StatisticsFile,
    pub(super) runs: std::sync::Arc<Runs>,
    pub(super) started: Instant,
    pub(super) kept_house: Option<Instant>,
    pub(super) swept: Option<Instant>,
    pub(super) services: Services,
    pub(super) once: bool,
    /// What shall be forgotten once nothing is under way.
    pub(super) forgetting: Option<Forgetting>,
    pub(super) lock: InstanceLock,
}

#[cfg(unix)]
type Asked = super::control::server::Asked;
#[cfg(not(unix))]
type Asked = (Request, Reply);
/// Where an answer goes.
pub(super) type Reply = tokio::sync::oneshot::Sender<Response>;

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
        let signals = Signals::new();
        let training = loaded.config.settings.training.clone();
        let config_dir = loaded.path.parent().map(std::path::Path::to_path_buf);
        let Booted { home, state, memory, forgotten, lock } = boot(&loaded.config, &services)?;
        let reload = Reload::new(loaded, services.clone());
        let stores = Stores { state: state.clone(), memory, forgotten };
        let Working { engine, intake, keeper, observer } =
            start_pipeline(&home, stores, &reload, &services, once)?;
        let asked = start_control(&home);
        let config_dir = config_dir.unwrap_or_else(|| home.root.clone());
        let runs = Runs::start(&home, &config_dir, &training, once)
            .map_err(|source| BootError::File { path: home.models(), source })?;
        info!(
            home = %home.root.display(), version = env!("CARGO_PKG_VERSION"), stages = reload.stages.len(),
            recovered = engine.recovered, "started"
        );
        Ok(Daemon {
            statistics: StatisticsFile::new(home.clone()),
            runs: std::sync::Arc::new(runs),
            started: Instant::now(),
            kept_house: None,
            swept: None,
            lock,
            home,
            state,
            engine,
            intake,
            keeper,
            observer,
            reload,
            asked,
            signals,
            services,
            once,
            forgetting: None,
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
        let mut tick = interval(platform::hurried(every.min(HOUSEKEEPING)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut stop = None;
        let ended = loop {
            tokio::select! {
                result = self.engine.ended() => match (result, stop) {
                    (Err(reason), _) => break Ended::Stuck(reason),
                    (Ok(()), Some(StopAsked { late: true, .. })) => break Ended::Deadline,
                    (Ok(()), None) if self.forgetting.is_some() => match self.forget().await {
                        Ok(daemon) => self = daemon,
                        Err(reason) => return Ended::Stuck(reason),
                    },
                    (Ok(()), _) => break Ended::Well,
                },
                () = self.signals.next() => self.on_signal(&mut stop),
                Some((request, reply)) = self.asked.recv() => self.answer(request, reply, &mut stop).await,
                _ = tick.tick() => {
                    watch(self.running());
                    self.keep_house();
                }
                () = deadline(stop) => {
                    warn!("the deadline for stopping has passed; what is under way is resumed at the next start");
                    stop = stop.map(|asked| StopAsked { late: true, ..asked });
                    self.engine.stop(Stop::Now);
                }
                () = patience(self.forgetting.as_ref()) => self.engine.stop(Stop::Now),
            }
        };
        watch(self.running());
        self.finish(&ended, stop.is_some()).await;
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
        // First the intake: who reads that it stops may count on it that nothing more is taken.
        self.intake.stop();
        if let Some(observer) = &self.observer {
            observer.stop();
        }
        info!(deadline = %self.reload.settings().shutdown.deadline, "stopping: finishing what is under way");
        self.engine.stop(Stop::Draining);
        self.runs.stop();
        stop.get_or_insert(StopAsked {
            until: Instant::now() + self.reload.settings().shutdown.deadline.0,
            late: false,
        });
    }

    async fn finish(self, ended: &Ended, stopping: bool) {
        let mut totals = self.totals();
        let Daemon {
            engine, intake, keeper, observer, home, mut statistics, runs, mut signals, once, ..
        } = self;
        // All wait for threads.
        let waited = tokio::task::spawn_blocking(move || {
            drop(keeper);
            drop(observer);
            drop(intake);
            engine.finish();
        });
        if waited.await.is_err() {
            error!("the pipeline did not end cleanly");
        }
        // Now that everything learned is in the training set.
        if once && !stopping && *ended == Ended::Well {
            train_what_is_due(&runs, &mut signals).await;
            totals.fine_tunes = runs.promoted();
        }
        if let Err(problem) = statistics.write(totals, 0, 0) {
            warn!(error = %problem, "the statistics cannot be written");
        }
        // A run that is under way ends within a second.
        if tokio::task::spawn_blocking(move || drop(runs)).await.is_err() {
            error!("the training did not end cleanly");
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
            totals: self.totals(),
        }
    }

    fn totals(&self) -> Totals {
        Totals { fine_tunes: self.runs.promoted(), ..self.engine.totals() }
    }

    fn keep_house(&mut self) {
        if self.kept_house.is_some_and(|at| at.elapsed() < platform::hurried(HOUSEKEEPING)) {
            return;
        }
        self.kept_house = Some(Instant::now());
        let sources = self.reload.sources().to_vec();
        self.reload.poll();
        if sources != self.reload.sources() {
            self.watch_other_sources();
        }
        self.runs.set_settings(&self.reload.settings().training);
        let running = self.running();
        let in_flight = self.engine.gauges.in_flight.load(Ordering::Relaxed) as u64;
        if let Err(problem) = self.statistics.write(running.totals, in_flight, running.parked as u64) {
            warn!(error = %problem, "the statistics cannot be written");
        }
        let limits = &self.reload.settings().retention;
        let age = |limit: Option<Span>| limit.map(|span| span.0);
        let limits = Retention { done: age(limits.done), failed: age(limits.failed), logs: age(limits.logs) };
        let period = limits.shortest().map_or(SWEEP, |age| age.clamp(SHORTEST_SWEEP, SWEEP));
        if self.swept.is_none_or(|at| at.elapsed() >= platform::hurried(period)) {
            self.swept = Some(Instant::now());
            self.sweep(limits);
        }
    }

    /// `[[source]]` was edited.
    fn watch_other_sources(&mut self) {
        if self.once || self.forgetting.is_some() {
            return;
        }
        let sources = self.reload.sources();
        match &self.observer {
            Some(observer) => observer.watch_instead(sources.to_vec()),
            None => match start_observer(&self.home, &self.state, &self.reload, false) {
                Ok(observer) => self.observer = observer,
                Err(problem) => {
                    warn!(error = %problem, "the sources cannot be watched before the next start");
                }
            },
        }
    }

    fn sweep(&self, limits: Retention) {
        match sweep(&self.home, limits, SystemTime::now()) {
            Ok(0) => {}
            Ok(deleted) => info!(deleted, "deleted files that are older than [retention] allows"),
            Err(problem) => warn!(error = %problem, "old files cannot be looked for"),
        }
    }

    async fn answer(&mut self, request: Request, reply: Reply, stop: &mut Option<StopAsked>) {
        let response = match request {
            Request::Status => Response::Status(Box::new(self.report())),
            Request::TakeBack { name } => {
                self.engine.take_back(platform::name_from_bytes(name)).await;
                Response::Ok
            }
            Request::Forget { order } => return self.begin_to_forget(order, reply, stop.is_some()),
            Request::Stop => {
                self.begin_stop(stop);
                Response::Ok
            }
        };
        let _ = reply.send(response);
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
            live: self.keeper.as_ref().map_or(0, Keeper::running) as u64,
            retrying: gauges.parked.load(Ordering::Relaxed) as u64,
            undelivered: self.engine.undelivered(),
            training: self.runs.under_way(),
            queued_answers: self.runs.queued(),
            totals: Some(self.totals()),
            sources: self.observer.as_ref().map(Observer::report).unwrap_or_default(),
            ..Report::default()
        };
        report.look_at(&self.home)
    }
}

/// Trains if the trigger holds; a signal stops that within a second, and the next start goes on from there.
async fn train_what_is_due(runs: &std::sync::Arc<Runs>, signals: &mut Signals) {
    let working = runs.clone();
    let mut work = tokio::task::spawn_blocking(move || working.finish_due());
    tokio::select! {
        _ = &mut work => {}
        () = signals.next() => {
            runs.stop();
            let _ = work.await;
        }
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
