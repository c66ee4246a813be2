//! The log that a batch is durable in before sled has it.
//!
//! For sled to make one small batch durable takes several writes and waits in threads of its own, about three times as
//! long as one write and one sync of a file that does not grow. So a batch is appended here and synced, and then only
//! handed to sled, which writes it when it likes. When this log is full, sled is made durable and the log begins again
//! at its start, in the next *generation*. Whoever opens the store applies what stands here once more: batches set and
//! remove whole values, so that to do it twice changes nothing.
//!
//! A frame is: generation, length and checksum (eight bytes each, little endian), the writes of the batch. The log ends
//! at the first frame that is not whole or is of another generation than the first.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::Batch;
use crate::platform;

/// Its name in the folder of the store.
const NAME: &str = "redo.log";
/// Bytes of the file, which never grows: so a sync has no length to write. Half of what sled writes into one segment,
/// so that sled is made durable before it comes to use a segment again that was in use when it last was.
const ROOM: usize = 1 << 18;
const HEADER: usize = 24;
/// Stands for the length of a value that is removed.
const REMOVED: u32 = u32::MAX;

/// The log, open for appending.
#[derive(Debug)]
pub(super) struct RedoLog {
    file: File,
    generation: u64,
    end: usize,
    frame: Vec<u8>,
}

/// What a log holds when it is opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) generation: u64,
    pub(super) batches: Vec<Batch>,
}

impl RedoLog {
    /// Opens the log in the folder of a store, or makes it, and reads what it holds. [`begin`](Self::begin) comes
    /// before the first append.
    pub(super) fn open(dir: &Path) -> io::Result<(Self, Option<Kept>)> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(dir.join(NAME))?;
        let mut bytes = Vec::new();
        (&mut file).take(ROOM as u64).read_to_end(&mut bytes)?;
        if bytes.len() < ROOM {
            file.write_all(&vec![0; ROOM - bytes.len()])?;
        }
        Ok((RedoLog { file, generation: 0, end: 0, frame: Vec::new() }, kept(&bytes)))
    }

    /// Forgets what the log holds: from here on it holds batches of this generation, which no log had before.
    pub(super) fn begin(&mut self, generation: u64) {
        (self.generation, self.end) = (generation, 0);
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether nothing was appended in this generation.
    pub(super) fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// Appends a batch and makes it durable; `false` if there is no room for it. If that fails, the batch may or may
    /// not be there when the log is next opened, and the next one takes its place.
    pub(super) fn append(&mut self, batch: &Batch) -> io::Result<bool> {
        self.make_frame(batch);
        if self.end + self.frame.len() > ROOM {
            return Ok(false);
        }
        self.file.seek(SeekFrom::Start(self.end as u64))?;
        self.file.write_all(&self.frame)?;
        platform::failpoint("state.redo_written");
        platform::sync_point("state.redo", || self.file.sync_data())?;
        self.end += self.frame.len();
        Ok(true)
    }

    fn make_frame(&mut self, batch: &Batch) {
        let frame = &mut self.frame;
        frame.clear();
        frame.resize(HEADER, 0);
        for (key, value) in &batch.writes {
            let length = value.as_ref().map_or(REMOVED, |value| value.len() as u32);
            frame.extend_from_slice(&(key.len() as u32).to_le_bytes());
            frame.extend_from_slice(&length.to_le_bytes());
            frame.extend_from_slice(key);
            frame.extend_from_slice(value.as_deref().unwrap_or_default());
        }
        let length = (frame.len() - HEADER) as u64;
        let checksum = checksum(self.generation, &frame[HEADER..]);
        frame[..8].copy_from_slice(&self.generation.to_le_bytes());
        frame[8..16].copy_from_slice(&length.to_le_bytes());
        frame[16..HEADER].copy_from_slice(&checksum);
    }
}

fn checksum(generation: u64, body: &[u8]) -> [u8; 8] {
    let mut short = [0; 8];
    let hash = blake3::Hasher::new().update(&generation.to_le_bytes()).update(body).finalize();
    short.copy_from_slice(&hash.as_bytes()[..8]);
    short
}

fn kept(mut bytes: &[u8]) -> Option<Kept> {
    let (generation, first) = next_frame(&mut bytes)?;
    let mut batches = vec![first];
    while let Some((_, batch)) = next_frame(&mut bytes).filter(|(it, _)| *it == generation) {
        batches.push(batch);
    }
    Some(Kept { generation, batches })
}

/// Takes one whole frame off the front: its generation and its batch.
fn next_frame(bytes: &mut &[u8]) -> Option<(u64, Batch)> {
    let (header, rest) = bytes.split_at_checked(HEADER)?;
    let number = |at: usize| header[at..at + 8].try_into().ok().map(u64::from_le_bytes);
    let (generation, length) = (number(0)?, usize::try_from(number(8)?).ok()?);
    let (body, rest) = rest.split_at_checked(length)?;
    if length == 0 || header[16..] != checksum(generation, body) {
        return None;
    }
    *bytes = rest;
    Some((generation, batch_of(body)?))
}

fn batch_of(mut body: &[u8]) -> Option<Batch> {
    let mut batch = Batch::default();
    while !body.is_empty() {
        let (key_length, value_length) = (take_length(&mut body)?, take_length(&mut body)?);
        let key = take(&mut body, key_length)?;
        let value = if value_length == REMOVED { None } else { Some(take(&mut body, value_length)?) };
        batch.writes.push((key, value));
    }
    Some(batch)
}

fn take_length(body: &mut &[u8]) -> Option<u32> {
    let (bytes, rest) = body.split_first_chunk()?;
    *body = rest;
    Some(u32::from_le_bytes(*bytes))
}

fn take(body: &mut &[u8], length: u32) -> Option<Vec<u8>> {
    let (bytes, rest) = body.split_at_checked(length as usize)?;
    *body = rest;
    Some(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(number: u8) -> Batch {
        let removed = (vec![number, 0], None);
        Batch { writes: vec![(vec![number], Some(vec![number; usize::from(number)])), removed] }
    }

    fn written(dir: &Path, generation: u64, numbers: std::ops::Range<u8>) {
        let (mut log, _) = RedoLog::open(dir).unwrap();
        log.begin(generation);
        numbers.for_each(|number| assert!(log.append(&batch(number)).unwrap()));
    }

    fn found(dir: &Path) -> Option<Kept> {
        RedoLog::open(dir).unwrap().1
    }

    #[test]
    fn a_log_that_is_torn_or_garbled_anywhere_holds_what_stands_before_that() {
        let dir = tempfile::tempdir().unwrap();
        written(dir.path(), 1, 1..6);
        let path = dir.path().join(NAME);
        let whole = std::fs::read(&path).unwrap();
        let batches: Vec<Batch> = (1..6).map(batch).collect();
        let kept = found(dir.path()).unwrap();
        assert_eq!((kept.generation, &kept.batches), (1, &batches));
        let used = whole.iter().rposition(|&byte| byte != 0).unwrap() + 1;
        let mut before = 0;
        for at in 0..used {
            let mut garbled = whole.clone();
            garbled[at] ^= 0x40;
            let whole_frames = |bytes: &[u8]| super::kept(bytes).map_or(0, |kept| kept.batches.len());
            let count = whole_frames(&whole[..at]);
            assert!(count >= before && count < batches.len(), "{at}");
            assert_eq!(super::kept(&garbled).map_or(vec![], |kept| kept.batches), batches[..count], "{at}");
            before = count;
        }
        assert_eq!(before, 4);
    }

    #[test]
    fn a_new_generation_takes_the_place_of_the_one_before_it() {
        let dir = tempfile::tempdir().unwrap();
        written(dir.path(), 1, 1..9);
        written(dir.path(), 2, 1..2);
        // Of the same length as the first frame before it, so that the second one follows it without a gap.
        let kept = found(dir.path()).unwrap();
        assert_eq!((kept.generation, kept.batches), (2, vec![batch(1)]));
    }

    #[test]
    fn a_batch_for_which_there_is_no_room_is_left_to_the_next_generation() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, kept) = RedoLog::open(dir.path()).unwrap();
        assert_eq!(kept, None);
        log.begin(1);
        let large = Batch { writes: vec![(vec![1], Some(vec![7; ROOM / 2]))] };
        assert!(log.append(&large).unwrap() && !log.append(&large).unwrap());
        log.begin(2);
        assert!(log.append(&large).unwrap());
        assert_eq!(std::fs::metadata(dir.path().join(NAME)).unwrap().len(), ROOM as u64);
        assert_eq!(found(dir.path()), Some(Kept { generation: 2, batches: vec![large] }));
    }
}
