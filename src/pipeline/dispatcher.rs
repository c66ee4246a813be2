//! Admits files, at most so many at once, and keeps what has to wait.
//!
//! Retries and new files are admitted in turn, so that neither a flood of one starves the other. While our own
//! storage is in trouble (a full disk, say) nothing is admitted; files wait where they are and no try is spent.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{error, info};

use super::chain::Chain;
use super::runner::{Fate, Runner, Stop};
use crate::spool::{Claimed, Home};
use crate::state::Outcome;

/// First pause after storage failed; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The free space is looked at this often at most.
const SPACE_CHECK: Duration = Duration::from_secs(2);

/// What the pipeline is doing, for `atles status`.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Files under way.
    pub in_flight: AtomicUsize,
    /// Files that wait to be tried again.
    pub parked: AtomicUsize,
    /// Files that were settled since the start.
    pub settled: AtomicU64,
    /// Dead letters since the start.
    pub failed: AtomicU64,
    /// Why nothing is admitted, if so.
    pub paused: Mutex<Option<String>>,
}

/// A file put back to work by hand, from `failed/`.
pub(super) type Returned = mpsc::Receiver<Claimed>;

pub(super) struct Dispatcher {
    pub(super) home: Home,
    pub(super) runner: Arc<Runner>,
    pub(super) chain: Arc<ArcSwap<Chain>>,
    pub(super) gauges: Arc<Gauges>,
    pub(super) in_flight: usize,
    pub(super) stop: watch::Receiver<Stop>,
    pub(super) once: bool,
}

/// Files that wait, by when their turn comes.
#[derive(Default)]
pub(super) struct Parked {
    by_due: BTreeMap<(Instant, u64), Claimed>,
    count: u64,
}

impl Parked {
    pub(super) fn add(&mut self, file: Claimed, due: Instant) {
        self.count += 1;
        self.by_due.insert((due, self.count), file);
    }

    fn take_due(&mut self, now: Instant) -> Option<Claimed> {
        let first = self.by_due.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    fn next_due(&self) -> Option<Instant> {
        self.by_due.keys().next().map(|(due, _)| *due)
    }

    fn len(&self) -> usize {
        self.by_due.len()
    }
}

/// A pause because of our storage.
struct Pause {
    until: Instant,
    length: Duration,
}

/// What the dispatcher is in the middle of.
struct Shift {
    tasks: JoinSet<(Claimed, Fate)>,
    parked: Parked,
    held: VecDeque<Claimed>,
    pause: Option<Pause>,
    last_length: Duration,
    retries_first: bool,
    open: bool,
    space_checked: Option<Instant>,
    broken: Option<String>,
}

impl Dispatcher {
    /// Runs until told to stop or, with `once`, until nothing is left. `Err` says why `once` could not finish.
    pub(super) async fn run(
        mut self,
        mut claimed: mpsc::Receiver<Claimed>,
        mut returned: Returned,
        parked: Parked,
    ) -> Result<(), String> {
        let mut shift = Shift {
            tasks: JoinSet::new(),
            parked,
            held: VecDeque::new(),
            pause: None,
            last_length: Duration::ZERO,
            retries_first: true,
            open: true,
            space_checked: None,
            broken: None,
        };
        loop {
            self.admit(&mut shift, &mut claimed);
            self.report(&shift);
            if let Some(reason) = shift.broken {
                return Err(reason);
            }
            let stopping = *self.stop.borrow() > Stop::No;
            let idle = shift.tasks.is_empty();
            if idle && (stopping || (self.once && !shift.open && shift.parked.len() + shift.held.len() == 0))
            {
                return Ok(());
            }
            if self.once
                && let Some(reason) = shift.pause.as_ref().and_then(|_| self.pause_reason())
            {
                return Err(reason);
            }
            let wake = shift.wake();
            let room = shift.tasks.len() < self.in_flight && shift.pause.is_none() && !stopping;
            tokio::select! {
                done = shift.tasks.join_next(), if !idle => self.settle(&mut shift, done),
                file = claimed.recv(), if room && shift.open => match file {
                    Some(file) => self.start(&mut shift, file),
                    None => shift.open = false,
                },
                Some(file) = returned.recv() => shift.parked.add(file, Instant::now()),
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() && !stopping => self.wake(&mut shift),
                changed = self.stop.changed(), if !stopping => if changed.is_err() { return Ok(()) },
            }
        }
    }

    /// Fills the free places, from the retries and the new files in turn.
    fn admit(&self, shift: &mut Shift, claimed: &mut mpsc::Receiver<Claimed>) {
        if *self.stop.borrow() > Stop::No {
            return;
        }
        while shift.tasks.len() < self.in_flight && shift.pause.is_none() && self.has_space(shift) {
            let now = Instant::now();
            shift.retries_first = !shift.retries_first;
            let next = if shift.retries_first {
                shift.parked.take_due(now).or_else(|| claimed.try_recv().ok())
            } else {
                claimed.try_recv().ok().or_else(|| shift.parked.take_due(now))
            };
            match next {
                Some(file) => self.start(shift, file),
                None => return,
            }
        }
    }

    fn start(&self, shift: &mut Shift, file: Claimed) {
        let (runner, chain) = (self.runner.clone(), self.chain.load_full());
        shift.tasks.spawn(async move {
            let fate = runner.carry(&chain, &file).await;
            (file, fate)
        });
    }

    fn settle(&self, shift: &mut Shift, done: Option<Result<(Claimed, Fate), tokio::task::JoinError>>) {
        let (file, fate) = match done {
            Some(Ok(done)) => done,
            Some(Err(panic)) => {
                // A stage's panic is contained; this one is ours. The file stays in work/ for the next start.
                error!(%panic, "a worker panicked");
                return;
            }
            None => return,
        };
        match fate {
            Fate::Settled(outcome) => {
                shift.last_length = Duration::ZERO;
                self.gauges.settled.fetch_add(1, Ordering::Relaxed);
                if outcome == Outcome::Failed {
                    self.gauges.failed.fetch_add(1, Ordering::Relaxed);
                }
            }
            Fate::Parked { pause } => shift.parked.add(file, Instant::now() + pause),
            Fate::Stalled(reason) => {
                shift.held.push_back(file);
                self.pause(shift, reason);
            }
            Fate::Gone => {}
            Fate::Released => {
                if *self.stop.borrow() == Stop::No {
                    // Nobody asked for a stop: the recorder or the settler is gone, and nothing would ever settle.
                    shift.broken = Some("a thread of the pipeline has ended; daemon.log says why".into());
                }
            }
        }
    }

    fn pause(&self, shift: &mut Shift, reason: String) {
        if shift.pause.is_none() {
            let length = (shift.last_length * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            error!(reason, again_in = ?length, "nothing is taken from the spool until this is over");
            shift.last_length = length;
            shift.pause = Some(Pause { until: Instant::now() + length, length });
            *self.reason() = Some(reason);
        }
    }

    fn reason(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.gauges.paused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pause_reason(&self) -> Option<String> {
        self.reason().clone()
    }

    /// A pause may be over: tries whether the disk takes a file again.
    fn wake(&self, shift: &mut Shift) {
        let Some(pause) = shift.pause.as_mut().filter(|pause| pause.until <= Instant::now()) else { return };
        match super::space::probe(&self.home, self.chain.load().min_free) {
            Ok(()) => {
                info!("storage works again; going on");
                shift.pause = None;
                *self.reason() = None;
                let now = Instant::now();
                let Shift { held, parked, .. } = shift;
                held.drain(..).for_each(|file| parked.add(file, now));
            }
            Err(reason) => {
                pause.until = Instant::now() + pause.length;
                *self.reason() = Some(reason);
            }
        }
    }

    fn has_space(&self, shift: &mut Shift) -> bool {
        let now = Instant::now();
        if shift.space_checked.is_some_and(|at| now.duration_since(at) < SPACE_CHECK) {
            return true;
        }
        match super::space::enough(&self.home, self.chain.load().min_free) {
            Ok(()) => {
                shift.space_checked = Some(now);
                true
            }
            Err(reason) => {
                self.pause(shift, reason);
                false
            }
        }
    }

    fn report(&self, shift: &Shift) {
        self.gauges.in_flight.store(shift.tasks.len(), Ordering::Relaxed);
        self.gauges.parked.store(shift.parked.len() + shift.held.len(), Ordering::Relaxed);
    }
}

impl Shift {
    /// When there is something to do even if nothing happens.
    fn wake(&self) -> Option<Instant> {
        match &self.pause {
            Some(pause) => Some(pause.until),
            None => self.parked.next_due(),
        }
    }
}
