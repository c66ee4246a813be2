use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Record;
use crate::platform;

/// A segment is closed when it holds this many bytes.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Frames are bounded, so that a damaged length does not ask for all memory.
const LARGEST_FRAME: u64 = 1 << 31;
const HEADER: usize = 16;
/// Buffers up to this many bytes are kept from one batch to the next: to have a large one mapped anew takes longer than
/// to fill it.
const MOST_KEPT: usize = 32 << 20;

/// A place in the journal: a segment and an offset in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// Number of the segment.
    pub segment: u64,
    /// Bytes from its start.
    pub offset: u64,
}

/// The end of the journal, to which batches are appended. Each batch is a frame: length, checksum, records.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    file: Arc<File>,
    end: Place,
    torn: bool,
    /// The last frame. While there is much to do, the next one takes its room.
    frame: Vec<u8>,
}

impl Journal {
    /// Opens the journal for appending, in a segment of its own behind those that are there.
    ///
    /// # Errors
    /// If the folder or the segment cannot be made.
    pub fn open(dir: &Path) -> io::Result<Self> {
        platform::make_private_dir(dir)?;
        let segment = segments(dir)?.last().map_or(1, |last| last + 1);
        let file = Arc::new(platform::create_private(&segment_path(dir, segment))?);
        platform::failpoint("journal.segment_made");
        platform::sync_point("journal.segment", || platform::sync_dir(dir))?;
        Ok(Journal {
            dir: dir.to_path_buf(),
            file,
            end: Place { segment, offset: 0 },
            torn: false,
            frame: Vec::new(),
        })
    }

    /// Where the next batch will stand.
    pub fn end(&self) -> Place {
        self.end
    }

    /// Appends a batch and makes it durable. Returns where it stands.
    ///
    /// # Errors
    /// What the system said; the journal then ends where it ended before.
    pub fn append(&mut self, records: &[Record<'_>]) -> io::Result<Place> {
        let place = self.write(records)?;
        if let Err(error) = sync(&self.file) {
            let _ = self.cut_back(place);
            return Err(error);
        }
        Ok(place)
    }

    /// The first half of [`append`](Self::append): the batch stands in the journal, and is not yet durable.
    ///
    /// # Errors
    /// As there.
    pub fn write(&mut self, records: &[Record<'_>]) -> io::Result<Place> {
        if self.end.offset >= SEGMENT_BYTES || self.torn {
            self.next_segment()?;
        }
        let start = self.end;
        make_frame(records, &mut self.frame);
        if let Err(error) = (&*self.file).write_all(&self.frame) {
            let _ = self.cut_back(start);
            return Err(error);
        }
        self.end.offset += self.frame.len() as u64;
        keep_within(&mut self.frame, MOST_KEPT);
        platform::failpoint("journal.written");
        Ok(start)
    }

    /// Gives back the memory that is kept for the next batch: nothing comes for now.
    pub fn rest(&mut self) {
        self.frame = Vec::new();
    }

    /// The segment that is written to. The second half is to [`sync`] it; where that fails, the caller cuts the batch
    /// off, or what comes after it may not be read.
    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Takes back the last batch, because it, or what it belongs to, could not be made durable. What stands behind a
    /// torn end cannot be read: if it cannot be cut off, this segment is over.
    ///
    /// # Errors
    /// What the system said. The records are harmless all the same: their sessions are not in the ledger.
    pub fn cut_back(&mut self, to: Place) -> io::Result<()> {
        if to.segment == self.end.segment {
            self.torn = true;
            self.file.set_len(to.offset)?;
            (&*self.file).seek(SeekFrom::Start(to.offset))?;
            self.torn = false;
            self.end = to;
        }
        Ok(())
    }

    fn next_segment(&mut self) -> io::Result<()> {
        let segment = self.end.segment + 1;
        self.file = Arc::new(platform::create_private(&segment_path(&self.dir, segment))?);
        platform::sync_point("journal.segment", || platform::sync_dir(&self.dir))?;
        self.end = Place { segment, offset: 0 };
        self.torn = false;
        Ok(())
    }
}

/// Makes what was written to a segment durable.
pub(super) fn sync(segment: &File) -> io::Result<()> {
    platform::sync_point("journal", || segment.sync_data())
}

fn make_frame(records: &[Record<'_>], frame: &mut Vec<u8>) {
    frame.clear();
    frame.resize(HEADER, 0);
    records.iter().for_each(|record| record.write_to(frame));
    let length = (frame.len() - HEADER) as u64;
    let checksum = checksum(&frame[HEADER..]);
    frame[..8].copy_from_slice(&length.to_le_bytes());
    frame[8..HEADER].copy_from_slice(&checksum);
}

/// Gives a buffer's room back if it is larger than that.
fn keep_within(buffer: &mut Vec<u8>, most: usize) {
    if buffer.capacity() > most {
        *buffer = Vec::new();
    }
}

fn checksum(bytes: &[u8]) -> [u8; 8] {
    let mut short = [0; 8];
    short.copy_from_slice(&blake3::hash(bytes).as_bytes()[..8]);
    short
}

/// Numbers of the segments in the folder, in order.
pub(super) fn segments(dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number: Option<u64> =
            name.to_str().and_then(|name| name.strip_suffix(".journal")).and_then(|n| n.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

pub(super) fn segment_path(dir: &Path, segment: u64) -> PathBuf {
    dir.join(format!("{segment:010}.journal"))
}

/// Hands out every record that the journal in a folder holds, oldest first, whether or not its session was settled.
///
/// # Errors
/// If the folder or a segment cannot be read; a missing folder holds nothing.
pub fn records(dir: &Path, mut each: impl FnMut(Record<'_>)) -> io::Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    for segment in segments(dir)? {
        let mut reader = Reader::open(dir, Place { segment, offset: 0 })?;
        while let Some(batch) = reader.next()? {
            batch.records.into_iter().for_each(&mut each);
        }
    }
    Ok(())
}

/// Reads the batches of one segment from an offset on, up to the first that is not whole.
#[derive(Debug)]
pub(super) struct Reader {
    file: File,
    place: Place,
    /// Whether a crash may have torn what is read: then it is checked.
    checked: bool,
    /// The batch that was read last.
    body: Vec<u8>,
}

/// A batch that was read.
pub(super) struct Batch<'a> {
    /// Where the next one stands.
    pub(super) end: Place,
    pub(super) records: Vec<Record<'a>>,
}

impl Reader {
    pub(super) fn open(dir: &Path, place: Place) -> io::Result<Self> {
        let mut file = File::open(segment_path(dir, place.segment))?;
        file.seek(SeekFrom::Start(place.offset))?;
        Ok(Reader { file, place, checked: true, body: Vec::new() })
    }

    /// A reader of what this very process has written.
    pub(super) fn of_this_run(dir: &Path, place: Place) -> io::Result<Self> {
        Ok(Reader { checked: false, ..Reader::open(dir, place)? })
    }

    /// Where the next batch stands.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Gives back the memory that is kept for the next batch: nothing comes for now.
    pub(super) fn rest(&mut self) {
        self.body = Vec::new();
    }

    /// The next batch; `None` at the end, also where a crash tore the last one.
    pub(super) fn next(&mut self) -> io::Result<Option<Batch<'_>>> {
        keep_within(&mut self.body, MOST_KEPT);
        self.body.clear();
        let mut header = [0; HEADER];
        let whole = match self.file.read_exact(&mut header) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
            Err(error) => return Err(error),
        };
        let length = u64::from_le_bytes(header[..8].try_into().unwrap_or_default());
        if whole && length <= LARGEST_FRAME {
            // A torn header may say any length.
            self.body.reserve_exact(if self.checked { 0 } else { length as usize });
            (&self.file).take(length).read_to_end(&mut self.body)?;
        }
        let length_fits = self.body.len() as u64 == length;
        if !whole || !length_fits || (self.checked && checksum(&self.body) != header[8..]) {
            self.file.seek(SeekFrom::Start(self.place.offset))?;
            return Ok(None);
        }
        self.place.offset += (HEADER + self.body.len()) as u64;
        let mut rest = self.body.as_slice();
        let records = std::iter::from_fn(|| Record::read_from(&mut rest)).collect();
        Ok(Some(Batch { end: self.place, records }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Output;
    use super::*;
    use crate::session::SessionKey;

    fn line(text: &str) -> Record<'_> {
        Record { key: SessionKey([1; 32]), output: Output::MasterLine(text.as_bytes().into()) }
    }

    /// The lines of each batch.
    fn read_all(dir: &Path, segment: u64) -> Vec<String> {
        let mut reader = Reader::open(dir, Place { segment, offset: 0 }).unwrap();
        let mut batches = Vec::new();
        while let Some(batch) = reader.next().unwrap() {
            let lines = batch.records.iter().map(|record| match &record.output {
                Output::MasterLine(line) => str::from_utf8(line).unwrap(),
                other => panic!("{other:?}"),
            });
            batches.push(lines.collect::<Vec<_>>().join(" "));
        }
        batches
    }

    #[test]
    fn a_torn_batch_at_any_byte_leaves_the_batches_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        journal.append(&[line("a"), line("b")]).unwrap();
        let second = journal.append(&[line("c")]).unwrap();
        let path = segment_path(dir.path(), second.segment);
        let whole = std::fs::read(&path).unwrap();
        for cut in second.offset as usize..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(read_all(dir.path(), second.segment), ["a b"]);
        }
        let mut flipped = whole;
        *flipped.last_mut().unwrap() ^= 1;
        std::fs::write(&path, flipped).unwrap();
        assert_eq!(read_all(dir.path(), second.segment).len(), 1);
    }

    #[test]
    fn a_batch_that_was_taken_back_is_not_read_and_the_next_takes_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        let place = journal.append(&[line("never committed")]).unwrap();
        journal.cut_back(place).unwrap();
        assert_eq!(journal.append(&[line("a")]).unwrap(), place);
        assert_eq!(read_all(dir.path(), place.segment), ["a"]);
    }
}
