//! Live files whose app died: they become session files by one rename. clients/FORMAT.md is the contract.

use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::names::{move_into, shown};
use super::{Home, NameFilter};
use crate::platform::{self, Signature};
use crate::session::formats::{LIVE_VERSION, LiveWriter};

/// How names of live files begin and end. Between stands a token that says nothing of the session.
const PREFIX: &str = ".live-";
const SUFFIX: &str = ".jsonl";
/// Longest first line, in bytes, and how much of a file is read to see whether anything is in it.
const FIRST_LINE: u64 = 1 << 20;
/// After so long without a word a live file is taken of whose writer nobody can tell whether it lives: one on another
/// machine, or in another container.
const OUT_OF_SIGHT: Duration = Duration::from_secs(12 * 3600);
/// After so long what a crash left half-made is deleted.
const LEFTOVER: Duration = Duration::from_secs(24 * 3600);

/// The token of a live file's name; `None` for any other name.
pub fn live_token(name: &OsStr) -> Option<&str> {
    let token = name.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (!token.is_empty() && token.len() <= 128 && token.chars().all(plain)).then_some(token)
}

/// Whether a name is that of a file which a client makes on the way to another, and leaves behind only in a crash.
pub fn is_unfinished(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let between = |prefix: &str, suffix: &str| {
        name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(suffix)).is_some_and(|token| {
            token.len() >= 32 && token.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        })
    };
    between(".new-", SUFFIX) || between(".end-", ".json")
}

/// When a live file may be taken.
#[derive(Debug, Clone)]
pub struct AdoptionRules {
    /// How long it must have been silent.
    pub silent_for: Duration,
    /// Which names are session files.
    pub names: NameFilter,
    /// Larger ones are left, in bytes.
    pub max_size: u64,
}

/// What became of a live file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adoption {
    /// It is a session file now, under this name.
    Adopted(OsString),
    /// Nothing was said in it; it is gone.
    Empty,
    /// Its writer lives, or spoke a moment ago.
    Running,
    /// It is not ours to take, for this reason.
    Left(&'static str),
}

/// Takes a live file if its writer is gone.
///
/// # Errors
/// What the system said; the file then is where it was.
pub fn adopt(home: &Home, name: &OsStr, rules: &AdoptionRules, now: SystemTime) -> io::Result<Adoption> {
    let Some(token) = live_token(name) else { return Ok(Adoption::Left("not the name of a live file")) };
    let path = home.spool.join(name);
    let (file, metadata) = platform::open_regular(&path)?;
    let silence = now.duration_since(metadata.modified()?).unwrap_or_default();
    if silence < rules.silent_for {
        return Ok(Adoption::Running);
    }
    if metadata.len() > rules.max_size {
        return Ok(Adoption::Left("larger than [spool] max_size"));
    }
    let mut opening = Vec::new();
    (&file).take(FIRST_LINE).read_to_end(&mut opening)?;
    let Some(writer) = LiveWriter::of(&opening) else {
        return if silence < LEFTOVER || opening.contains(&b'\n') {
            Ok(Adoption::Left("its first line does not say who writes it"))
        } else {
            remove_if_same(&path, &metadata).map(|()| Adoption::Empty)
        };
    };
    if writer.version != LIVE_VERSION {
        return Ok(Adoption::Left("of a later version"));
    }
    match presence(&file, &writer)? {
        Presence::Lives => return Ok(Adoption::Running),
        Presence::OutOfSight if silence < OUT_OF_SIGHT => return Ok(Adoption::Running),
        Presence::OutOfSight | Presence::Gone => {}
    }
    // The lock is ours until the end of this function; but another may have had it, and the file, a moment before.
    if !is_same(&path, &metadata) {
        return Ok(Adoption::Running);
    }
    if !has_message(&opening) {
        return remove_if_same(&path, &metadata).map(|()| Adoption::Empty);
    }
    let wanted = [format!("completed_live-{token}.jsonl"), format!("completed_live-{token}.json")];
    let Some(wanted) = wanted.iter().map(OsStr::new).find(|name| rules.names.takes(name)) else {
        return Ok(Adoption::Left("[spool] include takes no name that it could have"));
    };
    let adopted = move_into(&path, &home.spool, wanted, 0)?;
    Ok(Adoption::Adopted(adopted.file_name().unwrap_or(wanted).to_os_string()))
}

/// Deletes what a crash of a client left half-made, once it is old. `true` if it did.
///
/// # Errors
/// What the system said.
pub fn remove_leftover(home: &Home, name: &OsStr, now: SystemTime) -> io::Result<bool> {
    let path = home.spool.join(name);
    let metadata = platform::lstat(&path)?;
    let age = now.duration_since(platform::last_change(&metadata)).unwrap_or_default();
    if !is_unfinished(name) || !metadata.is_file() || age < LEFTOVER {
        return Ok(false);
    }
    std::fs::remove_file(&path)?;
    tracing::info!(name = shown(name), "deleted what a crash of a chat app had left half-made");
    Ok(true)
}

/// Whether a writer is there.
#[derive(Debug, PartialEq, Eq)]
enum Presence {
    Lives,
    Gone,
    /// On another machine or in another container.
    OutOfSight,
}

fn presence(file: &File, writer: &LiveWriter) -> io::Result<Presence> {
    if writer.lock == "flock" {
        return match file.try_lock() {
            Ok(()) => Ok(Presence::Gone),
            Err(TryLockError::WouldBlock) => Ok(Presence::Lives),
            Err(TryLockError::Error(error)) => Err(error),
        };
    }
    if writer.host != platform::host_name() || writer.pids != platform::pid_namespace() {
        return Ok(Presence::OutOfSight);
    }
    if writer.boot != platform::boot_id() {
        return Ok(Presence::Gone);
    }
    let Some(pid) = writer.pid.filter(|pid| *pid > 0) else { return Ok(Presence::OutOfSight) };
    let lives = match &writer.began {
        Some(began) => Some(platform::began(pid).as_ref() == Some(began)),
        None => platform::is_running(pid),
    };
    Ok(match lives {
        Some(true) => Presence::Lives,
        Some(false) => Presence::Gone,
        None => Presence::OutOfSight,
    })
}

/// Whether the path still leads to the file that was opened, and nothing was added to it since.
fn is_same(path: &Path, opened: &std::fs::Metadata) -> bool {
    platform::lstat(path).is_ok_and(|now| Signature::of(&now) == Signature::of(opened))
}

fn remove_if_same(path: &Path, opened: &std::fs::Metadata) -> io::Result<()> {
    if is_same(path, opened) { std::fs::remove_file(path) } else { Ok(()) }
}

/// Whether a whole line stands behind the first one.
fn has_message(opening: &[u8]) -> bool {
    opening.len() as u64 >= FIRST_LINE || opening.iter().filter(|&&byte| byte == b'\n').count() > 1
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use serde_json::{Value, json};

    use super::*;

    const SAID: &str = "{\"role\":\"user\",\"content\":\"a\"}\n";

    struct Spool {
        _dir: tempfile::TempDir,
        home: Home,
        rules: AdoptionRules,
    }

    impl Spool {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let home = Home::at(dir.path());
            home.prepare().unwrap();
            let names = NameFilter::new(&["*.json".into(), "*.jsonl".into()]);
            let rules = AdoptionRules { silent_for: Duration::ZERO, names, max_size: 1 << 20 };
            Spool { _dir: dir, home, rules }
        }

        fn write(&self, writer: &Value, messages: &str) -> File {
            let mut file = File::create(self.home.spool.join(".live-1.jsonl")).unwrap();
            writeln!(file, "{}", json!({"session_id": "s", "metadata": {}, "live": writer})).unwrap();
            file.write_all(messages.as_bytes()).unwrap();
            file
        }

        fn adopt_after(&self, later: Duration) -> Adoption {
            adopt(&self.home, OsStr::new(".live-1.jsonl"), &self.rules, SystemTime::now() + later).unwrap()
        }

        fn names(&self) -> Vec<String> {
            let entries = std::fs::read_dir(&self.home.spool).unwrap();
            entries.map(|entry| shown(&entry.unwrap().file_name())).collect()
        }
    }

    fn here() -> Value {
        json!({
            "version": 1, "lock": "pid", "pid": std::process::id(), "host": platform::host_name(),
            "boot": platform::boot_id(), "pids": platform::pid_namespace(),
            "began": platform::began(std::process::id().cast_signed()),
        })
    }

    fn with(key: &str, value: Value) -> Value {
        let mut writer = here();
        writer[key] = value;
        writer
    }

    const ADOPTED: &str = "completed_live-1.jsonl";

    #[test]
    fn a_locked_file_is_left_and_one_that_nobody_holds_is_taken() {
        let spool = Spool::new();
        let file = spool.write(&json!({"version": 1, "lock": "flock"}), SAID);
        file.lock().unwrap();
        assert_eq!(spool.adopt_after(OUT_OF_SIGHT), Adoption::Running);
        drop(file);
        let silent = Spool { rules: AdoptionRules { silent_for: LEFTOVER, ..spool.rules.clone() }, ..spool };
        assert_eq!(silent.adopt_after(Duration::ZERO), Adoption::Running, "it spoke a moment ago");
        assert_eq!(silent.adopt_after(LEFTOVER), Adoption::Adopted(ADOPTED.into()));
        assert_eq!(silent.names(), [ADOPTED]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_writer_without_a_lock_is_known_by_its_process() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let gone = child.id();
        drop(child.stdin.take());
        child.wait().unwrap();
        let taken = Adoption::Adopted(ADOPTED.into());
        let cases = [
            (here(), Duration::ZERO, Adoption::Running),
            (with("began", json!("1")), Duration::ZERO, taken.clone()),
            (with("pid", json!(gone)), Duration::ZERO, taken.clone()),
            (with("began", Value::Null), Duration::ZERO, Adoption::Running),
            (with("boot", json!("another")), Duration::ZERO, taken.clone()),
            (with("host", json!("elsewhere")), Duration::from_secs(60), Adoption::Running),
            (with("host", json!("elsewhere")), OUT_OF_SIGHT, taken),
            (with("pids", json!("pid:[1]")), Duration::from_secs(60), Adoption::Running),
            (with("pid", json!(-1)), Duration::from_secs(60), Adoption::Running),
            (with("version", json!(2)), LEFTOVER, Adoption::Left("of a later version")),
        ];
        for (writer, later, expected) in cases {
            let spool = Spool::new();
            drop(spool.write(&writer, SAID));
            assert_eq!(spool.adopt_after(later), expected, "{writer} after {later:?}");
        }
    }

    #[test]
    fn what_is_empty_goes_and_what_cannot_be_a_session_is_left() {
        let unlocked = json!({"version": 1, "lock": "flock"});
        let spool = Spool::new();
        drop(spool.write(&unlocked, "{\"role\":\"us"));
        assert_eq!((spool.adopt_after(Duration::ZERO), spool.names().len()), (Adoption::Empty, 0));

        std::fs::write(spool.home.spool.join(".live-1.jsonl"), "{\"session_").unwrap();
        assert!(matches!(spool.adopt_after(Duration::ZERO), Adoption::Left(_)));
        assert_eq!((spool.adopt_after(LEFTOVER), spool.names().len()), (Adoption::Empty, 0));

        drop(spool.write(&unlocked, &SAID.repeat(50_000)));
        assert_eq!(spool.adopt_after(Duration::ZERO), Adoption::Left("larger than [spool] max_size"));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("/etc/hostname", spool.home.spool.join(".live-2.jsonl")).unwrap();
            let link = OsStr::new(".live-2.jsonl");
            assert!(adopt(&spool.home, link, &spool.rules, SystemTime::now()).is_err(), "never followed");
        }
    }

    #[test]
    fn the_name_is_one_that_include_takes_and_nothing_is_overwritten() {
        let mut spool = Spool::new();
        std::fs::write(spool.home.spool.join(ADOPTED), "there").unwrap();
        drop(spool.write(&json!({"version": 1, "lock": "flock"}), SAID));
        assert_eq!(spool.adopt_after(Duration::ZERO), Adoption::Adopted("completed_live-1~2.jsonl".into()));
        for (include, expected) in [
            ("completed_*.json", Adoption::Adopted("completed_live-1.json".into())),
            ("*.chat", Adoption::Left("[spool] include takes no name that it could have")),
        ] {
            drop(spool.write(&json!({"version": 1, "lock": "flock"}), SAID));
            spool.rules.names = NameFilter::new(&[include.into()]);
            assert_eq!(spool.adopt_after(Duration::ZERO), expected);
        }
    }

    #[test]
    fn only_old_leftovers_of_clients_are_deleted() {
        let spool = Spool::new();
        let token = "0".repeat(32);
        let unfinished = [format!(".end-{token}.json"), format!(".new-{token}.jsonl")];
        let others = [".end-1.json".to_owned(), ".new-chat.jsonl".into(), format!(".live-{token}.jsonl")];
        for name in unfinished.iter().chain(&others) {
            std::fs::write(spool.home.spool.join(name), "x").unwrap();
            let remove = |later| remove_leftover(&spool.home, OsStr::new(name), SystemTime::now() + later);
            assert!(!remove(Duration::ZERO).unwrap(), "{name}");
            assert_eq!(
                remove(LEFTOVER + Duration::from_secs(1)).unwrap(),
                unfinished.contains(name),
                "{name}"
            );
        }
        for (name, token) in
            [(".live-a1.jsonl", Some("a1")), (".live-.jsonl", None), (".live-a/b.jsonl", None)]
        {
            assert_eq!(live_token(OsStr::new(name)), token);
        }
    }
}
