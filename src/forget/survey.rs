//! What of the home an order concerns: looked for in memory.db and in every file that was dropped.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use regex::bytes::Regex;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::ForgetError;
use super::forgotten::{first_of, identities_of};
use super::needle::Needle;
use super::originals::{Fate, Rewritten, emptied, rewrite};
use super::receipt::{FileGone, SessionGone, TurnHash};
use super::{Order, What};
use crate::memory::forget::{self as memory, Known, Turns};
use crate::platform;
use crate::session::{Identity, Message, Session, SessionKey, opening};
use crate::spool::{Home, SIDECAR_SUFFIX, live_token};
use crate::stages::decode::Decode;
use crate::state::State;

/// Files above this many bytes are not read; no session file comes near it.
const LARGEST: u64 = 1 << 30;

/// A session of which something goes, with all that is needed to go on after a crash.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Target {
    pub(super) whole: bool,
    pub(super) keys: BTreeSet<String>,
    /// As the app calls it, and as we do.
    pub(super) ids: BTreeSet<String>,
    pub(super) user: Option<String>,
    pub(super) first: Option<String>,
    pub(super) stems: BTreeSet<String>,
    /// Ordinals of the turns that go, in the revision that is in memory.
    pub(super) turns: BTreeSet<usize>,
    /// Their words, as they were dropped and as memory has them.
    pub(super) words: BTreeSet<String>,
    /// Their hashes, by which they are known again.
    pub(super) hashes: BTreeSet<String>,
    /// Training examples that go with them.
    pub(super) examples: usize,
    /// How the session reads once they are emptied, where its file is there.
    pub(super) after: Option<After>,
}

/// A session after some of its turns were emptied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct After {
    pub(super) key: String,
    pub(super) messages: usize,
    pub(super) first: u64,
    pub(super) all: u64,
}

/// By identity, in hexadecimal.
pub(super) type Targets = BTreeMap<String, Target>;

/// A dropped file of which something goes.
#[derive(Debug)]
pub(super) struct FileTask {
    pub(super) folder: &'static str,
    pub(super) path: PathBuf,
    pub(super) before: FileGone,
    /// `None`: nothing of it is left.
    pub(super) after: Option<Vec<u8>>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) targets: Targets,
    pub(super) files: Vec<FileTask>,
    /// Sessions in `work/` and `failed/`, whose checkpoints are still of use.
    pub(super) waiting: BTreeSet<String>,
    /// Files that were too large to look into; paths below the home.
    pub(super) unread: Vec<String>,
}

/// What the survey looks with.
pub(super) struct Surveyor<'a> {
    pub(super) home: &'a Home,
    pub(super) decode: &'a Decode,
    pub(super) order: &'a Order,
    pub(super) needle: Option<&'a Needle>,
    pub(super) state: &'a State,
    pub(super) hash: TurnHash,
}

/// What memory.db holds of the order.
#[derive(Default)]
struct InMemory {
    known: HashMap<Identity, Known>,
    turns: HashMap<Identity, BTreeSet<usize>>,
    words: HashMap<Identity, BTreeSet<String>>,
}

impl Surveyor<'_> {
    /// Looks through memory.db and the folders. `before`: what an earlier try, which did not end, had found.
    pub(super) fn look(&self, memory: &Connection, before: Targets) -> Result<Survey, ForgetError> {
        let mut survey = Survey { targets: before, ..Survey::default() };
        let known = self.look_into_memory(memory, &mut survey.targets)?;
        let names: BTreeSet<String> = survey
            .targets
            .keys()
            .filter_map(|identity| super::receipt::hex_identity(identity))
            .flat_map(|identity| {
                let in_memory = known.known.get(&identity).map(|known| known.file.clone());
                let in_ledger = self.state.learned(&identity).ok().flatten().map(|learned| learned.file);
                in_memory.into_iter().chain(in_ledger)
            })
            .collect();
        for (folder, dir) in self.folders() {
            for name in names_in(dir)? {
                self.look_into_file(folder, &dir.join(&name), &names, &known, &mut survey)?;
            }
        }
        for (identity, target) in &mut survey.targets {
            let learned = super::receipt::hex_identity(identity)
                .map(|identity| self.state.learned(&identity))
                .transpose()?
                .flatten();
            if let Some(learned) = learned {
                target.first.get_or_insert_with(|| format!("{:016x}", learned.first));
                target.keys.insert(learned.key);
                if !learned.stem.is_empty() {
                    target.stems.insert(learned.stem);
                }
            }
        }
        Ok(survey)
    }

    fn folders(&self) -> [(&'static str, &Path); 4] {
        let home = self.home;
        [("done", &home.done), ("failed", &home.failed), ("work", &home.work), ("spool", &home.spool)]
    }

    fn look_into_memory(&self, conn: &Connection, targets: &mut Targets) -> Result<InMemory, ForgetError> {
        let sessions = memory::sessions(conn)?;
        if let (What::Session(_), None) = (&self.order.what, &self.order.user) {
            let users: BTreeSet<_> = sessions
                .iter()
                .filter(|it| self.order.names(&it.session_id, it.user_id.as_deref()))
                .map(|it| it.user_id.as_deref())
                .collect();
            if users.len() > 1 {
                return Err(ForgetError::Ambiguous { users: users.len() });
            }
        }
        let concerned: HashMap<i64, &Known> = sessions
            .iter()
            .filter(|it| self.order.concerns(it.user_id.as_deref()))
            .map(|it| (it.row, it))
            .collect();
        let turns = match (&self.order.what, self.needle) {
            (What::Fact(fact), _) => memory::turns_stating(conn, *fact)?.unwrap_or_default(),
            (_, Some(needle)) => {
                let mut turns =
                    memory::turns_matching(conn, needle.regex(), &|row| concerned.contains_key(&row))?;
                for row in memory::notes_matching(conn, needle.regex())? {
                    if concerned.contains_key(&row) {
                        turns.entry(row).or_default();
                    }
                }
                turns
            }
            _ => Turns::new(),
        };
        let mut found = InMemory::default();
        for known in &sessions {
            let id_matches = self.needle.is_some_and(|needle| needle.in_text(&known.session_id));
            let whole = self.order.names(&known.session_id, known.user_id.as_deref())
                || (id_matches && concerned.contains_key(&known.row));
            let turns = turns.get(&known.row).filter(|_| !whole);
            if whole || turns.is_some() {
                let target = targets.entry(known.identity.to_string()).or_default();
                target.add(known.key, &known.session_id, known.user_id.as_deref());
                target.whole |= whole;
                if let Some(turns) = turns {
                    for (turn, (role, words)) in memory::words(conn, known.row, turns)? {
                        target.hashes.insert(self.hash.of(&known.identity, role_name(role), &words));
                        target.words.insert(words.clone());
                        target.turns.insert(turn);
                        found.words.entry(known.identity).or_default().insert(words);
                    }
                    found.turns.insert(known.identity, turns.clone());
                }
            }
        }
        found.known = sessions.into_iter().map(|known| (known.identity, known)).collect();
        Ok(found)
    }

    fn look_into_file(
        &self,
        folder: &'static str,
        path: &Path,
        names: &BTreeSet<String>,
        known: &InMemory,
        survey: &mut Survey,
    ) -> Result<(), ForgetError> {
        let Ok(metadata) = platform::lstat(path) else { return Ok(()) };
        if !metadata.is_file() {
            return Ok(());
        }
        if metadata.len() > LARGEST {
            let below = path.strip_prefix(&self.home.root).unwrap_or(path);
            survey.unread.push(below.display().to_string());
            return Ok(());
        }
        let bytes = match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            read => read.map_err(|source| ForgetError::file(path, source))?,
        };
        let name = crate::spool::shown(path.file_name().unwrap_or_default());
        let waits = matches!(folder, "work" | "failed");
        if !waits && !names.contains(&name) && !self.may_concern(&bytes) {
            return Ok(());
        }
        let task = |after: Option<Vec<u8>>| FileTask {
            folder,
            path: path.to_path_buf(),
            before: FileGone::of(folder, &bytes, after.is_some()),
            after,
        };
        let Ok(decoded) = self.decode.decode(&bytes, &name) else {
            if self.concerns_unreadable(&bytes) {
                survey.files.push(task(None));
            }
            return Ok(());
        };
        let mut fates: Vec<Fate> = decoded
            .sessions
            .iter()
            .map(|session| self.fate(session, &name, decoded.sessions.len(), known, &mut survey.targets))
            .collect::<Result<_, _>>()?;
        if waits {
            let stay = decoded.sessions.iter().zip(&fates).filter(|(_, fate)| **fate == Fate::Stays);
            survey.waiting.extend(stay.map(|(session, _)| SessionKey::of(session).to_string()));
        }
        let hidden = fates.iter().all(|fate| *fate == Fate::Stays)
            && self.needle.is_some_and(|needle| needle.in_bytes(&bytes))
            && decoded.sessions.iter().all(|session| self.order.concerns(session.user_id.as_deref()));
        if hidden {
            // In a branch of the chat that was not taken, in notes, in fields that are not read.
            fates = vec![Fate::Emptied(BTreeSet::new()); decoded.sessions.len()];
        }
        let notes = |text: &str| self.needle.is_some_and(|needle| needle.in_text(text));
        match rewrite(&bytes, &name, self.decode, &decoded, &fates, &notes) {
            Rewritten::Unchanged => {}
            Rewritten::Gone => survey.files.push(task(None)),
            Rewritten::As(after) if after == bytes => {}
            // Its app may have it open, and writes it anew when it is gone.
            Rewritten::As(_) if path.file_name().and_then(live_token).is_some() => {
                survey.files.push(task(None));
            }
            Rewritten::As(after) => survey.files.push(task(Some(after))),
        }
        Ok(())
    }

    /// Whether a file has to be read closely; only what certainly is not concerned is passed over.
    fn may_concern(&self, bytes: &[u8]) -> bool {
        let escaped = || memchr::memmem::find(bytes, b"\\u").is_some();
        match (&self.order.what, self.needle) {
            (What::Session(id) | What::User(id), _) if !id.is_empty() => {
                let json = serde_json::to_string(id).unwrap_or_default();
                let inner = json.get(1..json.len().saturating_sub(1)).unwrap_or_default();
                memchr::memmem::find(bytes, inner.as_bytes()).is_some() || escaped()
            }
            (What::Matching(text), Some(needle)) => {
                needle.in_bytes(bytes) || text.contains(['\n', '\r']) || escaped()
            }
            (What::Fact(_), _) => false,
            _ => true,
        }
    }

    /// Whether a file that is no session names what goes.
    fn concerns_unreadable(&self, bytes: &[u8]) -> bool {
        let names = |fields: &str, id: &str| {
            let json = serde_json::to_string(id).unwrap_or_default();
            Regex::new(&format!("\"(?:{fields})\"\\s*:\\s*{}", regex::escape(&json)))
                .is_ok_and(|pattern| pattern.is_match(bytes))
        };
        match &self.order.what {
            What::Session(id) => names("session_id|conversation_id|id|uuid", id),
            What::User(id) => !id.is_empty() && names("user_id|user", id),
            What::Matching(_) => self.needle.is_some_and(|needle| needle.in_bytes(bytes)),
            What::Fact(_) => false,
        }
    }

    fn fate(
        &self,
        session: &Session,
        file: &str,
        in_file: usize,
        known: &InMemory,
        targets: &mut Targets,
    ) -> Result<Fate, ForgetError> {
        let [plain, own] = identities_of(session);
        let has = |identity: &Identity| -> Result<bool, ForgetError> {
            Ok(known.known.contains_key(identity) || self.state.learned(identity)?.is_some())
        };
        let identity = if has(&own)? { own } else { plain };
        let user = session.user_id.as_deref();
        let concerned = self.order.concerns(user);
        let named =
            |needle: &Needle| needle.in_text(&session.session_id) || (in_file == 1 && needle.in_text(file));
        let key = SessionKey::of(session);
        let earlier_whole = targets.get(&identity.to_string()).is_some_and(|target| {
            target.whole && target.first.as_ref().is_none_or(|first| *first == first_of(session))
        });
        if self.order.means(session) || earlier_whole || (concerned && self.needle.is_some_and(named)) {
            let target = targets.entry(identity.to_string()).or_default();
            target.add(key, &session.session_id, user);
            target.whole = true;
            target.first = Some(first_of(session));
            return Ok(Fate::Goes);
        }
        let turns = self.turns(session, &identity, known, targets.get(&identity.to_string()), concerned);
        let notes = concerned
            && self.needle.is_some_and(|needle| {
                session
                    .metadata
                    .iter()
                    .any(|(name, value)| needle.in_text(name) || needle.in_text(&value.to_string()))
            });
        if turns.is_empty() && !notes {
            return Ok(Fate::Stays);
        }
        let target = targets.entry(identity.to_string()).or_default();
        target.add(key, &session.session_id, user);
        for turn in &turns {
            if let Some(message) = session.messages.get(*turn) {
                target.words.insert(message.text.clone());
                target.hashes.insert(self.hash.of_message(&identity, message));
            }
        }
        let in_ledger = self.state.learned(&identity)?.map(|learned| learned.key);
        let current = known.known.get(&identity).is_some_and(|it| it.key == key)
            || in_ledger.is_some_and(|it| it == key.to_string());
        if current {
            let notes = |text: &str| self.needle.is_some_and(|needle| needle.in_text(text));
            target.turns.extend(&turns);
            target.after = Some(After::of(&emptied(session, &turns, &notes)));
        }
        Ok(Fate::Emptied(turns))
    }

    /// The turns of a session in a file that go.
    fn turns(
        &self,
        session: &Session,
        identity: &Identity,
        known: &InMemory,
        target: Option<&Target>,
        concerned: bool,
    ) -> BTreeSet<usize> {
        let same_length = known.known.get(identity).is_some_and(|it| it.messages == session.messages.len());
        let by_place = known.turns.get(identity).filter(|_| same_length);
        let by_words = known.words.get(identity);
        let goes = |turn: usize, message: &Message| {
            let said = !message.text.is_empty();
            (concerned && self.needle.is_some_and(|needle| mentions(needle, message)))
                || by_place.is_some_and(|turns| turns.contains(&turn))
                || (said && by_words.is_some_and(|words| words.contains(&message.text)))
                || (said
                    && target.is_some_and(|it| it.hashes.contains(&self.hash.of_message(identity, message))))
        };
        let turns = session.messages.iter().enumerate();
        turns.filter(|(turn, message)| goes(*turn, message)).map(|(turn, _)| turn).collect()
    }
}

fn mentions(needle: &Needle, message: &Message) -> bool {
    needle.in_text(&message.text)
        || message.name.as_deref().is_some_and(|name| needle.in_text(name))
        || message
            .metadata
            .iter()
            .any(|(name, value)| needle.in_text(name) || needle.in_text(&text_of(value)))
}

/// The texts in a value, one after the other.
fn text_of(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(list) => list.iter().map(text_of).collect::<Vec<_>>().join("\n"),
        serde_json::Value::Object(entries) => {
            let entry = |(name, value): (&String, &serde_json::Value)| format!("{name}\n{}", text_of(value));
            entries.iter().map(entry).collect::<Vec<_>>().join("\n")
        }
        other => other.to_string(),
    }
}

impl Target {
    fn add(&mut self, key: SessionKey, session_id: &str, user: Option<&str>) {
        self.keys.insert(key.to_string());
        self.ids.insert(session_id.to_owned());
        self.user = user.map(str::to_owned);
    }

    /// What the receipt says of it.
    pub(super) fn gone(&self, identity: &str) -> SessionGone {
        SessionGone {
            identity: identity.to_owned(),
            keys: self.keys.iter().cloned().collect(),
            first: self.first.clone().filter(|_| self.whole),
            whole: self.whole,
            turns: if self.whole { Vec::new() } else { self.hashes.iter().cloned().collect() },
        }
    }
}

impl After {
    fn of(session: &Session) -> Self {
        let messages = session.messages.len();
        After {
            key: SessionKey::of(session).to_string(),
            messages,
            first: opening(session, 1),
            all: opening(session, messages),
        }
    }
}

fn role_name(number: i64) -> &'static str {
    match number {
        0 => "user",
        1 => "assistant",
        2 => "system",
        _ => "tool",
    }
}

fn names_in(dir: &Path) -> Result<Vec<OsString>, ForgetError> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| ForgetError::file(dir, source))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(|source| ForgetError::file(dir, source))?.file_name();
        let bytes = name.as_encoded_bytes();
        let shown = !bytes.starts_with(b".") || live_token(&name).is_some();
        if shown && !bytes.ends_with(SIDECAR_SUFFIX.as_bytes()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
