//! memory.db made anew from `done/`: every file goes through today's chain again, and only what it leaves in memory.db
//! counts. Programs and servers are not asked, no small file is written, no file moves.
//!
//! The files are read and taken through the chain side by side, and judged and stored one after the other, in the
//! order in which they were learned: so the same files give the same rows, however many cores there are. The new
//! database grows in `state/rebuild/`, with a note of how far it is in each of its commits; a rebuild that was killed
//! goes on there. It takes the old one's place in one step.

mod known;
mod passage;
mod plan;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use thiserror::Error;

use self::known::Ledger;
use self::plan::open_partial;
use super::chain::Chain;
use super::known_stems::KnownStems;
use crate::forget::Forgotten;
use crate::memory::{MemoryError, Writer, carry, forget, index, reader};
use crate::platform;
use crate::session::{Identity, SessionKey};
use crate::spool::Home;
use crate::state::{InMemoryStore, SledStore, State, StateBatch, StateError};
use crate::training::SeenExamples;

/// Why memory.db could not be made anew. What was done is gone on with the next time.
#[derive(Debug, Error)]
pub enum RebuildError {
    /// A database would not.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The ledger would not.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file or folder would not.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A worker panicked.
    #[error("a worker panicked: {0}")]
    Panic(String),
}

impl RebuildError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            RebuildError::Memory(error) => error.hint(),
            _ => Some("`atles rebuild` goes on where it broke off"),
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    /// Files gone through.
    pub files: u64,
    /// Sessions in the new memory.db.
    pub sessions: u64,
    /// Of them, sessions whose file is not in `done/` any more, taken over as they were.
    pub carried: u64,
    /// Files, by name, that could not be learned, and why. What the old memory.db knew of them was taken over.
    pub failed: Vec<(String, String)>,
    /// Where the old memory.db lies, if it was damaged.
    pub set_aside: Option<PathBuf>,
    /// Stages that act outside and were not run.
    pub not_run: Vec<String>,
    /// Whether it went on with an earlier rebuild.
    pub resumed: bool,
}

/// What a rebuild works with. The caller holds the home's lock.
pub struct Rebuild {
    /// The folders.
    pub home: Home,
    /// Today's chain; its examples are its own.
    pub chain: Arc<Chain>,
    /// What was forgotten.
    pub forgotten: Arc<Forgotten>,
    /// Files under way at once.
    pub in_flight: usize,
}

impl Rebuild {
    /// Makes memory.db anew. Tells of each file that is through, and how many there are.
    ///
    /// # Errors
    /// See [`RebuildError`]; the memory.db that is there stays in its place.
    pub async fn run(&self, mut tell: impl FnMut(u64, u64)) -> Result<Rebuilt, RebuildError> {
        let dir = self.home.root.join("state").join("rebuild");
        platform::make_private_dir(&dir).map_err(|source| file(&dir, source))?;
        let plan = self.plan()?;
        let new = dir.join("memory.db");
        let mut memory = open_partial(&dir, &plan)?;
        let begun = carry::progress(memory.connection())?.unwrap_or(0);
        let outside = |entry: &&crate::config::StageEntry| entry.stage.acts_outside();
        let mut rebuilt = Rebuilt {
            files: plan.files.len() as u64,
            not_run: self.chain.stages.iter().filter(outside).map(|entry| entry.name.clone()).collect(),
            resumed: begun > 0,
            ..Rebuilt::default()
        };
        let mut ledger = Ledger {
            state: State::new(Arc::new(InMemoryStore::default())),
            stems: KnownStems::read(&self.home).map_err(|source| file(&self.home.logs(), source))?,
            seen: SeenExamples::default(),
            learned: BTreeMap::new(),
            met: HashSet::new(),
            times: self.times(),
            stored: forget::sessions(memory.connection())?.into_iter().map(|known| known.identity).collect(),
        };
        reader::signatures(memory.connection(), |identity, signature| {
            ledger.seen.insert(&Identity(identity), signature);
        })?;
        self.go_through(&plan, begun, &mut memory, &mut ledger, &mut rebuilt, &mut tell).await?;

        let old = self.home.memory_db();
        let sound = match carry::look_at(&old) {
            Some(Ok(conn)) => {
                rebuilt.carried = carry_over(&mut memory, &conn, &ledger.met)?;
                true
            }
            Some(Err(MemoryError::Damaged(_))) => false,
            Some(Err(problem)) => return Err(problem.into()),
            None => true,
        };
        let mut batch = memory.begin()?;
        batch.end_progress()?;
        batch.commit()?;
        index::catch_up(memory.connection())?;
        rebuilt.sessions = reader::counts(memory.connection())?.sessions;
        drop(memory);
        if !sound {
            let stamp = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
            rebuilt.set_aside = Some(carry::set_aside(&old, &stamp).map_err(|source| file(&old, source))?);
        }
        carry::take_place(&new, &old)?;
        std::fs::remove_dir_all(&dir).map_err(|source| file(&dir, source))?;
        self.enter_learned(&ledger)?;
        Ok(rebuilt)
    }

    /// When each session was learned, as far as the old memory.db can tell. It is looked at closely later.
    fn times(&self) -> HashMap<(Identity, SessionKey), Timestamp> {
        let known = reader::open(&self.home.memory_db()).and_then(|conn| forget::sessions(&conn));
        let time = |known: forget::Known| {
            let at = Timestamp::from_millisecond(known.learned_ms).ok()?;
            Some(((known.identity, known.key), at))
        };
        known.unwrap_or_default().into_iter().filter_map(time).collect()
    }

    /// The home's ledger; `None` where there is none, or a damaged one, which the daemon's next start makes anew.
    fn ledger(&self) -> Result<Option<State>, RebuildError> {
        if !self.home.sled().join("db").exists() {
            return Ok(None);
        }
        match SledStore::open(&self.home.sled()) {
            Ok(store) => Ok(Some(State::new(Arc::new(store)))),
            Err(StateError::Corrupt(_)) => Ok(None),
            Err(problem) => Err(problem.into()),
        }
    }

    /// What was learned and the ledger does not know, it is told: after a damage it may have been made anew from the
    /// folders while memory.db was empty.
    fn enter_learned(&self, ledger: &Ledger) -> Result<(), RebuildError> {
        let Some(state) = self.ledger()? else { return Ok(()) };
        let mut totals = state.totals()?;
        let mut batch = StateBatch::default();
        for (identity, record) in &ledger.learned {
            if state.learned(identity)?.is_some() {
                continue;
            }
            totals.sessions += 1;
            totals.messages += record.messages as u64;
            totals.examples += record.examples as u64;
            batch.put_learned(identity, record);
        }
        batch.put_totals(&totals);
        Ok(state.apply(batch)?)
    }
}

/// Takes over the sessions whose files are gone.
fn carry_over(
    memory: &mut Writer,
    old: &rusqlite::Connection,
    met: &HashSet<Identity>,
) -> Result<u64, RebuildError> {
    let there: HashSet<Identity> =
        forget::sessions(memory.connection())?.into_iter().map(|known| known.identity).collect();
    let mut batch = memory.begin()?;
    let mut carried = 0;
    for known in forget::sessions(old)? {
        // What running chats said comes again from their files.
        if !known.piece && !met.contains(&known.identity) && !there.contains(&known.identity) {
            batch.carry_over(old, known.row)?;
            carried += 1;
        }
    }
    batch.commit()?;
    Ok(carried)
}

fn file(path: &Path, source: io::Error) -> RebuildError {
    RebuildError::File { path: path.to_path_buf(), source }
}
