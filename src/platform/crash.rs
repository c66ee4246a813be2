//! Places where a test makes the program crash, lose a sync, or hurry. Debug builds only: in a release build nothing is
//! left.

use std::io;
use std::time::Duration;

/// Ends the process on the spot, as a crash would, where `ATLES_FAILPOINT=NAME` or `ATLES_FAILPOINT=NAME:N` names this
/// place and it is reached for the N-th time.
pub fn failpoint(name: &'static str) {
    if cfg!(debug_assertions) {
        debug::failpoint(name);
    }
}

/// Syncs, unless `ATLES_SKIP_SYNC` names this sync: so a test shows that it is needed.
///
/// # Errors
/// What the sync said.
pub fn sync_point(name: &'static str, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    if cfg!(debug_assertions) && debug::is_skipped(name) {
        return Ok(());
    }
    sync()
}

/// The pause between two rounds of work that comes again and again, shorter by the factor `ATLES_HURRY`: so a test has a
/// day's rounds in a minute.
pub fn hurried(pause: Duration) -> Duration {
    if cfg!(debug_assertions) { pause / debug::hurry() } else { pause }
}

mod debug {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicI64, Ordering};

    static ARMED: LazyLock<Option<(String, AtomicI64)>> = LazyLock::new(|| {
        let armed = std::env::var("ATLES_FAILPOINT").ok()?;
        let (name, count) = armed.split_once(':').unwrap_or((&armed, "1"));
        Some((name.to_owned(), AtomicI64::new(count.parse().unwrap_or(1))))
    });
    static SKIPPED: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("ATLES_SKIP_SYNC").ok());

    pub(super) fn failpoint(name: &str) {
        if let Some((armed, left)) = &*ARMED
            && armed == name
            && left.fetch_sub(1, Ordering::AcqRel) == 1
        {
            std::process::abort();
        }
    }

    pub(super) fn hurry() -> u32 {
        static FACTOR: LazyLock<u32> = LazyLock::new(|| {
            let factor = std::env::var("ATLES_HURRY").ok().and_then(|text| text.parse().ok());
            factor.unwrap_or(1).max(1)
        });
        *FACTOR
    }

    pub(super) fn is_skipped(name: &str) -> bool {
        SKIPPED.as_deref() == Some(name)
    }
}
