//! memory.db made anew from `done/`: every file goes through today's chain again, and only what it leaves in memory.db
//! counts. Programs and servers are not asked, no small file is written, no file moves.
//!
//! The files are read and taken through the chain side by side, and judged and stored one after the other, in the
//! order in which they were learned: so the same files give the same rows, however many cores there are. The new
//! database grows in `state/rebuild/`, with a note of how far it is in each of its commits; a rebuild that was killed
//! goes on there. It takes the old one's place in one step.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::task::JoinHandle;

use super::chain::{Chain, Rehearsed};
use super::known_stems::{self, KnownStems};
use super::runner::{envelopes, longest_of_each};
use super::standing::{Opening, Standing, judge};
use crate::config::OnError;
use crate::forget::{Forgotten, is_stub};
use crate::memory::{Batch, MemoryError, Writer, carry, forget, index, reader};
use crate::platform;
use crate::session::{Effect, Envelope, Identity, SessionKey};
use crate::spool::{Home, shown};
use crate::state::{InMemoryStore, LearnedRecord, Outcome, SledStore, State, StateBatch, StateError};
use crate::training::SeenExamples;

/// Files in one commit.
const COMMIT: u64 = 64;
/// Bytes of files read ahead.
const ROOM: u64 = 64 << 20;

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

/// A file to go through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Listed {
    /// The bytes of its name.
    name: Vec<u8>,
    /// When it was learned, in milliseconds since 1970.
    learned_ms: i64,
    /// Its place among files of the same time.
    entry: u64,
    size: u64,
}

/// What is gone through, written down so that a rebuild that was killed goes on with the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Plan {
    pipeline: String,
    files: Vec<Listed>,
}

/// A session that is to be stored.
struct Judged {
    envelope: Envelope,
    record: LearnedRecord,
}

enum End {
    Passed,
    Finished,
    Failed(String),
}

/// A file whose sessions are on their way through the chain.
struct UnderWay {
    number: u64,
    learned_at: Timestamp,
    sessions: Vec<JoinHandle<(Judged, End)>>,
}

type Decoded = Result<Vec<Envelope>, String>;

/// What is known at some point of the way.
struct Ledger {
    state: State,
    stems: KnownStems,
    seen: SeenExamples,
    learned: BTreeMap<Identity, LearnedRecord>,
    /// Sessions that today's chain has judged, whatever it made of them.
    met: HashSet<Identity>,
    /// Sessions that an earlier try stored.
    stored: HashSet<Identity>,
    /// When what the old memory.db holds was learned.
    times: HashMap<(Identity, SessionKey), Timestamp>,
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

    /// The files in `done/`, in the order in which they were learned.
    fn plan(&self) -> Result<Plan, RebuildError> {
        let mut entries: HashMap<String, (i64, u64)> = HashMap::new();
        if let Some(state) = self.ledger()? {
            state.entries(&mut |number, entry| {
                let learned = matches!(entry.outcome, Outcome::Learned | Outcome::Revision);
                if entry.at > 0 && (learned || !entries.contains_key(&entry.file)) {
                    entries.insert(entry.file, (entry.at, number));
                }
            })?;
        }
        let done = &self.home.done;
        let mut files = Vec::new();
        for found in std::fs::read_dir(done).map_err(|source| file(done, source))? {
            let name = found.map_err(|source| file(done, source))?.file_name();
            let Ok(metadata) = platform::lstat(&done.join(&name)) else { continue };
            if !metadata.is_file() || name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let written = i64::try_from(platform::Signature::of(&metadata).modified / 1_000_000);
            let (learned_ms, entry) =
                entries.get(&shown(&name)).copied().unwrap_or((written.unwrap_or(0), u64::MAX));
            let name = name.as_encoded_bytes().to_vec();
            files.push(Listed { name, learned_ms, entry, size: metadata.len() });
        }
        files.sort_by(|a, b| (a.learned_ms, a.entry, &a.name).cmp(&(b.learned_ms, b.entry, &b.name)));
        Ok(Plan { pipeline: self.chain.fingerprint(), files })
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

    async fn go_through(
        &self,
        plan: &Plan,
        begun: u64,
        memory: &mut Writer,
        ledger: &mut Ledger,
        rebuilt: &mut Rebuilt,
        tell: &mut impl FnMut(u64, u64),
    ) -> Result<(), RebuildError> {
        let total = plan.files.len() as u64;
        let mut decoding: VecDeque<(u64, JoinHandle<Decoded>)> = VecDeque::new();
        let mut under_way: VecDeque<UnderWay> = VecDeque::new();
        let mut waiting: Vec<(Vec<(Judged, End)>, Timestamp)> = Vec::new();
        let (mut next, mut ahead) = (0, 0);
        loop {
            while let Some(listed) = plan.files.get(next)
                && decoding.len() < self.in_flight
                && (ahead == 0 || ahead + listed.size <= ROOM)
            {
                ahead += listed.size;
                decoding.push_back((next as u64, self.read(listed)));
                next += 1;
            }
            if under_way.len() < self.in_flight
                && let Some((number, decoded)) = decoding.pop_front()
            {
                let Some(listed) = plan.files.get(number as usize) else { continue };
                let decoded = decoded.await.map_err(|panic| RebuildError::Panic(panic.to_string()))?;
                ahead -= listed.size;
                let sessions = self.judge(listed, decoded, number < begun, ledger, rebuilt)?;
                let learned_at = Timestamp::from_millisecond(listed.learned_ms).unwrap_or_default();
                under_way.push_back(UnderWay { number, learned_at, sessions });
                continue;
            }
            let Some(UnderWay { number, learned_at, sessions }) = under_way.pop_front() else { break };
            let mut ended = Vec::with_capacity(sessions.len());
            for session in sessions {
                ended.push(session.await.map_err(|panic| RebuildError::Panic(panic.to_string()))?);
            }
            if number < begun {
                for (judged, end) in ended {
                    match end {
                        End::Passed => ledger.note(judged),
                        End::Finished => drop(ledger.met.insert(judged.envelope.identity)),
                        End::Failed(why) => rebuilt.failed.push((judged.record.file, why)),
                    }
                }
                continue;
            }
            waiting.push((ended, learned_at));
            tell(number + 1, total);
            if (number + 1) % COMMIT == 0 || number + 1 == total {
                commit(memory, &mut waiting, ledger, rebuilt, number + 1)?;
            }
        }
        Ok(())
    }

    /// Reads and decodes a file, on a thread that may wait for the disk.
    fn read(&self, listed: &Listed) -> JoinHandle<Decoded> {
        let name: OsString = platform::name_from_bytes(listed.name.clone());
        let path = self.home.done.join(&name);
        let (chain, forgotten) = (self.chain.clone(), self.forgotten.clone());
        tokio::task::spawn_blocking(move || {
            let bytes = std::fs::read(&path).map_err(|error| error.to_string())?;
            if is_stub(&bytes) {
                return Ok(Vec::new());
            }
            let name = shown(&name);
            let decode = || chain.decode.decode(&bytes, &name);
            let mut decoded = super::contain::contain(decode)?.map_err(|error| error.to_string())?;
            forgotten.strip(&mut decoded);
            Ok(longest_of_each(envelopes(decoded, &name, bytes.len() as u64)))
        })
    }

    /// Judges the sessions of a file, and sends those that count through the chain. `stored`: an earlier try went
    /// through the file, and what it stored need not be taken through the chain again.
    fn judge(
        &self,
        listed: &Listed,
        decoded: Decoded,
        stored: bool,
        ledger: &mut Ledger,
        rebuilt: &mut Rebuilt,
    ) -> Result<Vec<JoinHandle<(Judged, End)>>, RebuildError> {
        let name = shown(&platform::name_from_bytes(listed.name.clone()));
        let envelopes = match decoded {
            Ok(envelopes) => envelopes,
            Err(why) => {
                rebuilt.failed.push((name, why));
                return Ok(Vec::new());
            }
        };
        let mut sessions = Vec::new();
        for mut envelope in envelopes {
            let opening = Opening::of(&envelope);
            let standing = judge(&ledger.state, &mut envelope, opening)?;
            if matches!(standing, Standing::Duplicate(_) | Standing::Older(_)) {
                continue;
            }
            let record = self.record(&envelope, opening, &name, listed.entry, ledger);
            let mut batch = StateBatch::default();
            batch.put_learned(&envelope.identity, &record);
            ledger.state.apply(batch)?;
            let chain = self.chain.clone();
            let known = stored && ledger.stored.contains(&envelope.identity);
            sessions.push(tokio::spawn(async move {
                let end = if known { End::Passed } else { rehearse(&chain, &mut envelope).await };
                (Judged { envelope, record }, end)
            }));
        }
        Ok(sessions)
    }

    fn record(
        &self,
        envelope: &Envelope,
        opening: Opening,
        file: &str,
        entry: u64,
        ledger: &Ledger,
    ) -> LearnedRecord {
        let stem = ledger
            .stems
            .of(envelope)
            .unwrap_or_else(|| format!("rebuilt-{}", &envelope.identity.to_string()[..16]));
        LearnedRecord {
            key: envelope.key.to_string(),
            file: file.to_owned(),
            messages: opening.messages,
            examples: known_stems::examples(&self.home, &stem),
            first: opening.first,
            all: opening.all,
            stem,
            entry,
        }
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

/// Takes a session through the chain as `atles check --dry-run` does: nothing outside of it is touched.
async fn rehearse(chain: &Chain, envelope: &mut Envelope) -> End {
    let mut end = End::Passed;
    let tell = |entry: &crate::config::StageEntry, how: Rehearsed<'_>| match how {
        Rehearsed::Finished(_) => end = End::Finished,
        Rehearsed::Failed(why) if entry.on_error != OnError::Continue => {
            end = End::Failed(format!("{}: {why}", entry.name));
        }
        _ => {}
    };
    chain.rehearse(envelope, tell).await;
    end
}

impl Ledger {
    /// A session that an earlier try stored.
    fn note(&mut self, judged: Judged) {
        self.met.insert(judged.envelope.identity);
        self.learned.insert(judged.envelope.identity, judged.record);
    }

    /// Stores a session as the daemon would have.
    fn store(
        &mut self,
        batch: &mut Batch<'_>,
        mut judged: Judged,
        at: Timestamp,
    ) -> Result<(), RebuildError> {
        let (identity, key) = (judged.envelope.identity, judged.envelope.key);
        for effect in &mut judged.envelope.effects {
            if let Effect::TrainingData { signatures, .. } = effect {
                let ours = self.seen.reserve(&identity, &key, signatures);
                let mut ours = ours.into_iter();
                signatures.retain(|_| ours.next().unwrap_or(false));
                self.seen.commit(&identity, &key, signatures);
            }
        }
        let at = self.times.get(&(identity, key)).copied().unwrap_or(at);
        batch.store(&judged.envelope, at, false)?;
        self.note(judged);
        Ok(())
    }
}

fn commit(
    memory: &mut Writer,
    waiting: &mut Vec<(Vec<(Judged, End)>, Timestamp)>,
    ledger: &mut Ledger,
    rebuilt: &mut Rebuilt,
    reached: u64,
) -> Result<(), RebuildError> {
    let mut batch = memory.begin()?;
    for (sessions, at) in waiting.drain(..) {
        for (judged, end) in sessions {
            match end {
                End::Passed => ledger.store(&mut batch, judged, at)?,
                End::Finished => drop(ledger.met.insert(judged.envelope.identity)),
                End::Failed(why) => rebuilt.failed.push((judged.record.file, why)),
            }
        }
    }
    batch.set_progress(reached)?;
    Ok(batch.commit()?)
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

/// The database of an earlier try at the same, or a new one.
fn open_partial(dir: &Path, plan: &Plan) -> Result<Writer, RebuildError> {
    let (path, list) = (dir.join("memory.db"), dir.join("plan.json"));
    let same = std::fs::read(&list)
        .is_ok_and(|text| serde_json::from_slice::<Plan>(&text).is_ok_and(|known| known == *plan));
    if same
        && let Ok(memory) = Writer::open(&path)
        && matches!(carry::progress(memory.connection()), Ok(Some(_)))
    {
        return Ok(memory);
    }
    for name in ["plan.json", "memory.db", "memory.db-wal", "memory.db-shm"] {
        match std::fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(file(&dir.join(name), error));
            }
            _ => {}
        }
    }
    let text = serde_json::to_vec(plan).map_err(|error| file(&list, error.into()))?;
    platform::create_private(&list)
        .and_then(|mut out| io::Write::write_all(&mut out, &text).and_then(|()| out.sync_all()))
        .map_err(|source| file(&list, source))?;
    Ok(Writer::open(&path)?)
}

fn file(path: &Path, source: io::Error) -> RebuildError {
    RebuildError::File { path: path.to_path_buf(), source }
}
