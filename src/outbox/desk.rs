//! Writes the files that the journal's records ask for.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tracing::warn;

use super::journal::{Batch, Reader, segment_path, segments};
use super::master_log::MasterLog;
use super::{Output, Place, Record, Settled};
use crate::platform;
use crate::session::SessionKey;
use crate::spool::Home;
use crate::stages::session_log::{QUEUED, SessionLog};
use crate::training::set::TrainingSet;

/// Where the files go.
pub(super) struct Desk {
    home: Home,
    pub(super) dir: PathBuf,
    logs: PathBuf,
    training: PathBuf,
    set: TrainingSet,
    master: MasterLog,
    /// Set when it is time to stop, also while something cannot be written.
    pub(super) stopping: Arc<AtomicBool>,
}

impl Desk {
    pub(super) fn open(home: &Home) -> io::Result<Self> {
        let logs = home.logs();
        Ok(Desk {
            dir: home.outbox(),
            training: home.training_data(),
            set: TrainingSet::of(home),
            master: MasterLog::open(logs.join("master_log.jsonl"))?,
            logs,
            home: home.clone(),
            stopping: Arc::default(),
        })
    }

    pub(super) fn deliver(&mut self, records: &[Record<'_>]) -> io::Result<()> {
        let (mut lines, mut set) = (Vec::new(), Vec::new());
        for record in records {
            match &record.output {
                Output::SessionLog { name, content } => replace(&self.logs, name, content)?,
                Output::TrainingData { name, content } if content.is_empty() => {
                    remove(&self.training.join(&**name))?;
                }
                Output::TrainingData { name, content } => replace(&self.training, name, content)?,
                Output::MasterLine(line) => {
                    lines.extend_from_slice(line);
                    lines.push(b'\n');
                }
                Output::SetLine(line) => {
                    set.extend_from_slice(line);
                    set.push(b'\n');
                }
            }
        }
        platform::failpoint("courier.files_made");
        // Last, so that a session in the set has its log already, which its run completes.
        self.master.append(&lines)?;
        platform::failpoint("courier.lines_appended");
        self.set.append(&set)?;
        platform::failpoint("courier.delivered");
        Ok(())
    }

    /// Makes the files of all segments that are left, except for sessions that never were settled.
    pub(super) fn recover(&mut self, open_segment: u64, settled: &Settled) -> io::Result<()> {
        let left: Vec<u64> =
            segments(&self.dir)?.into_iter().filter(|&segment| segment < open_segment).collect();
        let mut pending = Vec::new();
        for &segment in &left {
            let mut reader = Reader::open(&self.dir, Place { segment, offset: 0 })?;
            while let Some(batch) = reader.next()? {
                pending.push((batch.end, batch.records.iter().map(|record| record.key).collect::<Vec<_>>()));
            }
        }
        // A session that was recorded twice, because its file was touched in between, counts as it was recorded last.
        let last: HashMap<SessionKey, Place> =
            pending.iter().flat_map(|(place, keys)| keys.iter().map(|key| (*key, *place))).collect();
        let keys: HashSet<String> = last.keys().map(ToString::to_string).collect();
        if !keys.is_empty() {
            self.master.drop_torn_lines()?;
        }
        let mut logged =
            if keys.is_empty() { HashSet::new() } else { self.master.keys_near_the_end(&keys)? };
        for &segment in &left {
            let mut reader = Reader::open(&self.dir, Place { segment, offset: 0 })?;
            while let Some(Batch { end, mut records }) = reader.next()? {
                records.retain(|record| {
                    last.get(&record.key) == Some(&end)
                        && settled(&record.key)
                        && !self.is_completed(record)
                        && (!matches!(record.output, Output::MasterLine(_))
                            || logged.insert(record.key.to_string()))
                });
                self.deliver(&records)?;
                platform::failpoint("courier.recovering");
            }
        }
        for segment in left {
            self.discard(segment..segment + 1);
        }
        Ok(())
    }

    /// Whether a session log was written before and has since been completed by a training run.
    fn is_completed(&self, record: &Record<'_>) -> bool {
        let Output::SessionLog { name, .. } = &record.output else { return false };
        let read =
            || serde_json::from_slice::<SessionLog>(&std::fs::read(self.logs.join(&**name)).ok()?).ok();
        read().is_some_and(|log| {
            log.key == record.key.to_string() && log.training_run.is_some_and(|run| run != QUEUED)
        })
    }

    /// Deletes segments once the files made from them are on stable storage.
    pub(super) fn discard(&self, segments: std::ops::Range<u64>) {
        let safe = platform::sync_point("courier", || self.sync_files());
        platform::failpoint("courier.synced");
        if let Err(error) = safe {
            return warn!(%error, "cannot sync the outbox; its journal is kept");
        }
        for segment in segments {
            match std::fs::remove_file(segment_path(&self.dir, segment)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    warn!(%error, segment, "cannot remove a journal segment");
                }
                _ => platform::failpoint("courier.segment_removed"),
            }
        }
    }

    fn sync_files(&self) -> io::Result<()> {
        if platform::sync_filesystem(&self.home.root)? {
            return Ok(());
        }
        [&self.logs, &self.training, self.set.dir()].into_iter().try_for_each(sync_each)
    }
}

/// Where the system cannot sync a whole file system: every file by itself.
fn sync_each(dir: &Path) -> io::Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    platform::sync_dir(dir)
}

/// Writes a file so that a reader sees the old content or the new, never a part.
fn replace(dir: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let path = dir.join(name);
    if platform::create_whole(&path, content)? {
        platform::failpoint("courier.file_made");
        return Ok(());
    }
    let aside = dir.join(format!(".{name}.tmp"));
    platform::create_private(&aside)?.write_all(content)?;
    platform::failpoint("courier.file_written");
    std::fs::rename(&aside, path)
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
