use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{Home, SIDECAR_SUFFIX, Sidecar};
use crate::platform;

/// How long settled files are kept; `None` keeps them for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Files in `done/`.
    pub done: Option<Duration>,
    /// Files in `failed/`, with their sidecars.
    pub failed: Option<Duration>,
    /// Session logs in `logs/`.
    pub logs: Option<Duration>,
}

impl Retention {
    /// The shortest of the limits.
    pub fn shortest(&self) -> Option<Duration> {
        [self.done, self.failed, self.logs].into_iter().flatten().min()
    }
}

/// Deletes what is older than the user allows, and nothing where the user set no limit. The age of a file counts from
/// when it was settled. Returns how many files went.
///
/// # Errors
/// A folder that cannot be read; what was deleted before stays deleted.
pub fn sweep(home: &Home, retention: Retention, now: SystemTime) -> io::Result<usize> {
    let mut deleted = 0;
    if let Some(keep) = retention.done {
        deleted += sweep_folder(&home.done, keep, now, |_| true)?;
    }
    if let Some(keep) = retention.failed {
        deleted += sweep_folder(&home.failed, keep, now, |name| !name.ends_with(SIDECAR_SUFFIX))?;
    }
    if let Some(keep) = retention.logs {
        deleted += sweep_folder(&home.logs(), keep, now, |name| name.starts_with("session_log_"))?;
    }
    Ok(deleted)
}

fn sweep_folder(
    dir: &Path,
    keep: Duration,
    now: SystemTime,
    counts: impl Fn(&str) -> bool,
) -> io::Result<usize> {
    let mut deleted = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        if !counts(&entry.file_name().to_string_lossy()) {
            continue;
        }
        let Ok(metadata) = platform::lstat(&path) else { continue };
        let old = now.duration_since(platform::last_change(&metadata)).is_ok_and(|age| age > keep);
        if old && !metadata.is_dir() && std::fs::remove_file(&path).is_ok() {
            let _ = std::fs::remove_file(Sidecar::beside(&path));
            deleted += 1;
        }
    }
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_user_limited_goes_and_a_dead_letter_takes_its_sidecar_along() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        home.prepare().unwrap();
        for path in [home.done.join("a"), home.failed.join("b"), home.failed.join("b.error.json")] {
            std::fs::write(path, "x").unwrap();
        }
        let day = Duration::from_secs(86_400);
        let later = SystemTime::now() + 2 * day;
        assert_eq!(sweep(&home, Retention::default(), later).unwrap(), 0);
        let failed_only = Retention { failed: Some(day), ..Retention::default() };
        assert_eq!((failed_only.shortest(), Retention::default().shortest()), (Some(day), None));
        assert_eq!(sweep(&home, failed_only, SystemTime::now()).unwrap(), 0, "too young");
        assert_eq!(sweep(&home, failed_only, later).unwrap(), 1);
        assert_eq!(std::fs::read_dir(&home.failed).unwrap().count(), 0);
        assert!(home.done.join("a").exists());
    }
}
