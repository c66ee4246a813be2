//! Starting what works on files: the pipeline, the intake, and who brings chats to them.

use std::io;

use tokio::sync::mpsc;
use tracing::{error, warn};

use super::Services;
use super::boot::{BootError, Stores};
use super::reload::Reload;
use crate::config::{Embeddings, Settings, Watcher};
use crate::live::{self, Keeper};
use crate::memory::{Writer, embedding};
use crate::pipeline::{Engine, Parts};
use crate::platform::Clock;
use crate::session::formats::looks_complete;
use crate::sources::Observer;
use crate::spool::{
    AdoptionRules, Claimed, Home, Intake, IntakeSettings, LiveHints, NameFilter, WatcherKind,
};
use crate::state::State;

/// What works on files.
pub(super) struct Working {
    pub(super) engine: Engine,
    pub(super) intake: Intake,
    pub(super) keeper: Option<Keeper>,
    pub(super) observer: Option<Observer>,
}

/// Starts what works on files.
pub(super) fn start_pipeline(
    home: &Home,
    stores: Stores,
    reload: &Reload,
    services: &Services,
    once: bool,
) -> Result<Working, BootError> {
    let settings = reload.settings();
    let (claimed, from_intake) = mpsc::channel(settings.workers.in_flight);
    let Stores { state, mut memory, forgotten } = stores;
    keep_meanings(&mut memory, settings);
    let rules = adoption_rules(settings);
    if once {
        live::settle_once(home, &mut memory, &rules)?;
    }
    let parts = Parts {
        home: home.clone(),
        state: state.clone(),
        memory,
        examples: services.examples(),
        forgotten: forgotten.clone(),
        chain: reload.chain(),
        clock: Clock::default(),
        in_flight: settings.workers.in_flight,
        once,
    };
    let engine = Engine::start(parts, from_intake)?;
    let (hints, changed) = LiveHints::new();
    let keeper = live::Parts {
        home: home.clone(),
        state: state.clone(),
        chain: reload.chain(),
        clock: Clock::default(),
        forgotten,
        rules,
        follow: settings.spool.follow,
        rescan: settings.spool.rescan.0,
        hints: hints.clone(),
        changed,
    };
    let keeper = if once { None } else { start_keeper(keeper) };
    let spool_trouble = |source| BootError::File { path: home.spool.clone(), source };
    let observer = start_observer(home, &state, reload, once).map_err(spool_trouble)?;
    let intake = start_intake(home, settings, claimed, once, keeper.is_some().then_some(hints));
    Ok(Working { engine, intake: intake.map_err(spool_trouble)?, keeper, observer })
}

/// Has the meanings of turns kept, where that is wanted and the vectors of words were pulled.
fn keep_meanings(memory: &mut Writer, settings: &Settings) {
    if settings.recall.embeddings == Embeddings::Off {
        return;
    }
    match embedding::find() {
        Ok(Some(vectors)) => memory.keep_meanings(vectors),
        Ok(None) => {}
        Err(problem) => warn!(error = %problem, hint = problem.hint(), "the meanings of turns are not kept"),
    }
}

fn names_of(settings: &Settings) -> NameFilter {
    let include: Vec<String> = settings.spool.include.iter().map(ToString::to_string).collect();
    NameFilter::new(&include)
}

fn adoption_rules(settings: &Settings) -> AdoptionRules {
    let spool = &settings.spool;
    AdoptionRules { silent_for: spool.live_timeout.0, names: names_of(settings), max_size: spool.max_size.0 }
}

/// Without it finished sessions are learned all the same.
fn start_keeper(parts: live::Parts) -> Option<Keeper> {
    Keeper::start(parts)
        .inspect_err(|problem| error!(error = %problem, "running chats cannot be looked after"))
        .ok()
}

/// Without sources there is no thread. With `once` they are read before the spool is, so that what they hold is learned
/// in the same run.
pub(super) fn start_observer(
    home: &Home,
    state: &State,
    reload: &Reload,
    once: bool,
) -> io::Result<Option<Observer>> {
    let (sources, max_size) = (reload.sources().to_vec(), reload.settings().spool.max_size.0);
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
    live: Option<LiveHints>,
) -> io::Result<Intake> {
    let spool = &settings.spool;
    let settings = IntakeSettings {
        names: names_of(settings),
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
        live,
    };
    Intake::start(home.clone(), settings, claimed, once)
}
