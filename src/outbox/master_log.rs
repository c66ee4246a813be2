use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::platform;

/// The log is searched this far back for lines that a crash may have left to be written again.
const TAIL: u64 = 64 << 20;

/// `logs/master_log.jsonl`: a line a session. It may be moved away at any time; then a new one is begun.
pub(super) struct MasterLog {
    path: PathBuf,
    file: File,
}

impl MasterLog {
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let mut file = open_for_append(&path)?;
        cut_torn_line(&mut file)?;
        Ok(MasterLog { path, file })
    }

    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let here = platform::lstat(&self.path).ok().map(|metadata| platform::Signature::of(&metadata).inode);
        if here != Some(platform::Signature::of(&self.file.metadata()?).inode) {
            self.file = open_for_append(&self.path)?;
        }
        let before = self.file.metadata()?.len();
        self.file.write_all(lines).inspect_err(|_| {
            let _ = self.file.set_len(before);
        })
    }

    /// The last part of the log, from the start of a line on, and where it begins.
    fn tail(&self) -> io::Result<(u64, Vec<u8>)> {
        let mut file = File::open(&self.path)?;
        let start = file.metadata()?.len().saturating_sub(TAIL);
        file.seek(SeekFrom::Start(start))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        let first = if start == 0 { 0 } else { tail.iter().position(|&b| b == b'\n').map_or(0, |at| at + 1) };
        tail.drain(..first);
        Ok((start + first as u64, tail))
    }

    /// After a power loss there may be holes in what was appended last, of which the journal has all lines. Lines that
    /// are not whole are taken out; those around them stay.
    pub(super) fn drop_torn_lines(&mut self) -> io::Result<()> {
        let (start, tail) = self.tail()?;
        let is_whole = |line: &&[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok();
        let lines = || tail.split_inclusive(|&b| b == b'\n');
        if lines().all(|line| is_whole(&line)) {
            return Ok(());
        }
        warn!("the master log has torn lines; they are taken out and written again");
        let aside = self.path.with_file_name(".master_log.jsonl.tmp");
        let mut out = platform::create_private(&aside)?;
        io::copy(&mut File::open(&self.path)?.take(start), &mut out)?;
        out.write_all(&lines().filter(is_whole).collect::<Vec<_>>().concat())?;
        out.sync_all()?;
        std::fs::rename(&aside, &self.path)?;
        self.file = open_for_append(&self.path)?;
        Ok(())
    }

    /// Which of these session keys stand in the last part of the log.
    pub(super) fn keys_near_the_end(&mut self, wanted: &HashSet<String>) -> io::Result<HashSet<String>> {
        #[derive(serde::Deserialize)]
        struct Line {
            key: String,
        }
        let (_, tail) = self.tail()?;
        let keys = tail.split(|&b| b == b'\n').filter_map(|line| serde_json::from_slice::<Line>(line).ok());
        Ok(keys.map(|line| line.key).filter(|key| wanted.contains(key)).collect())
    }
}

fn open_for_append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A crash may have torn the last line; the journal still has it.
fn cut_torn_line(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let mut end = length;
    let mut block = vec![0; 64 << 10];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let part = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        if let Some(newline) = part.iter().rposition(|&b| b == b'\n') {
            end = start + newline as u64 + 1;
            break;
        }
        end = start;
    }
    if end < length { file.set_len(end) } else { Ok(()) }
}
