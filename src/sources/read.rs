use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::program::{Keeps, Program};
use super::sqlite::DatabaseError;
use super::unpack::Unpacked;
use crate::platform;
use crate::session::Session;
use crate::session::formats::{DecodeError, Decoded, Format, LogReader, decode_leniently};

/// The longest line of a log that is read; a longer one holds pictures or a compacted history.
const LONGEST_LINE: u64 = 32 << 20;
/// Bytes that are asked of a file at a time.
const BUFFER: usize = 64 << 10;
/// The largest document that is read.
const LARGEST: u64 = 64 << 20;

/// Why a file of a source was not read.
#[derive(Debug, Error)]
pub(super) enum ReadError {
    /// The disk says no.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is larger than what is held.
    #[error("larger than {} MiB", LARGEST >> 20)]
    TooLarge,
    /// It is no conversation of the program, or is being written.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// The database was not read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// What a file held.
#[derive(Debug, Default)]
pub(super) struct FileRead {
    /// Each conversation, and whether a turn of it is still under way.
    pub(super) sessions: Vec<(Session, bool)>,
    /// Bytes that were read, up to the end of the last whole line.
    pub(super) offset: u64,
    /// Lines that were left out: too long, or no JSON.
    pub(super) left_out: u64,
}

/// Reads a file that a program keeps for one conversation.
pub(super) fn read(program: Program, path: &Path) -> Result<FileRead, ReadError> {
    let is_log = path.extension().is_some_and(|end| end == "jsonl");
    let packed = packed_from(path).is_some();
    let mut read = match program.keeps() {
        Keeps::Log(format) => log(path, format, packed)?,
        Keeps::Both(format) if is_log => log(path, format, packed)?,
        Keeps::Both(format) | Keeps::Document(format) => document(path, format)?,
        Keeps::Database => FileRead::default(),
    };
    read.sessions.retain(|(session, _)| !session.messages.is_empty());
    Ok(read)
}

fn document(path: &Path, format: Format) -> Result<FileRead, ReadError> {
    let (file, metadata) = platform::open_regular(path)?;
    if metadata.len() > LARGEST {
        return Err(ReadError::TooLarge);
    }
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes)?;
    let Decoded { sessions, open, .. } = decode_leniently(&bytes, format)?;
    let with_state = sessions.into_iter().enumerate();
    let sessions = with_state.map(|(index, session)| (session, open.contains(&index))).collect();
    Ok(FileRead { sessions, offset: bytes.len() as u64, left_out: 0 })
}

/// The file that a compressed one was made from, if it is one. Where both are there, that one is newer.
pub(super) fn packed_from(path: &Path) -> Option<PathBuf> {
    path.extension().is_some_and(|end| end == "zst").then(|| path.with_extension(""))
}

fn log(path: &Path, format: Format, packed: bool) -> Result<FileRead, ReadError> {
    let (file, metadata) = platform::open_regular(path)?;
    let file = BufReader::with_capacity(BUFFER, file);
    let lines: Box<dyn BufRead> = if packed {
        Box::new(BufReader::with_capacity(BUFFER, Unpacked::new(file, metadata.len())))
    } else {
        Box::new(file)
    };
    lines_of(lines, format)
}

fn lines_of(mut lines: Box<dyn BufRead>, format: Format) -> Result<FileRead, ReadError> {
    let mut read = FileRead::default();
    let Some(mut reader) = LogReader::new(format) else { return Ok(read) };
    let mut line = Vec::new();
    loop {
        let Line { bytes, whole, held } = next_line(&mut *lines, &mut line)?;
        if bytes == 0 {
            break;
        }
        let text = std::str::from_utf8(&line).ok().map(str::trim).filter(|_| held);
        let taken = match text {
            Some("") => true,
            Some(text) => reader.line(text).is_ok(),
            None => false,
        };
        // A torn line at the end is not wrong, it is not there yet.
        if !taken && !whole {
            break;
        }
        read.left_out += u64::from(!taken);
        read.offset += bytes;
    }
    read.sessions.extend(reader.finish());
    Ok(read)
}

struct Line {
    /// Bytes of the file.
    bytes: u64,
    /// Whether it ends with a line break.
    whole: bool,
    /// Whether it is held, and not too long.
    held: bool,
}

/// Reads a line into `line`; of one that is too long only the length is known.
fn next_line(lines: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<Line> {
    line.clear();
    let mut bytes = (&mut *lines).take(LONGEST_LINE).read_until(b'\n', line)? as u64;
    let mut whole = line.last() == Some(&b'\n');
    let held = whole || bytes < LONGEST_LINE;
    if !held {
        *line = Vec::new();
        while !whole {
            let chunk = lines.fill_buf()?;
            let (taken, ended) = match memchr::memchr(b'\n', chunk) {
                Some(at) => (at + 1, true),
                None => (chunk.len(), false),
            };
            if taken == 0 {
                break;
            }
            lines.consume(taken);
            bytes += taken as u64;
            whole = ended;
        }
    }
    Ok(Line { bytes, whole, held })
}

#[cfg(test)]
mod tests {
    use super::super::unpack::tests::packed;
    use super::*;

    fn fixture(path: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sources").join(path)
    }

    #[test]
    fn each_programs_file_is_read_as_its_own() {
        let cases = [
            (Program::ClaudeCode, "claude-code/5f0c.jsonl", 4),
            (Program::Codex, "codex/2026/03/02/rollout-2026-03-02T10-00-00-0195.jsonl", 4),
            (Program::GeminiCli, "gemini-cli/heron/chats/session-2026-03-02T10-00-9b1e.jsonl", 3),
            (Program::Copilot, "copilot/workspaceStorage/a1/chatSessions/77d2.jsonl", 4),
            (Program::LmStudio, "lm-studio/1772445600000.conversation.json", 2),
            (Program::Jan, "jan/threads/t1/messages.jsonl", 2),
        ];
        for (program, path, messages) in cases {
            let path = fixture(path);
            assert_eq!(program.file_of(&path), Some(path.clone()));
            let read = read(program, &path).unwrap();
            assert_eq!(read.sessions.len(), 1, "{path:?}");
            assert_eq!(read.sessions[0].0.messages.len(), messages, "{path:?}");
            assert_eq!(read.sessions[0].0.app.as_deref(), Some(program.as_str()));
            assert_eq!((read.offset, read.left_out), (path.metadata().unwrap().len(), 0));
            for message in &read.sessions[0].0.messages {
                for foreign in ["peanuts", "Oslo", "Subagent", "tabs", "default model"] {
                    assert!(!message.text.contains(foreign), "{path:?}: {}", message.text);
                }
            }
        }
    }

    #[test]
    fn a_compressed_rollout_is_read_as_the_one_it_was_made_from() {
        let plain = fixture("codex/2026/03/02/rollout-2026-03-02T10-00-00-0195.jsonl");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rollout-2026-03-02T10-00-00-0195.jsonl.zst");
        std::fs::write(&path, packed(&std::fs::read(&plain).unwrap())).unwrap();
        assert_eq!(Program::Codex.file_of(&path), Some(path.clone()));
        let [of_plain, of_packed] = [&plain, &path].map(|path| read(Program::Codex, path).unwrap());
        assert_eq!((of_packed.sessions, of_packed.offset), (of_plain.sessions, of_plain.offset));
        std::fs::write(&path, b"no frame at all").unwrap();
        assert!(read(Program::Codex, &path).is_err());
    }

    #[test]
    fn a_torn_last_line_waits_and_a_bad_one_in_the_middle_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("messages.jsonl");
        let line =
            |role: &str| format!("{{\"thread_id\": \"t\", \"role\": \"{role}\", \"content\": \"x\"}}\n");
        let text =
            [line("user"), "{\"no json\n".into(), line("assistant"), "{\"thread_id\": \"t\", \"ro".into()]
                .concat();
        std::fs::write(&path, &text).unwrap();
        let read = read(Program::Jan, &path).unwrap();
        assert_eq!((read.sessions[0].0.messages.len(), read.left_out), (2, 1));
        assert_eq!(read.offset as usize, text.rfind('\n').unwrap() + 1);
    }
}
