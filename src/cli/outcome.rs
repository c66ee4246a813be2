//! What came of the chats of one app.

use std::ffi::OsStr;
use std::fmt::Write;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::time::SystemTime;

use super::{report, say};
use crate::memory::MemoryError;
use crate::memory::reader::{self, SessionSummary};
use crate::spool::{Home, SIDECAR_SUFFIX, Sidecar, shown};

/// Stands in the names of files before the token of the run that they belong to (clients/FORMAT.md).
const MARK: &str = "-run-";

/// One run of an app. Clients that it starts put its token into the names of their files.
pub(super) struct Run(String);

impl Run {
    pub(super) fn new() -> Self {
        // The standard library keys its hashes with the system's own randomness.
        let mut random = RandomState::new().build_hasher();
        random.write_u32(std::process::id());
        Run(format!("{:016x}", random.finish()))
    }

    /// 16 hexadecimal digits.
    pub(super) fn token(&self) -> &str {
        &self.0
    }

    /// Whether a client of this run made the file.
    pub(super) fn owns(&self, name: &OsStr) -> bool {
        name.to_string_lossy().contains(&format!("{MARK}{}", self.0))
    }

    /// Whether the file may be of this run: a client of it made it, or no client at all, so that nobody can tell.
    pub(super) fn may_own(&self, name: &OsStr) -> bool {
        self.owns(name) || !is_of_a_client(&name.to_string_lossy())
    }
}

/// Whether a name is one that clients give: `completed_<session>-<16 digits>.json`, or that of an adopted live file.
fn is_of_a_client(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("completed_") else { return false };
    let stem = rest.rsplit_once('.').map_or(rest, |(stem, _)| stem);
    let stem = stem.split_once(MARK).map_or(stem, |(stem, _)| stem);
    let digits = stem.rsplit_once('-').map_or("", |(_, end)| end);
    rest.starts_with("live-") || digits.len() == 16 && digits.chars().all(|c| c.is_ascii_hexdigit())
}

/// How things stood before the app began.
pub(super) struct Before {
    last_session: i64,
    at: SystemTime,
}

impl Before {
    pub(super) fn now(home: &Home) -> Self {
        let last = reader::open(&home.memory_db()).and_then(|memory| reader::last_session(&memory));
        Before { last_session: last.unwrap_or(0), at: SystemTime::now() }
    }
}

/// What was learned from the run, and what was not.
pub(super) fn page(home: &Home, run: &Run, before: &Before) -> String {
    let learned = learned_since(home, run, before).unwrap_or_default();
    let failed = failed_since(home, run, before);
    let mut page = String::new();
    if learned.is_empty() && failed.is_empty() {
        page.push_str("nothing new was learned\n");
    } else if !learned.is_empty() {
        let sum = |number: fn(&SessionSummary) -> u64| learned.iter().map(number).sum::<u64>();
        let _ = writeln!(
            page,
            "learned {}: {}, {}, {}",
            say::count(learned.len() as u64, "session", "sessions"),
            say::count(sum(|session| session.messages), "message", "messages"),
            say::count(sum(|session| session.facts.len() as u64), "fact", "facts"),
            say::count(sum(|session| session.preferences.len() as u64), "preference", "preferences"),
        );
        for session in &learned {
            let _ = report::statements(&mut page, session, "  ");
        }
    }
    for (name, why) in failed {
        let _ = writeln!(page, "not learned: {name}: {why} (`atles failed show` tells what to do)");
    }
    page
}

fn learned_since(home: &Home, run: &Run, before: &Before) -> Result<Vec<SessionSummary>, MemoryError> {
    let memory = reader::open(&home.memory_db())?;
    let mut found = Vec::new();
    for row in reader::sessions_after(&memory, before.last_session)? {
        found.extend(reader::summary(&memory, row)?.filter(|session| run.may_own(OsStr::new(&session.file))));
    }
    Ok(found)
}

fn failed_since(home: &Home, run: &Run, before: &Before) -> Vec<(String, String)> {
    let Ok(entries) = std::fs::read_dir(&home.failed) else { return Vec::new() };
    let mut failed = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(file) = shown(&name).strip_suffix(SIDECAR_SUFFIX).map(str::to_owned) else { continue };
        let since = entry.metadata().and_then(|metadata| metadata.modified()).is_ok_and(|at| at >= before.at);
        if since && run.may_own(OsStr::new(&file)) {
            failed.push((file.clone(), why(&home.failed.join(&file))));
        }
    }
    failed
}

fn why(file: &Path) -> String {
    Sidecar::read(file).map_or_else(String::new, |sidecar| format!("{}: {}", sidecar.stage, sidecar.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_of_this_run_of_another_or_of_nobody_known() {
        let run = Run("0123456789abcdef".into());
        let cases = [
            ("completed_s1-00112233445566ff-run-0123456789abcdef.json", (true, true)),
            (".live-00-run-0123456789abcdef.jsonl", (true, true)),
            ("completed_live-00-run-0123456789abcdef~2.jsonl", (true, true)),
            ("completed_s1-00112233445566ff-run-ffffffffffffffff.json", (false, false)),
            ("completed_s1-00112233445566ff.json", (false, false)),
            ("completed_live-0011.jsonl", (false, false)),
            ("completed_session_20261122_100000.json", (false, true)),
            ("chat-17.json", (false, true)),
        ];
        for (name, expected) in cases {
            assert_eq!((run.owns(OsStr::new(name)), run.may_own(OsStr::new(name))), expected, "{name}");
        }
        assert_ne!(Run::new().0, Run::new().0);
        assert_eq!(Run::new().token().len(), 16);
    }
}
