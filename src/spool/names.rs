use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::platform;
use crate::text::tame::steers;

/// Longest file name that common file systems take, in bytes.
pub(super) const LONGEST: usize = 255;

/// A file name as text for logs and sidecars: bytes that are not UTF-8, control characters and marks that turn the
/// direction of text are replaced.
pub fn shown(name: &OsStr) -> String {
    name.to_string_lossy().chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// Which names in the spool are session files.
#[derive(Debug, Clone)]
pub struct NameFilter {
    include: Vec<String>,
}

impl NameFilter {
    /// Takes the globs of `[spool] include`: `*` stands for any characters, `?` for one.
    pub fn new(include: &[String]) -> Self {
        NameFilter { include: include.to_vec() }
    }

    /// Whether a file of this name is taken: not hidden, not marked as unfinished, and wanted.
    pub fn takes(&self, name: &OsStr) -> bool {
        let bytes = name.as_encoded_bytes();
        let unfinished = [b".tmp".as_slice(), b".part", b".partial", b".crdownload", b".lock", b"~"];
        !bytes.starts_with(b".")
            && !unfinished.iter().any(|end| bytes.ends_with(end))
            && self.include.iter().any(|glob| matches(glob.as_bytes(), bytes))
    }
}

/// Whole-name glob match in linear space: on a mismatch the last `*` swallows one byte more.
fn matches(glob: &[u8], name: &[u8]) -> bool {
    let (mut g, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match glob.get(g) {
            Some(b'*') => {
                star = Some((g + 1, n));
                g += 1;
            }
            Some(&c) if c == b'?' || c.eq_ignore_ascii_case(&name[n]) => {
                g += 1;
                n += 1;
            }
            _ => match star {
                Some((after, swallowed)) => {
                    star = Some((after, swallowed + 1));
                    g = after;
                    n = swallowed + 1;
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|&c| c == b'*')
}

/// The name with `~N` before its extension, cut so that it (and `room` more bytes) fits into a folder.
pub(super) fn numbered(name: &OsStr, number: usize, room: usize) -> OsString {
    let bytes = name.as_encoded_bytes();
    let dot = bytes.iter().rposition(|&b| b == b'.').filter(|&at| at > 0 && bytes.len() - at <= 16);
    let (stem, extension) = bytes.split_at(dot.unwrap_or(bytes.len()));
    let mark = if number < 2 { String::new() } else { format!("~{number}") };
    let fits = LONGEST.saturating_sub(extension.len() + mark.len() + room);
    let stem = cut_at_char(stem, fits);
    let mut out = platform::name_from_bytes(stem.to_vec());
    out.push(mark);
    out.push(platform::name_from_bytes(extension.to_vec()));
    out
}

/// The number for another try at a name that is taken: 2, 3, … and, for an app that uses one name for all its files,
/// the time instead of a search through thousands.
pub(super) fn next_number(attempt: usize) -> usize {
    const FEW: usize = 20;
    if attempt <= FEW {
        return attempt;
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    usize::try_from(now.as_millis()).unwrap_or(usize::MAX - attempt).saturating_add(attempt)
}

/// The longest prefix of at most `max` bytes that does not cut a UTF-8 character in two.
fn cut_at_char(bytes: &[u8], max: usize) -> &[u8] {
    if bytes.len() <= max {
        return bytes;
    }
    let mut end = max;
    while end > 0 && bytes[end] & 0xC0 == 0x80 {
        end -= 1;
    }
    &bytes[..end]
}

/// Moves a file into a folder under its own name or, where that is taken, under a numbered one.
///
/// `room` bytes are kept free at the end of the name, for a suffix.
pub(super) fn move_into(from: &Path, folder: &Path, name: &OsStr, room: usize) -> io::Result<PathBuf> {
    let mut candidate =
        if name.len() + room <= LONGEST { name.to_os_string() } else { numbered(name, 1, room) };
    for number in 2.. {
        let to = folder.join(&candidate);
        match platform::rename_no_replace(from, &to) {
            Ok(()) => return Ok(to),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                candidate = numbered(name, next_number(number), room);
            }
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_unfinished_and_unwanted_names_are_left_alone() {
        let filter = NameFilter::new(&["*.json".into(), "chat-??.txt".into()]);
        for taken in [
            "a.json",
            "A.JSON",
            "completed_x.json",
            "chat-01.txt",
            ".json.json2.json".trim_start_matches('.'),
        ] {
            assert!(filter.takes(OsStr::new(taken)), "{taken}");
        }
        for left in [".a.json", "a.json.tmp", "a.json.part", "a.txt", "chat-1.txt", "json", "a.json~"] {
            assert!(!filter.takes(OsStr::new(left)), "{left}");
        }
    }

    #[test]
    fn a_name_that_steers_a_terminal_is_shown_without_that() {
        assert_eq!(
            shown(OsStr::new("a\u{1b}[2J\nb\u{202e}nosj.json")),
            "a\u{fffd}[2J\u{fffd}b\u{fffd}nosj.json"
        );
        assert_eq!(shown(OsStr::new("Grüße 👩‍👧.json")), "Grüße 👩‍👧.json");
    }

    #[test]
    fn a_glob_with_many_stars_is_answered_at_once() {
        assert!(!matches(&b"*a".repeat(40), &b"a".repeat(39)));
        assert!(matches(b"*a*b*", b"xxaxxbxx"));
    }

    #[test]
    fn a_numbered_name_fits_and_keeps_its_extension() {
        let long = format!("{}.json", "ä".repeat(125));
        let name = numbered(OsStr::new(&long), 12, 11);
        assert!(name.len() + 11 <= LONGEST);
        let text = name.to_str().expect("still UTF-8");
        assert!(text.ends_with("~12.json"));
        assert_eq!(numbered(OsStr::new("a.json"), 2, 0), OsStr::new("a~2.json"));
    }

    #[test]
    fn a_taken_name_gets_a_number_and_nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::create_dir_all(&from).unwrap();
        std::fs::create_dir_all(&to).unwrap();
        for content in ["1", "2", "3"] {
            std::fs::write(from.join("a.json"), content).unwrap();
            move_into(&from.join("a.json"), &to, OsStr::new("a.json"), 0).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(to.join(name)).unwrap();
        assert_eq!(
            (read("a.json"), read("a~2.json"), read("a~3.json")),
            ("1".into(), "2".into(), "3".into())
        );
    }
}
