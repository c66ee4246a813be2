//! When a file in the spool is whole.
//!
//! A file that was renamed in is whole at once. One that is written in place is whole when it has not changed for the
//! settle time *and* reads as whole JSON; one that still does not after the grace period is taken as it is, so that
//! its writer hears of it. Change is watched on a monotonic clock, because wall clocks jump; only at start, when
//! nothing was watched yet, do the file's own times count.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use crate::platform::Signature;

/// What to do with a file that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is whole, or will never be: claim it.
    Take,
    /// It stopped changing, but only a look inside tells whether its writer is through.
    Peek,
    /// Look again later.
    Wait,
}

#[derive(Debug, Clone, Copy)]
struct Watched {
    signature: Signature,
    unchanged_since: Instant,
    due: Instant,
}

/// The files of the spool that are not whole yet.
#[derive(Debug)]
pub(super) struct Readiness {
    settle: Duration,
    grace: Duration,
    files: HashMap<OsString, Watched>,
    due: BTreeSet<(Instant, OsString)>,
}

impl Readiness {
    pub(super) fn new(settle: Duration, grace: Duration) -> Self {
        Readiness { settle, grace, files: HashMap::new(), due: BTreeSet::new() }
    }

    /// Files waited for.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Judges a file by what it looks like now. `age` is how long ago the file itself says it changed; give it only
    /// where nothing could have been watched before (at start).
    pub(super) fn judge(
        &mut self,
        name: &OsStr,
        signature: Signature,
        now: Instant,
        age: Option<Duration>,
    ) -> Decision {
        let unchanged_since = match self.files.get(name) {
            Some(watched) if watched.signature == signature => watched.unchanged_since,
            Some(_) => now,
            None => age.and_then(|age| now.checked_sub(age)).unwrap_or(now),
        };
        let quiet = now.saturating_duration_since(unchanged_since);
        let decision = match quiet {
            quiet if quiet >= self.grace => Decision::Take,
            quiet if quiet >= self.settle => Decision::Peek,
            _ => Decision::Wait,
        };
        let due = if quiet < self.settle { unchanged_since + self.settle } else { now + self.settle };
        self.watch(name, Watched { signature, unchanged_since, due });
        decision
    }

    /// Stops waiting for a file: it was claimed, or is gone.
    pub(super) fn forget(&mut self, name: &OsStr) {
        if let Some(watched) = self.files.remove(name) {
            self.due.remove(&(watched.due, name.to_os_string()));
        }
    }

    /// The next file whose time has come.
    pub(super) fn next_due(&self, now: Instant) -> Option<OsString> {
        self.due.first().filter(|(due, _)| *due <= now).map(|(_, name)| name.clone())
    }

    /// When to look again at the earliest.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    fn watch(&mut self, name: &OsStr, watched: Watched) {
        if let Some(before) = self.files.insert(name.to_os_string(), watched) {
            self.due.remove(&(before.due, name.to_os_string()));
        }
        self.due.insert((watched.due, name.to_os_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_millis(500);
    const GRACE: Duration = Duration::from_secs(10);

    fn size(size: u64) -> Signature {
        Signature { inode: 1, size, modified: 0 }
    }

    #[test]
    fn a_file_written_in_place_is_looked_into_only_after_it_was_quiet() {
        let mut readiness = Readiness::new(SETTLE, GRACE);
        let name = OsStr::new("a.json");
        let start = Instant::now();
        assert_eq!(readiness.judge(name, size(1), start, None), Decision::Wait);
        let later = start + Duration::from_millis(400);
        assert_eq!(readiness.judge(name, size(2), later, None), Decision::Wait, "it grew");
        assert_eq!(readiness.next_due(later + Duration::from_millis(499)), None);
        let quiet = later + SETTLE;
        assert_eq!(readiness.next_due(quiet).as_deref(), Some(name));
        assert_eq!(readiness.judge(name, size(2), quiet, None), Decision::Peek);
        assert_eq!(readiness.judge(name, size(2), later + GRACE, None), Decision::Take);
        readiness.forget(name);
        assert_eq!((readiness.len(), readiness.wake_at()), (0, None));
    }

    #[test]
    fn a_preserved_modification_time_does_not_count_while_the_daemon_watches() {
        let mut readiness = Readiness::new(SETTLE, GRACE);
        assert_eq!(readiness.judge(OsStr::new("cp-p.json"), size(1), Instant::now(), None), Decision::Wait);
    }

    #[test]
    fn at_start_an_old_file_is_taken_and_a_young_one_looked_into() {
        let mut readiness = Readiness::new(SETTLE, GRACE);
        let now = Instant::now();
        let mut at = |age| readiness.judge(OsStr::new("x"), size(age), now, Some(Duration::from_secs(age)));
        assert_eq!(at(0), Decision::Wait);
        let mut fresh = Readiness::new(SETTLE, GRACE);
        assert_eq!(fresh.judge(OsStr::new("x"), size(1), now, Some(Duration::from_secs(2))), Decision::Peek);
        let mut fresh = Readiness::new(SETTLE, GRACE);
        assert_eq!(fresh.judge(OsStr::new("x"), size(1), now, Some(GRACE)), Decision::Take);
    }
}
