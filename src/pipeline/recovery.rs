//! What a start makes of what the last run left.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::dispatcher::Parked;
use super::settler::finish_move;
use crate::platform::{self, Clock, Signature};
use crate::spool::{Claimed, Home};
use crate::state::{FileRecord, State, StateError};

/// What was found in `work/`.
pub(super) struct Recovered {
    /// Files to work on, now or when their retry is due.
    pub(super) parked: Parked,
    /// Files whose move was finished, or that are gone: their records can go.
    pub(super) moved: Vec<OsString>,
    /// How many files lay in `work/`.
    pub(super) files: usize,
}

/// Looks through `work/`: finishes the moves of files that the ledger has, and parks the others.
pub(super) fn recover(home: &Home, state: &State, clock: &Clock) -> Result<Recovered, StateError> {
    let mut recovered = Recovered { parked: Parked::default(), moved: Vec::new(), files: 0 };
    let orphans = home.remove_orphaned_sidecars()?;
    if orphans > 0 {
        info!(orphans, "removed sidecars whose file had not been moved yet");
    }
    take_settled_back(home, state)?;
    let now = Instant::now();
    for name in names_in(&home.work)? {
        if name.as_encoded_bytes().starts_with(b".") {
            // Ours: a probe or a redacted copy that a crash left half-written.
            let _ = std::fs::remove_file(home.work.join(&name));
            continue;
        }
        recovered.files += 1;
        let file = Claimed::found(name);
        let record = state.file(&file.name)?.unwrap_or_default();
        match finish_move(home, &file, &record) {
            Ok(true) => {
                platform::failpoint("recovery.moved");
                recovered.moved.push(file.name);
            }
            Ok(false) => {
                recovered.parked.add(file, now + left_to_wait(&record, clock.millis()));
            }
            Err(error) => {
                warn!(file = file.shown(), %error, "a settled file cannot be moved yet");
                recovered.parked.add(file, now);
            }
        }
    }
    for (name, _) in state.files()? {
        if !home.work.join(&name).exists() {
            recovered.moved.push(name);
        }
    }
    if !recovered.moved.is_empty() {
        // Their records go with the next batch; a file that came back into work/ after that would be judged anew.
        for folder in [&home.done, &home.failed] {
            platform::sync_point("recovery", || platform::sync_dir(folder))?;
        }
    }
    Ok(recovered)
}

/// How long a parked file still waits: never longer than it was to wait when it was parked, wherever the clock was set
/// to since.
fn left_to_wait(record: &FileRecord, now: i64) -> Duration {
    let Some(due) = record.next_retry else { return Duration::ZERO };
    let planned = record.attempts.last().map_or(0, |last| due.saturating_sub(last.at));
    let left = due.saturating_sub(now).min(planned).max(0);
    Duration::from_millis(left.unsigned_abs())
}

/// A power loss can put a settled file back into the spool: the ledger was synced, and none of its two moves. It goes
/// into `work/` again, under the name by which the ledger knows it, so that it is not learned as another file.
fn take_settled_back(home: &Home, state: &State) -> Result<(), StateError> {
    let records = state.files()?.into_iter();
    let mut missing: Vec<(OsString, Signature)> = records
        .filter_map(|(name, record)| Some((name, record.settled?.signature)))
        .filter(|(name, signature)| signature.inode != 0 && !home.work.join(name).exists())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    for spooled in names_in(&home.spool)? {
        let path = home.spool.join(spooled);
        let Ok(signature) = platform::lstat(&path).map(|metadata| Signature::of(&metadata)) else { continue };
        if let Some(found) = missing.iter().position(|(_, settled)| *settled == signature) {
            let (name, _) = missing.swap_remove(found);
            platform::rename_no_replace(&path, &home.work.join(name))?;
        }
    }
    Ok(())
}

pub(super) fn names_in(dir: &Path) -> io::Result<Vec<OsString>> {
    std::fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.file_name())).collect()
}
