use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use tracing::{debug, error, info, warn};

use super::chat::{Chat, Desk, Trouble, remove};
use super::reading::is_gone;
use crate::forget::Forgotten;
use crate::memory::{MemoryError, Writer, provisional};
use crate::pipeline::Chain;
use crate::platform::{self, Clock, Signature};
use crate::spool::{
    Adoption, AdoptionRules, Home, LiveHints, adopt, is_unfinished, live_token, remove_leftover, shown,
};
use crate::state::State;

/// Chats that are followed at a time. Those beyond are learned at their end.
const FOLLOWED: usize = 1000;
/// How often running chats are looked at, whatever the watcher says.
const BEAT: Duration = Duration::from_millis(250);
/// How often the spool is read where no events arrive.
const POLL: Duration = Duration::from_millis(500);
/// Least pause between two looks at one chat.
const PAUSE: Duration = Duration::from_millis(50);
/// A look is followed by a pause of so many times its own length, so that no chat takes more than this share of a core …
const PAUSE_PER_WORK: u32 = 10;
/// … but of no more than this: the first look of all takes long, and what is said after it is not to wait.
const LONGEST_PAUSE: Duration = Duration::from_millis(400);
/// How long what a chat said is kept after its live file is gone, for the session file to be learned meanwhile.
const LINGER: Duration = Duration::from_secs(5);
/// How often it is seen whether the app of a silent chat still lives.
const CHECK: Duration = Duration::from_secs(1);

/// What the keeper works with.
pub struct Parts {
    /// The folders.
    pub home: Home,
    /// The ledger.
    pub state: State,
    /// The chain in force.
    pub chain: Arc<ArcSwap<Chain>>,
    /// The time of day.
    pub clock: Clock,
    /// What was forgotten and shall not come back.
    pub forgotten: Arc<Forgotten>,
    /// When a live file may be taken.
    pub rules: AdoptionRules,
    /// Whether running chats are followed; if not, they are only learned at their end.
    pub follow: bool,
    /// How often the spool is read in any case.
    pub rescan: Duration,
    /// Names of live files that changed.
    pub hints: LiveHints,
    /// Where they arrive.
    pub changed: Receiver<OsString>,
}

/// The thread that looks after running chats.
#[derive(Debug)]
pub struct Keeper {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    hints: LiveHints,
    running: Arc<AtomicUsize>,
}

impl Keeper {
    /// Starts looking. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// If memory.db cannot be opened a second time, or no thread started.
    pub fn start(parts: Parts) -> Result<Self, MemoryError> {
        let path = parts.home.memory_db();
        let memory = Writer::open_beside(&path)?;
        let (stop, running) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let hints = parts.hints.clone();
        let worker = Worker {
            inode: inode_of(&path),
            desk: Desk {
                chain: parts.chain,
                state: parts.state,
                memory,
                clock: parts.clock,
                forgotten: parts.forgotten,
                runtime: tokio::runtime::Handle::current(),
            },
            home: parts.home,
            rules: parts.rules,
            follow: parts.follow,
            rescan: parts.rescan,
            hints: parts.hints,
            changed: parts.changed,
            chats: HashMap::new(),
            left: HashSet::new(),
            stop: stop.clone(),
            running: running.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("live".into())
            .spawn(move || worker.run())
            .map_err(|source| MemoryError::Open { path, source })?;
        Ok(Keeper { thread: Some(thread), stop, hints, running })
    }

    /// Chats that run now.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.hints.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the thread that looks after running chats panicked");
        }
    }
}

/// Adopts the live files whose apps died, before a run that works through the spool once, and lets go of what was
/// stored of chats that are over.
///
/// # Errors
/// If the spool cannot be read or memory.db not be written.
pub fn settle_once(home: &Home, memory: &mut Writer, rules: &AdoptionRules) -> Result<(), MemoryError> {
    let now = SystemTime::now();
    let entries = std::fs::read_dir(&home.spool)
        .map_err(|source| MemoryError::Open { path: home.spool.clone(), source })?;
    for entry in entries.flatten().filter(|entry| live_token(&entry.file_name()).is_some()) {
        let name = entry.file_name();
        tell(&name, &adopt(home, &name, rules, now), false);
    }
    let over = |token: &String| platform::lstat(&home.spool.join(format!(".live-{token}.jsonl"))).is_err();
    for token in provisional::tokens(memory.connection())?.into_iter().filter(over) {
        let mut batch = memory.begin()?;
        batch.remove_live(&token)?;
        batch.commit()?;
    }
    Ok(())
}

/// The inode of a file; 0 if there is none, or the system has none.
fn inode_of(path: &Path) -> u64 {
    platform::lstat(path).map_or(0, |metadata| Signature::of(&metadata).inode)
}

/// Says what became of a live file, where that is worth a word.
fn tell(name: &OsStr, adoption: &io::Result<Adoption>, again: bool) {
    match adoption {
        Ok(Adoption::Adopted(to)) => {
            info!(
                name = shown(name),
                to = shown(to),
                "the app of a running chat died; the chat is learned as it is"
            );
        }
        Ok(Adoption::Empty) => {
            info!(name = shown(name), "nothing was said in a chat whose app died");
        }
        Ok(Adoption::Left(why)) if !again => {
            warn!(name = shown(name), why, "a live file is left where it is");
        }
        Ok(Adoption::Running | Adoption::Left(_)) => {}
        Err(problem) if is_gone(problem) => {}
        Err(problem) if !again => {
            warn!(name = shown(name), error = %problem, "a live file cannot be looked at");
        }
        Err(_) => {}
    }
}

/// A live file that is looked after.
struct Looked {
    /// `None` if it is only waited for its end.
    chat: Option<Chat>,
    seen: Option<Signature>,
    changed: bool,
    /// No look before this.
    rest_until: Instant,
    /// No look whether its app lives before this.
    check_at: Instant,
    gone_since: Option<Instant>,
    /// It was said that it cannot be followed.
    complained: bool,
}

impl Looked {
    fn new(token: &str, home: &Home, follow: bool) -> Self {
        let name = format!(".live-{token}.jsonl");
        Looked {
            chat: follow.then(|| Chat::new(token, home.spool.join(name))),
            seen: None,
            changed: true,
            rest_until: Instant::now(),
            check_at: Instant::now(),
            gone_since: None,
            complained: false,
        }
    }
}

struct Worker {
    home: Home,
    desk: Desk,
    /// That of memory.db when it was opened.
    inode: u64,
    rules: AdoptionRules,
    follow: bool,
    rescan: Duration,
    hints: LiveHints,
    changed: Receiver<OsString>,
    /// By token.
    chats: HashMap<String, Looked>,
    /// Live files that are not ours to take, and were said to be so.
    left: HashSet<String>,
    stop: Arc<AtomicBool>,
    running: Arc<AtomicUsize>,
}

impl Worker {
    fn run(mut self) {
        self.take_up_what_is_stored();
        let mut read: Option<Instant> = None;
        while !self.stop.load(Ordering::Acquire) {
            let period = if self.hints.arrive() { self.rescan } else { POLL.min(self.rescan) };
            let period = platform::hurried(period);
            if self.hints.take_missed() || read.is_none_or(|at| at.elapsed() >= period) {
                read = Some(Instant::now());
                self.follow_memory();
                self.read_spool();
            }
            self.look_at_all();
            let until_read = read.map_or(period, |at| period.saturating_sub(at.elapsed()));
            self.wait(until_read);
        }
    }

    /// Goes over to a memory.db that took the place of a damaged one.
    fn follow_memory(&mut self) {
        let path = self.home.memory_db();
        let inode = inode_of(&path);
        if inode == self.inode || inode == 0 {
            return;
        }
        match Writer::open_beside(&path) {
            Ok(memory) => {
                self.desk.memory = memory;
                self.inode = inode;
                self.chats.clear();
            }
            Err(problem) => debug!(error = %problem, "the new memory.db cannot be opened yet"),
        }
    }

    /// What an earlier run stored of chats that may be over by now.
    fn take_up_what_is_stored(&mut self) {
        match provisional::tokens(self.desk.memory.connection()) {
            Ok(tokens) => {
                for token in tokens {
                    let looked = Looked::new(&token, &self.home, self.follow);
                    self.chats.insert(token, looked);
                }
            }
            Err(problem) => warn!(error = %problem, "what is stored of running chats cannot be read"),
        }
    }

    /// Waits for a hint, the next look that is due, or the next reading of the spool.
    fn wait(&mut self, until_read: Duration) {
        let now = Instant::now();
        let resting = self.chats.values().filter(|looked| looked.changed);
        let due = resting.map(|looked| looked.rest_until.saturating_duration_since(now)).min();
        let beat = if self.chats.is_empty() { until_read } else { until_read.min(BEAT) };
        match self.changed.recv_timeout(due.map_or(beat, |due| beat.min(due)).max(Duration::from_millis(1))) {
            Ok(name) => {
                self.heed(&name);
                while let Ok(name) = self.changed.try_recv() {
                    self.heed(&name);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            // The intake has ended; the beat goes on until the stop.
            Err(RecvTimeoutError::Disconnected) => std::thread::park_timeout(PAUSE),
        }
    }

    fn heed(&mut self, name: &OsStr) {
        let Some(token) = live_token(name) else { return };
        if let Some(looked) = self.chats.get_mut(token) {
            looked.changed = true;
        } else {
            self.take_up(token);
        }
    }

    fn take_up(&mut self, token: &str) {
        let follow = self.follow && self.chats.len() < FOLLOWED;
        let home = &self.home;
        self.chats.entry(token.to_owned()).or_insert_with(|| Looked::new(token, home, follow));
    }

    fn read_spool(&mut self) {
        let Ok(entries) = std::fs::read_dir(&self.home.spool) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if let Some(token) = live_token(&name) {
                self.take_up(token);
            } else if is_unfinished(&name)
                && let Err(problem) = remove_leftover(&self.home, &name, SystemTime::now())
            {
                debug!(name = shown(&name), error = %problem, "a leftover stays");
            }
        }
    }

    fn look_at_all(&mut self) {
        let tokens: Vec<String> = self.chats.keys().cloned().collect();
        let mut running = 0;
        for token in tokens {
            if self.stop.load(Ordering::Acquire) {
                return;
            }
            let Some(mut looked) = self.chats.remove(&token) else { continue };
            let name: OsString = format!(".live-{token}.jsonl").into();
            if self.look_at(&token, &name, &mut looked) {
                running += usize::from(looked.gone_since.is_none());
                self.chats.insert(token, looked);
            } else {
                self.left.remove(&token);
            }
        }
        self.running.store(running, Ordering::Relaxed);
    }

    /// Looks at one live file. `false` once nothing is left of it.
    fn look_at(&mut self, token: &str, name: &OsStr, looked: &mut Looked) -> bool {
        let metadata = match platform::lstat(&self.home.spool.join(name)) {
            Ok(metadata) => metadata,
            Err(problem) if is_gone(&problem) => return self.is_still_wanted(token, looked),
            Err(problem) => {
                debug!(name = shown(name), error = %problem, "a live file cannot be looked at");
                return true;
            }
        };
        looked.gone_since = None;
        let signature = Signature::of(&metadata);
        looked.changed |= looked.seen != Some(signature);
        let now = Instant::now();
        if let Some(chat) = &mut looked.chat {
            let wants = looked.changed || chat.is_owing() || chat.is_outdated(&self.desk.state);
            if wants && now >= looked.rest_until {
                looked.seen = Some(signature);
                looked.changed = false;
                let result = chat.look(&mut self.desk);
                looked.rest_until =
                    Instant::now() + (now.elapsed() * PAUSE_PER_WORK).clamp(PAUSE, LONGEST_PAUSE);
                self.complain(name, result, &mut looked.complained);
            }
        } else {
            looked.changed = false;
        }
        if now >= looked.check_at {
            looked.check_at = now + CHECK.min(self.rules.silent_for.max(PAUSE));
            self.adopt_if_silent(token, name, &metadata);
        }
        true
    }

    fn adopt_if_silent(&mut self, token: &str, name: &OsStr, metadata: &std::fs::Metadata) {
        let now = SystemTime::now();
        let silent = metadata.modified().ok().and_then(|at| now.duration_since(at).ok()).unwrap_or_default();
        if silent < self.rules.silent_for {
            return;
        }
        let adoption = adopt(&self.home, name, &self.rules, now);
        tell(name, &adoption, self.left.contains(token));
        if matches!(adoption, Ok(Adoption::Left(_)) | Err(_)) {
            self.left.insert(token.to_owned());
        }
    }

    /// Whether what was stored of a chat whose file is gone is still to be kept: a moment, while the session file is
    /// learned. Its commit removes it; where there will be none, this does.
    fn is_still_wanted(&mut self, token: &str, looked: &mut Looked) -> bool {
        let since = *looked.gone_since.get_or_insert_with(Instant::now);
        looked.changed = false;
        if since.elapsed() < LINGER {
            return true;
        }
        match remove(&mut self.desk, token) {
            Ok(pieces) => {
                if pieces > 0 {
                    info!(
                        token,
                        pieces, "let go of what was stored of a chat that ended without being learned"
                    );
                }
                false
            }
            Err(problem) => {
                debug!(token, error = %problem, "what was stored of a chat that is over stays a little");
                true
            }
        }
    }

    fn complain(&self, name: &OsStr, result: Result<(), Trouble>, complained: &mut bool) {
        match result {
            Ok(()) => *complained = false,
            Err(Trouble::File(problem)) if is_gone(&problem) => {}
            Err(problem) if *complained => debug!(name = shown(name), %problem, "still not followed"),
            Err(problem) => {
                *complained = true;
                warn!(
                    name = shown(name), %problem,
                    "what is said in a running chat is not recallable now; it is learned at its end"
                );
            }
        }
    }
}
