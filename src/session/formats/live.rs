//! What is particular to live files: transcripts that a client writes while the chat runs. clients/FORMAT.md is the
//! contract; read as transcripts they are by [`super::jsonl`].

use serde::Deserialize;
use serde::de::IgnoredAny;

/// The version of the first line that is understood.
pub const LIVE_VERSION: u64 = 1;

/// Who writes a live file: `live` of its first line. By this a reader tells whether the writer still lives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct LiveWriter {
    /// Of the format.
    pub version: u64,
    /// `flock` where the writer holds a lock as long as it has the file open, else `pid`.
    #[serde(default)]
    pub lock: String,
    /// Its process.
    #[serde(default)]
    pub pid: Option<i32>,
    /// Its machine.
    #[serde(default)]
    pub host: Option<String>,
    /// The boot of that machine.
    #[serde(default)]
    pub boot: Option<String>,
    /// The namespace in which `pid` means something.
    #[serde(default)]
    pub pids: Option<String>,
    /// When the process began, in the words of its system.
    #[serde(default)]
    pub began: Option<String>,
}

#[derive(Deserialize)]
struct FirstLine {
    live: LiveWriter,
}

impl LiveWriter {
    /// The writer that the first line of a file names; `None` if the file is no live file, or its first line is not
    /// whole yet.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let line = &bytes[..memchr::memchr(b'\n', bytes)?];
        memchr::memmem::find(line, b"\"live\"")?;
        Some(serde_json::from_slice::<FirstLine>(line).ok()?.live)
    }
}

/// Whether a value of a transcript's first line says who writes it. It is no part of the chat.
pub(super) fn is_writer(value: &str) -> bool {
    serde_json::from_str::<LiveWriter>(value).is_ok()
}

/// The lines of a live file that were written whole, and how many at its end were not: its writer may have died, or
/// its machine, in the middle of one. `None` for any other file.
pub(super) fn whole_lines(bytes: &[u8]) -> Option<(&[u8], usize)> {
    if LiveWriter::of(bytes)?.version != LIVE_VERSION {
        return None;
    }
    let ends = memchr::memrchr(b'\n', bytes)? + 1;
    let mut torn = usize::from(!bytes[ends..].trim_ascii().is_empty());
    let mut whole = &bytes[..ends];
    while let Some(line) = last_line(whole)
        && line.len() < whole.len()
        && !line.trim_ascii().is_empty()
        && serde_json::from_slice::<IgnoredAny>(line).is_err()
    {
        whole = &whole[..whole.len() - line.len()];
        torn += 1;
    }
    Some((whole, torn))
}

/// The last line of some that all end.
fn last_line(lines: &[u8]) -> Option<&[u8]> {
    let body = lines.strip_suffix(b"\n")?;
    let start = memchr::memrchr(b'\n', body).map_or(0, |at| at + 1);
    lines.get(start..)
}

#[cfg(test)]
mod tests {
    use super::super::testing::many;
    use super::super::{DecodeErrorKind, Format, decode, looks_complete};
    use super::*;

    const HEAD: &str = "{\"session_id\":\"s\",\"user_id\":\"mara\",\"metadata\":{\"k\":1},\"live\":{\"version\":1,\
                        \"client\":\"c\",\"lock\":\"flock\",\"pid\":7,\"host\":\"larch\"}}\n";
    const SAID: &str = "{\"role\":\"user\",\"content\":\"grüß dich\"}\n";

    #[test]
    fn a_live_file_is_a_transcript_wherever_its_writer_died() {
        let whole = [HEAD, SAID, SAID].concat();
        for end in HEAD.len() + SAID.len()..=whole.len() {
            let bytes = &whole.as_bytes()[..end];
            let decoded = decode(bytes, Format::Auto).unwrap_or_else(|error| panic!("{end}: {error}"));
            let [session] = decoded.sessions.as_slice() else { panic!("one session") };
            let torn = end > HEAD.len() + SAID.len() && end < whole.len();
            assert_eq!(session.messages.len(), if end == whole.len() { 2 } else { 1 }, "{end}");
            assert_eq!(decoded.skipped.as_slice(), if torn { &["1 torn line"][..] } else { &[] }, "{end}");
            assert!(looks_complete(bytes));
        }
    }

    #[test]
    fn what_a_power_failure_leaves_at_the_end_is_counted_and_left_out() {
        let bytes = [HEAD.as_bytes(), SAID.as_bytes(), b"\0\0\0\0\n", b"{\"role\":\"us\xC3"].concat();
        let decoded = decode(&bytes, Format::Auto).unwrap();
        assert_eq!((decoded.sessions[0].messages.len(), decoded.skipped), (1, vec!["2 torn lines".into()]));
        let middle = [HEAD, "{\"role\":\n", SAID].concat();
        assert_eq!(decode(middle.as_bytes(), Format::Auto).unwrap_err().kind, DecodeErrorKind::Syntax);
    }

    #[test]
    fn who_wrote_it_is_no_part_of_the_chat() {
        let decoded = many(&[HEAD, SAID].concat());
        assert_eq!(serde_json::json!(decoded.sessions[0].metadata), serde_json::json!({"k": 1}));
        let live_music = "{\"session_id\":\"s\",\"live\":\"music\"}\n".to_owned() + SAID;
        assert_eq!(many(&live_music).sessions[0].metadata["live"], "music");
        let writer = LiveWriter::of(HEAD.as_bytes()).unwrap();
        assert_eq!((writer.lock.as_str(), writer.pid, writer.boot), ("flock", Some(7), None));
        for other in ["", "{}\n", "{\"live\":true}\n", &HEAD[..HEAD.len() - 1]] {
            assert_eq!(LiveWriter::of(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_live_file_is_read_as_what_it_is_whatever_format_the_others_have() {
        assert_eq!(decode([HEAD, SAID].concat().as_bytes(), Format::Chatgpt).unwrap().format, "jsonl");
        let later = HEAD.replace("\"version\":1", "\"version\":2");
        let torn = [&later, SAID, "{\"role\""].concat();
        assert!(decode(torn.as_bytes(), Format::Auto).is_err(), "of a later version nothing is guessed");
    }
}
