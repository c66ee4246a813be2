//! What is known of each source, for whoever asks how things stand.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::positions::{Name, Oddity, Positions};
use super::tree::key_of;
use super::{ObserverSettings, Program};
use crate::platform::Signature;
use crate::session::{Identity, SessionKey};
use crate::spool::shown;
use crate::state::{State, StateError};

/// Files with problems that are named; all of them are counted.
const NAMED: usize = 20;
/// Conversations that are asked for in one report, whether they are learned by now.
const ASKED: usize = 4096;

/// How a source stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceReport {
    /// The program, as pipeline.toml names it.
    pub format: String,
    /// The folder or the database.
    pub path: String,
    /// `native` where changes are noticed at once, `poll` where it is read every now and then; empty where there is
    /// nothing to be read.
    pub watcher: String,
    /// Why it cannot be read, if so.
    pub trouble: Option<String>,
    /// Conversations that were handed to the spool over the life of the home.
    pub conversations: u64,
    /// Of them, those that are learned.
    pub learned: u64,
    /// Files, or conversations of a database, that changed and are not at rest yet.
    pub waiting: u64,
    /// When the last of them was learned, RFC 3339.
    pub last_learned: Option<String>,
    /// Files that could not be read as they are now, or not all of them; at most twenty.
    pub problems: Vec<SourceProblem>,
    /// How many there are.
    pub problems_total: u64,
    /// Files in which no conversation was found: of agents alone, of a shape that is not known, or without any words.
    pub without_conversation: u64,
}

/// A file of a source, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceProblem {
    /// Where it lies in the source.
    pub file: String,
    /// What is wrong.
    pub problem: String,
}

/// What reading a source showed.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Why the source as a whole cannot be read.
    pub(super) trouble: Option<String>,
    /// Files that could not be read, as they were then, so that it is said once for each state of a file.
    pub(super) refused: BTreeMap<PathBuf, (Signature, String)>,
    /// Files that were read, and were odd.
    pub(super) odd: BTreeMap<PathBuf, Oddity>,
    /// Conversations of a database that are not at rest.
    pub(super) waiting: u64,
}

impl Seen {
    /// Notes how reading a file went; the rest of the notes stays.
    pub(super) fn read(&mut self, path: &Path, oddity: Oddity) {
        self.refused.remove(path);
        if oddity.is_none() {
            self.odd.remove(path);
        } else {
            self.odd.insert(path.to_path_buf(), oddity);
        }
    }

    /// Writes what there is to tell into a report.
    pub(super) fn tell(&self, root: &Path, report: &mut SourceReport) {
        let name = |path: &Path| {
            let below = path.strip_prefix(root).ok().filter(|below| *below != Path::new(""));
            shown(below.unwrap_or(Path::new(path.file_name().unwrap_or_default())).as_os_str())
        };
        let refused = self.refused.iter().map(|(path, (_, problem))| (path, problem.clone()));
        let short = self.odd.iter().filter(|(_, odd)| odd.left_out > 0);
        let short = short.map(|(path, odd)| (path, format!("{} lines or rows left out", odd.left_out)));
        let all = refused.chain(short);
        let named = all.clone().take(NAMED);
        report.problems = named.map(|(path, problem)| SourceProblem { file: name(path), problem }).collect();
        report.problems_total = all.count() as u64;
        report.without_conversation = self.odd.values().filter(|odd| odd.empty).count() as u64;
        report.trouble = self.trouble.clone();
    }
}

/// The name of a source in the state store: its program and its path.
pub(super) fn name_of(settings: &ObserverSettings) -> Name {
    let mut hash = blake3::Hasher::new();
    hash.update(settings.program.as_str().as_bytes());
    hash.update(&key_of(&settings.path));
    hash.finalize().as_bytes().first_chunk().copied().unwrap_or_default()
}

/// One source in the accounts.
#[derive(Debug)]
struct Account {
    told: SourceReport,
    conversations: HashSet<Identity>,
    learned: HashSet<Identity>,
    /// Handed over and, when last asked, not learned as they were handed over.
    unsettled: HashMap<Identity, String>,
    /// The last ledger entry that learned one of them.
    newest: Option<u64>,
}

/// The accounts of all sources: kept by the thread that reads them, asked by the daemon.
#[derive(Debug, Clone, Default)]
pub(super) struct Accounts(Arc<Mutex<Vec<Account>>>);

impl Accounts {
    fn all(&self) -> MutexGuard<'_, Vec<Account>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins anew with these sources, and what was handed over from them before.
    pub(super) fn open(&self, sources: &[&ObserverSettings], positions: &Positions) {
        let account = |settings: &&ObserverSettings| {
            let handed = positions.handed_from(&name_of(settings)).unwrap_or_else(|problem| {
                warn!(%problem, "what was learned from a source cannot be counted");
                Vec::new()
            });
            let ObserverSettings { program, path, .. } = settings;
            Account {
                told: told(*program, path),
                conversations: handed.iter().map(|(identity, _)| *identity).collect(),
                learned: HashSet::new(),
                unsettled: handed.into_iter().collect(),
                newest: None,
            }
        };
        let accounts = sources.iter().map(account).collect();
        *self.all() = accounts;
    }

    /// Takes down what the thread sees of the source at a place in the list.
    pub(super) fn tell(&self, index: usize, tell: impl FnOnce(&mut SourceReport)) {
        if let Some(account) = self.all().get_mut(index) {
            tell(&mut account.told);
        }
    }

    /// Notes a conversation that was handed over.
    pub(super) fn handed(&self, index: usize, identity: Identity, key: &SessionKey) {
        if let Some(account) = self.all().get_mut(index) {
            account.conversations.insert(identity);
            account.unsettled.insert(identity, key.to_string());
        }
    }

    /// Looks which conversations are learned by now.
    pub(super) fn settle(&self, state: &State, at_most: usize) -> Result<(), StateError> {
        self.all().iter_mut().try_for_each(|account| account.settle(state, at_most))
    }

    /// How the sources stand, in the order of pipeline.toml.
    pub(super) fn report(&self, state: &State) -> Vec<SourceReport> {
        // Where the store cannot be read the daemon says so itself.
        let _ = self.settle(state, ASKED);
        self.all().iter().map(|account| account.report(state)).collect()
    }
}

fn told(program: Program, path: &Path) -> SourceReport {
    SourceReport { format: program.as_str().into(), path: shown(path.as_os_str()), ..SourceReport::default() }
}

impl Account {
    fn settle(&mut self, state: &State, at_most: usize) -> Result<(), StateError> {
        let asked: Vec<Identity> = self.unsettled.keys().take(at_most).copied().collect();
        for identity in asked {
            let Some(record) = state.learned(&identity)? else { continue };
            self.learned.insert(identity);
            self.newest = self.newest.max(Some(record.entry));
            if self.unsettled.get(&identity) == Some(&record.key) {
                self.unsettled.remove(&identity);
            }
        }
        Ok(())
    }

    fn report(&self, state: &State) -> SourceReport {
        let entry = self.newest.and_then(|number| state.entry(number).ok().flatten());
        let at = entry.and_then(|entry| Timestamp::from_millisecond(entry.at).ok());
        SourceReport {
            conversations: self.conversations.len() as u64,
            learned: self.learned.len() as u64,
            last_learned: at.map(|at| at.to_string()),
            ..self.told.clone()
        }
    }
}
