use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use crate::platform::{self, Signature};
use crate::session::formats::{LIVE_VERSION, LiveWriter};

/// Bytes that are read at once at most. A chat that brings more is not followed; it is learned at its end.
const AT_ONCE: u64 = 8 << 20;

/// How far a live file was read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    inode: u64,
    /// Bytes read: behind the last line break.
    offset: u64,
    /// The first line, with its end.
    pub(super) head: Vec<u8>,
}

/// What a look at a live file brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// No whole line that was not there before.
    Nothing,
    /// Whole lines, the first one of the file excepted. `anew`: from the beginning of another file under the name.
    Lines { lines: Vec<u8>, anew: bool },
    /// Nothing of this file can be followed.
    Foreign(&'static str),
}

impl Reading {
    /// Reads what was added.
    ///
    /// # Errors
    /// `NotFound` if the file is gone.
    pub(super) fn news(&mut self, path: &Path) -> io::Result<News> {
        let (mut file, metadata) = platform::open_regular(path)?;
        let Signature { inode, size, .. } = Signature::of(&metadata);
        let anew = inode != self.inode || size < self.offset || self.head.is_empty();
        if anew {
            *self = Reading { inode, ..Reading::default() };
        }
        let grown = size - self.offset;
        if grown == 0 {
            return Ok(News::Nothing);
        }
        if grown > AT_ONCE {
            return Ok(News::Foreign("too much at once"));
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut lines = Vec::with_capacity(grown as usize);
        file.take(grown).read_to_end(&mut lines)?;
        let Some(end) = memchr::memrchr(b'\n', &lines) else { return Ok(News::Nothing) };
        lines.truncate(end + 1);
        self.offset += lines.len() as u64;
        if anew {
            match LiveWriter::of(&lines) {
                Some(writer) if writer.version == LIVE_VERSION => {}
                _ => return Ok(News::Foreign("its first line is not that of a live file")),
            }
            let first = memchr::memchr(b'\n', &lines).map_or(0, |at| at + 1);
            let rest = lines.split_off(first);
            self.head = std::mem::replace(&mut lines, rest);
        }
        Ok(News::Lines { lines, anew })
    }

    /// Forgets what was read, so that the next look begins at the beginning.
    pub(super) fn begin_again(&mut self) {
        *self = Reading::default();
    }
}

/// Whether a look failed because the file is gone.
pub(super) fn is_gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;

    use super::*;

    const HEAD: &str = "{\"session_id\":\"s\",\"live\":{\"version\":1}}\n";

    fn lines(text: &str, anew: bool) -> News {
        News::Lines { lines: text.into(), anew }
    }

    #[test]
    fn only_whole_lines_are_read_and_each_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".live-1.jsonl");
        let mut reading = Reading::default();
        assert!(is_gone(&reading.news(&path).unwrap_err()));
        let append = |text: &str| {
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap();
        };
        append(&HEAD[..20]);
        assert_eq!(reading.news(&path).unwrap(), News::Nothing);
        append(&HEAD[20..]);
        append("a\nb\nha");
        assert_eq!(reading.news(&path).unwrap(), lines("a\nb\n", true));
        assert_eq!(reading.head, HEAD.as_bytes());
        assert_eq!(reading.news(&path).unwrap(), News::Nothing);
        append("lf\n");
        assert_eq!(reading.news(&path).unwrap(), lines("half\n", false));

        let other = dir.path().join(".new-1.jsonl");
        fs::write(&other, [HEAD, "a\nb\nhalf\nmore\n"].concat()).unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(reading.news(&path).unwrap(), lines("a\nb\nhalf\nmore\n", true));
        reading.begin_again();
        assert!(matches!(reading.news(&path).unwrap(), News::Lines { anew: true, .. }));
    }

    #[test]
    fn what_is_no_live_file_or_brings_too_much_is_foreign() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".live-1.jsonl");
        for text in ["{}\na\n", "{\"live\":{\"version\":2}}\na\n"] {
            fs::write(&path, text).unwrap();
            assert!(matches!(Reading::default().news(&path).unwrap(), News::Foreign(_)), "{text}");
        }
        fs::File::create(&path).unwrap().set_len(AT_ONCE + 1).unwrap();
        assert!(matches!(Reading::default().news(&path).unwrap(), News::Foreign(_)));
    }
}
