//! The entries of a zip that may hold conversations. Nothing is unpacked to the disk, so no name in it is ever a path;
//! names that would lead out of a folder mark an archive that somebody made up, and are refused all the same.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rawzip::{CompressionMethod, RECOMMENDED_BUFFER_SIZE, ZipArchive, ZipArchiveEntryWayfinder};

use super::input::{Kind, kind_of};
use crate::platform;

/// Names in one zip; an export has one for each picture as well.
const MOST_ENTRIES: usize = 1_000_000;
/// Entries that are read of one zip.
const MOST_READ: usize = 200_000;
/// How far an entry may expand, and from how many bytes on that counts.
const MOST_RATIO: u64 = 300;
const RATIO_COUNTS_FROM: u64 = 64 << 20;
/// Bytes that all entries of one import may expand to.
const MOST_BYTES: u64 = 256 << 30;

/// An entry to be read.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Bytes it says it expands to; only good for a progress bar.
    pub(super) size: u64,
    packed: u64,
    deflated: bool,
    place: ZipArchiveEntryWayfinder,
}

/// What a zip holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) entries: Vec<Entry>,
    /// Entries that are not read: name and reason.
    pub(super) refused: Vec<(String, &'static str)>,
}

fn broken(error: &rawzip::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the zip is damaged: {error}"))
}

fn open(path: &Path) -> io::Result<ZipArchive<rawzip::FileReader>> {
    let (file, _) = platform::open_regular(path)?;
    ZipArchive::from_file(file, &mut vec![0; RECOMMENDED_BUFFER_SIZE]).map_err(|error| broken(&error))
}

/// Whether a file begins as a zip does.
pub(super) fn is_zip(file: &mut File) -> io::Result<bool> {
    let mut head = [0; 4];
    match file.read_exact(&mut head) {
        Ok(()) => Ok(matches!(&head, b"PK\x03\x04" | b"PK\x05\x06")),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Lists what is to be read of a zip. Exports of ChatGPT and Claude have their chats in `conversations.json`, or in
/// numbered files of that name; where there is one, nothing else is read.
pub(super) fn contents(path: &Path) -> io::Result<Contents> {
    let archive = open(path)?;
    let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
    let mut walk = archive.entries(&mut buffer);
    let mut contents = Contents::default();
    let mut count = 0;
    while let Some(entry) = walk.next_entry().map_err(|error| broken(&error))? {
        count += 1;
        if count > MOST_ENTRIES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the zip has more than a million entries",
            ));
        }
        let raw = String::from_utf8_lossy(entry.file_path().as_bytes()).into_owned();
        if entry.is_dir() {
            continue;
        }
        let method = entry.compression_method();
        let refusal = if entry.mode().is_symlink() {
            Some("a symbolic link")
        } else if !is_plain(&raw) {
            Some("its name leads out of the zip")
        } else {
            None
        };
        if let Some(why) = refusal {
            contents.refused.push((raw, why));
            continue;
        }
        let Some(kind) =
            kind_of(raw.rsplit('/').next().unwrap_or(&raw)).filter(|_| !raw.starts_with("__MACOSX/"))
        else {
            continue;
        };
        if entry.flags().is_encrypted()
            || !matches!(method, CompressionMethod::STORE | CompressionMethod::DEFLATE)
        {
            contents.refused.push((raw, "encrypted, or compressed in a way that is not read"));
            continue;
        }
        if contents.entries.len() == MOST_READ {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the zip has more than 200,000 chats"));
        }
        contents.entries.push(Entry {
            name: raw,
            kind,
            size: entry.uncompressed_size_hint(),
            packed: entry.compressed_size_hint(),
            deflated: method == CompressionMethod::DEFLATE,
            place: entry.wayfinder(),
        });
    }
    if contents.entries.iter().any(|entry| entry.kind == Kind::Export) {
        contents.entries.retain(|entry| entry.kind == Kind::Export);
    }
    contents.entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(contents)
}

/// Whether a name stays inside of the folder it would be unpacked to.
fn is_plain(name: &str) -> bool {
    let drive = name.as_bytes().get(1) == Some(&b':');
    let inside = |part: &str| part != "..";
    !name.is_empty()
        && !drive
        && !name.contains(['\\', '\0'])
        && !name.starts_with('/')
        && name.split('/').all(inside)
}

/// Reads an entry. `total` counts what all entries of this import expanded to.
pub(super) fn read<T>(
    path: &Path,
    entry: &Entry,
    total: &Cell<u64>,
    work: impl FnOnce(&mut dyn Read) -> io::Result<T>,
) -> io::Result<T> {
    let archive = open(path)?;
    let found = archive.get_entry(entry.place).map_err(|error| broken(&error))?;
    let packed = found.reader();
    let guard = |inner| Guard { inner, packed: entry.packed, bytes: 0, total };
    if entry.deflated {
        let inflated = flate2::read::DeflateDecoder::new(packed);
        work(&mut guard(found.verifying_reader(inflated)))
    } else {
        let stored: Box<dyn Read> = Box::new(found.verifying_reader(packed));
        work(&mut Guard { inner: stored, packed: entry.packed, bytes: 0, total })
    }
}

/// Stops an entry that expands as no text does.
struct Guard<'a, R> {
    inner: R,
    packed: u64,
    bytes: u64,
    total: &'a Cell<u64>,
}

impl<R: Read> Read for Guard<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        self.total.set(self.total.get() + read as u64);
        let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidData, why));
        if self.bytes > RATIO_COUNTS_FROM && self.bytes / MOST_RATIO > self.packed {
            return refuse("it expands to more than 300 times its size: refused as a zip bomb");
        }
        if self.total.get() > MOST_BYTES {
            return refuse("the zips expand to more than 256 GiB: refused as a zip bomb");
        }
        Ok(read)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use super::*;

    /// Writes a zip with these entries, deflated.
    pub(crate) fn write_zip(path: &Path, entries: &[(&str, &[u8])]) {
        let mut output = Vec::new();
        let mut archive = rawzip::ZipArchiveWriter::new(&mut output);
        for (name, content) in entries {
            let path = rawzip::path::EntryPath::verbatim(name.as_bytes());
            let (mut entry, config) =
                archive.new_file(path).compression_method(CompressionMethod::DEFLATE).start().unwrap();
            let encoder = flate2::write::DeflateEncoder::new(&mut entry, flate2::Compression::default());
            let mut writer = config.wrap(encoder);
            writer.write_all(content).unwrap();
            let (encoder, descriptor) = writer.finish().unwrap();
            encoder.finish().unwrap();
            entry.finish(descriptor).unwrap();
        }
        archive.finish().unwrap();
        std::fs::write(path, output).unwrap();
    }

    fn read_all(path: &Path, entry: &Entry) -> io::Result<u64> {
        read(path, entry, &Cell::new(0), |reader| io::copy(reader, &mut io::sink()))
    }

    #[test]
    fn of_an_export_only_the_conversations_are_read_in_their_order_and_tricks_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("export.zip");
        write_zip(
            &path,
            &[
                ("user.json", b"{}"),
                ("conversations-001.json", b"[2]"),
                ("conversations-000.json", b"[1]"),
                ("../conversations.json", b"[3]"),
                ("/etc/conversations.json", b"[4]"),
                ("C:\\conversations.json", b"[5]"),
                ("picture.dat", b"x"),
            ],
        );
        let contents = contents(&path).unwrap();
        let names: Vec<&str> = contents.entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["conversations-000.json", "conversations-001.json"]);
        assert_eq!(contents.refused.len(), 3);
        assert_eq!(read_all(&path, &contents.entries[0]).unwrap(), 3);
    }

    #[test]
    fn a_bomb_is_stopped_and_a_damaged_zip_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bomb.zip");
        write_zip(&path, &[("conversations.json", &vec![b' '; (RATIO_COUNTS_FROM + (1 << 20)) as usize])]);
        let bomb = contents(&path).unwrap();
        assert!(read_all(&path, &bomb.entries[0]).unwrap_err().to_string().contains("zip bomb"));

        let mut bytes = std::fs::read(&path).unwrap();
        bytes[200..400].fill(7);
        std::fs::write(&path, &bytes).unwrap();
        assert!(read_all(&path, &contents(&path).unwrap().entries[0]).is_err());
        std::fs::write(&path, &bytes[..100]).unwrap();
        assert!(contents(&path).is_err());
    }
}
