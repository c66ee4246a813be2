//! What must hold of a home, looked at from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use atles::state::{LedgerEntry, Outcome, SledStore, State, Totals};
use serde_json::{Value, json};

use crate::chats::{Dropped, Expected, Fate};
use crate::support::{Home, files_below};

const FOLDERS: [&str; 4] = ["spool", "work", "done", "failed"];

/// What does not hold, each in a sentence. Empty: all is well.
pub(crate) type Faults = Vec<String>;

macro_rules! must {
    ($faults:expr, $holds:expr, $($words:tt)*) => {
        if !$holds {
            $faults.push(format!($($words)*));
        }
    };
}

/// Where the dropped files lie: folder and name by inode, and what is wrong with that.
fn places(home: &Home, faults: &mut Faults) -> BTreeMap<u64, (&'static str, String)> {
    let mut places: BTreeMap<u64, (&str, String)> = BTreeMap::new();
    for folder in FOLDERS {
        let Ok(entries) = fs::read_dir(home.path(folder)) else { continue };
        for entry in entries.map(Result::unwrap) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_sidecar = folder == "failed" && name.ends_with(".error.json");
            if name.starts_with('.') || is_sidecar {
                continue;
            }
            if let Some((earlier, _)) = places.insert(entry.ino(), (folder, name.clone())) {
                faults.push(format!("{name} lies in {earlier}/ and in {folder}/"));
            }
        }
    }
    places
}

/// Holds at every moment: each file is in exactly one folder, and what is written is written whole.
pub(crate) fn at_any_moment(home: &Home, expected: &Expected, being_written: Option<u64>) -> Faults {
    let mut faults = Faults::new();
    let places = places(home, &mut faults);
    for (inode, file) in &expected.files {
        let place = places.get(inode);
        must!(faults, place.is_some(), "{} is nowhere", file.name);
        if being_written == Some(*inode) && file.fate == Fate::Done {
            must!(
                faults,
                place.is_none_or(|(folder, _)| *folder == "spool"),
                "{} was taken while it was being written",
                file.name
            );
        }
    }
    must!(faults, places.len() == expected.files.len(), "there are files that nobody dropped");
    faults
}

/// No file that people or programs read is torn. `tail`: the last line of the master log may be, until a start.
pub(crate) fn whole_files(home: &Home, tail: bool) -> Faults {
    let mut faults = Faults::new();
    for folder in ["logs", "training_data", "failed"] {
        if !home.path(folder).exists() {
            continue;
        }
        for path in files_below(&home.path(folder)) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // A sidecar without its file was on its way; the next start takes it away.
            let is_ours = folder != "failed"
                || name
                    .strip_suffix(".error.json")
                    .is_some_and(|file| home.path("failed").join(file).exists());
            if name.starts_with('.') || !is_ours {
                continue;
            }
            let text = fs::read(&path).unwrap();
            let is_whole = match path.extension().and_then(|end| end.to_str()) {
                Some("json") => serde_json::from_slice::<Value>(&text).is_ok(),
                Some("jsonl") => are_whole_lines(&text, tail && name == "master_log.jsonl"),
                _ => true,
            };
            must!(faults, is_whole, "{folder}/{name} is torn");
        }
    }
    faults
}

fn are_whole_lines(text: &[u8], but_the_last: bool) -> bool {
    let mut lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
    let end = lines.pop().unwrap_or_default();
    (end.is_empty() || but_the_last) && lines.iter().all(|line| serde_json::from_slice::<Value>(line).is_ok())
}

/// What the state store of a stopped daemon holds.
struct Ledger {
    entries: Vec<LedgerEntry>,
    totals: Totals,
    left_records: usize,
}

impl Ledger {
    fn read(home: &Home) -> Self {
        let state = State::new(Arc::new(SledStore::open(&home.path("state/sled")).unwrap()));
        let mut entries = Vec::new();
        state.entries(&mut |_, entry| entries.push(entry)).unwrap();
        Ledger { entries, totals: state.totals().unwrap(), left_records: state.files().unwrap().len() }
    }

    fn count(&self, outcomes: &[Outcome]) -> u64 {
        self.entries.iter().filter(|entry| outcomes.contains(&entry.outcome)).count() as u64
    }

    /// Keys of the sessions that were learned, as often as they were.
    fn learned(&self) -> Vec<&str> {
        let learned = |entry: &&LedgerEntry| matches!(entry.outcome, Outcome::Learned | Outcome::Revision);
        self.entries.iter().filter(learned).flat_map(|entry| &entry.sessions).map(String::as_str).collect()
    }
}

/// Holds when all is settled and the daemon has stopped.
pub(crate) fn when_settled(home: &Home, expected: &Expected) -> Faults {
    let mut faults = at_any_moment(home, expected, None);
    faults.extend(whole_files(home, false));
    if !faults.is_empty() {
        return faults;
    }
    let places = places(home, &mut faults);
    let ledger = Ledger::read(home);
    let master = home.master_log();
    folders(home, expected, &places, &mut faults);
    let in_folder = |name: &str| places.values().filter(|(folder, _)| *folder == name).count() as u64;
    let in_ledger = [
        ledger.count(&[Outcome::Learned, Outcome::Revision, Outcome::Duplicate, Outcome::Filtered]),
        ledger.count(&[Outcome::Failed]),
    ];
    let in_folders = [in_folder("done"), in_folder("failed")];
    must!(
        faults,
        in_ledger == in_folders,
        "the ledger has {in_ledger:?} files, done/ and failed/ {in_folders:?}"
    );
    let mut names = BTreeSet::new();
    let again: Vec<_> = ledger.entries.iter().filter(|entry| !names.insert(&entry.file)).collect();
    must!(faults, again.is_empty(), "the ledger has files twice: {again:?}");
    must!(faults, ledger.left_records == 0, "{} records of files in work/ are left", ledger.left_records);

    let keys = memory(home, expected, &mut faults);
    let learned = ledger.learned();
    let once: BTreeSet<&str> = learned.iter().copied().collect();
    must!(faults, once.len() == learned.len(), "the ledger has learned a session twice");
    must!(
        faults,
        keys.values().all(|key| once.contains(key.as_str())),
        "memory.db knows what the ledger does not"
    );
    let mut logged: Vec<&str> = master.iter().filter_map(|line| line["key"].as_str()).collect();
    logged.sort_unstable();
    let expected_log: Vec<&str> = once.iter().copied().collect();
    let is_logged = |key: &String| logged.iter().filter(|logged| *logged == key).count() == 1;
    must!(
        faults,
        keys.values().all(is_logged) && logged == expected_log,
        "the master log has {} lines for {} learned sessions: {:?}",
        logged.len(),
        once.len(),
        differences(&expected_log, &logged)
    );
    session_logs(home, expected, &keys, &mut faults);
    training(home, expected, &mut faults);
    counters(home, expected, &ledger, &master, &mut faults);
    faults
}

fn differences(expected: &[&str], found: &[&str]) -> Vec<String> {
    let short = |key: &&str| key.chars().take(8).collect::<String>();
    let missing = expected.iter().filter(|key| !found.contains(key)).map(|key| format!("-{}", short(key)));
    let twice =
        found.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| format!("2x{}", short(&pair[0])));
    let extra = found.iter().filter(|key| !expected.contains(key)).map(|key| format!("+{}", short(key)));
    missing.chain(twice).chain(extra).take(8).collect()
}

fn folders(
    home: &Home,
    expected: &Expected,
    places: &BTreeMap<u64, (&'static str, String)>,
    faults: &mut Faults,
) {
    for (inode, Dropped { name, hash, fate }) in &expected.files {
        let Some((folder, now)) = places.get(inode) else { continue };
        let belongs = match fate {
            Fate::Done => *folder == "done",
            Fate::Failed => *folder == "failed",
            Fate::Either => matches!(*folder, "done" | "failed"),
        };
        must!(faults, belongs, "{name} ended in {folder}/ and belongs {fate:?}");
        let path = home.path(folder).join(now);
        must!(faults, blake3::hash(&fs::read(&path).unwrap()) == *hash, "{name} has another content now");
        if *folder == "failed" {
            let sidecar = fs::read(home.path("failed").join(format!("{now}.error.json"))).unwrap_or_default();
            let sidecar: Value = serde_json::from_slice(&sidecar).unwrap_or_default();
            must!(faults, sidecar["kind"].is_string(), "{name} is in failed/ without its sidecar");
        }
    }
    let sidecars = home.names("failed").iter().filter(|name| name.ends_with(".error.json")).count();
    must!(faults, sidecars == home.failed().len(), "{sidecars} sidecars for {} files", home.failed().len());
}

/// What memory.db holds, against the chats; the key of each session by its id.
fn memory(home: &Home, expected: &Expected, faults: &mut Faults) -> BTreeMap<String, String> {
    let db = home.memory();
    let sound: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    must!(faults, sound == "ok", "memory.db is damaged: {sound}");
    let mut keys = BTreeMap::new();
    let mut sessions =
        db.prepare("SELECT id, session_id, lower(hex(key)), message_count FROM sessions").unwrap();
    let mut texts = db.prepare("SELECT text FROM messages WHERE id >> 20 = ? ORDER BY id").unwrap();
    let rows = sessions.query_map([], |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, String>(2)?,
            row.get::<_, usize>(3)?,
        ))
    });
    for (row, id, key, count) in rows.unwrap().map(Result::unwrap) {
        must!(faults, keys.insert(id.clone(), key).is_none(), "memory.db has {id} twice");
        let turns: Vec<String> =
            texts.query_map([row], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let Some(chat) = expected.chats.get(&id) else {
            faults.push(format!("memory.db has {id}, which nobody said"));
            continue;
        };
        must!(
            faults,
            turns == chat.turns && count == turns.len(),
            "memory.db has {} messages of {id} ({count} counted) and not these {}",
            turns.len(),
            chat.turns.len()
        );
    }
    let missing: Vec<_> = expected.chats.keys().filter(|id| !keys.contains_key(*id)).collect();
    must!(faults, missing.is_empty(), "memory.db lacks {missing:?}");
    let of_none = "SELECT count(*) FROM messages WHERE id >> 20 NOT IN (SELECT id FROM sessions)";
    must!(faults, home.count(of_none) == 0, "memory.db has messages of no session");
    keys
}

fn session_logs(home: &Home, expected: &Expected, keys: &BTreeMap<String, String>, faults: &mut Faults) {
    let mut logged = BTreeMap::new();
    for (name, log) in home.session_logs() {
        let id = log["session_id"].as_str().unwrap_or_default().to_owned();
        must!(
            faults,
            log["key"].as_str() == keys.get(&id).map(String::as_str),
            "{name} is of an earlier state"
        );
        must!(faults, logged.insert(id.clone(), name).is_none(), "two session logs of {id}");
    }
    let ids: BTreeSet<&String> = logged.keys().collect();
    must!(
        faults,
        ids == expected.chats.keys().collect(),
        "{} session logs of {}",
        ids.len(),
        expected.chats.len()
    );
}

fn training(home: &Home, expected: &Expected, faults: &mut Faults) {
    let mut found: Vec<[String; 2]> = home
        .examples()
        .iter()
        .map(|line| {
            ["instruction", "output"].map(|field| line[field].as_str().unwrap_or_default().to_owned())
        })
        .collect();
    let pairs = |turns: &Vec<String>| {
        turns.chunks_exact(2).map(|pair| [pair[0].clone(), pair[1].clone()]).collect::<Vec<_>>()
    };
    let mut wanted: Vec<[String; 2]> = expected.chats.values().flat_map(|chat| pairs(&chat.turns)).collect();
    found.sort();
    wanted.sort();
    must!(faults, found == wanted, "{} training examples, and there should be {}", found.len(), wanted.len());
    let files = home.names("training_data").len();
    must!(faults, files == expected.chats.len(), "{files} training files of {} chats", expected.chats.len());
}

fn counters(home: &Home, expected: &Expected, ledger: &Ledger, master: &[Value], faults: &mut Faults) {
    let turns: usize = expected.chats.values().map(|chat| chat.turns.len()).sum();
    // Chats of the writer hold nothing to remember but what was said, and what goes on keeps what it began with.
    let logged: u64 = master.iter().filter_map(|line| line["memory_items_created"].as_u64()).sum();
    must!(
        faults,
        logged == turns as u64,
        "the master log tells of {logged} new items, and there are {turns}"
    );
    let stored = home.count("SELECT ifnull(sum(items), 0) FROM sessions");
    must!(faults, stored == turns as i64, "memory.db tells of {stored} new items, and there are {turns}");
    let counted = json!({
        "entries": ledger.entries.len(), "files_learned": ledger.count(&[Outcome::Learned, Outcome::Revision]),
        "duplicates": ledger.count(&[Outcome::Duplicate]), "filtered": ledger.count(&[Outcome::Filtered]),
        "failed": ledger.count(&[Outcome::Failed]), "revisions": ledger.count(&[Outcome::Revision]),
        "sessions": expected.chats.len(), "messages": turns, "examples": turns / 2, "memory_items": turns,
        "redactions": 0, "fine_tunes": 0, "since": ledger.totals.since,
    });
    let totals = serde_json::to_value(ledger.totals).unwrap();
    must!(faults, totals == counted, "the counters say {totals}, and it is {counted}");
    let stats = fs::read(home.path("logs/daemon_stats.json")).unwrap_or_default();
    let stats: Value = serde_json::from_slice(&stats).unwrap_or_default();
    let told = json!([
        stats["sessions_processed"],
        stats["total_messages"],
        stats["total_memory_items"],
        stats["sessions_failed"],
        stats["duplicates"],
        stats["revisions"]
    ]);
    let right = json!([
        counted["sessions"],
        counted["messages"],
        counted["memory_items"],
        counted["failed"],
        counted["duplicates"],
        counted["revisions"]
    ]);
    must!(faults, told == right, "daemon_stats.json says {told}, and it is {right}");
}

/// Holds at every moment too: what rests in `done/` is in memory.db.
pub(crate) fn done_is_learned(home: &Home, expected: &Expected) -> Faults {
    let mut faults = Faults::new();
    if !home.path("memory.db").exists() || home.done().is_empty() {
        must!(faults, home.done().is_empty(), "files rest in done/ and there is no memory.db");
        return faults;
    }
    let known: BTreeSet<String> = {
        let db = home.memory();
        let mut statement = db.prepare("SELECT session_id FROM sessions").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    for name in home.done() {
        let path = home.path("done").join(&name);
        let inode = path.symlink_metadata().unwrap().ino();
        if expected.files.contains_key(&inode) {
            for id in ids_in(&path) {
                must!(faults, known.contains(&id), "{name} rests in done/ and {id} is not in memory.db");
            }
        }
    }
    faults
}

/// The ids of the sessions in a file of the writer.
fn ids_in(path: &Path) -> Vec<String> {
    let document: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap_or_default();
    let of_list = document.as_array().into_iter().flatten().map(|one| &one["id"]);
    of_list.chain([&document["session_id"]]).filter_map(Value::as_str).map(str::to_owned).collect()
}
