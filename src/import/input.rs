use std::cell::Cell;
use std::ffi::OsStr;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use super::report::Report;
use super::zip;
use crate::platform;
use crate::spool::shown;
use crate::text::tame::steers;

/// How deep folders are looked into.
const DEEPEST: usize = 16;
/// Names of an export that hold no conversations.
const NO_CHATS: &[&str] = &[
    "user.json",
    "users.json",
    "user_settings.json",
    "message_feedback.json",
    "model_comparisons.json",
    "shared_conversations.json",
    "export_manifest.json",
    "conversation_asset_file_names.json",
    "library_files.json",
    "projects.json",
    "memories.json",
    "thread.json",
    "manifest.json",
    "readme.md",
    "license.txt",
];

/// What a file may be, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `conversations.json`, or a numbered one.
    Export,
    /// Any other JSON.
    Json,
    /// Markdown or plain text.
    Text,
}

/// Tells by its name what a file among others may be; `None` for what is passed over.
pub(super) fn kind_of(name: &str) -> Option<Kind> {
    let name = name.to_ascii_lowercase();
    if name.starts_with('.') || NO_CHATS.contains(&name.as_str()) {
        return None;
    }
    let numbered = |stem: &str| {
        stem.strip_prefix("conversations").is_some_and(|rest| {
            rest.is_empty()
                || rest.strip_prefix(['-', '_']).is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
        })
    };
    match name.rsplit_once('.')? {
        (stem, "json") if numbered(stem) => Some(Kind::Export),
        (_, "json" | "jsonl" | "ndjson") => Some(Kind::Json),
        (_, "md" | "markdown" | "txt") => Some(Kind::Text),
        _ => None,
    }
}

/// One thing to read: a file, or an entry of a zip.
#[derive(Debug)]
pub(super) struct Part {
    /// What it is called in reports.
    pub(super) label: String,
    pub(super) kind: Kind,
    /// Bytes, as far as is known.
    pub(super) size: u64,
    path: PathBuf,
    entry: Option<zip::Entry>,
}

impl Part {
    /// Hands the content to `work`.
    pub(super) fn read<T>(
        &self,
        total: &Cell<u64>,
        work: impl FnOnce(&mut dyn Read) -> io::Result<T>,
    ) -> io::Result<T> {
        match &self.entry {
            Some(entry) => zip::read(&self.path, entry, total, work),
            None => {
                let (mut file, _) = platform::open_regular(&self.path)?;
                work(&mut file)
            }
        }
    }
}

/// Everything that the paths a person named hold. What cannot be looked at is noted in the report.
pub(super) fn parts(paths: &[PathBuf], report: &mut Report) -> Vec<Part> {
    let mut parts = Vec::new();
    for path in paths {
        let label = shown(path.as_os_str());
        let added = match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => folder(path, 0, &mut parts, report),
            // The person named it, so a link is followed.
            Ok(_) => std::fs::canonicalize(path).and_then(|path| file(&path, &mut parts, report, true)),
            Err(error) => Err(error),
        };
        if let Err(error) = added {
            report.problem(&label, None, error.to_string());
        }
    }
    parts
}

fn folder(path: &Path, depth: usize, parts: &mut Vec<Part>, report: &mut Report) -> io::Result<()> {
    let mut entries = std::fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type()?);
        let result = if kind.is_dir() && depth < DEEPEST {
            folder(&path, depth + 1, parts, report)
        } else if kind.is_file() {
            file(&path, parts, report, false)
        } else {
            Ok(())
        };
        if let Err(error) = result {
            report.problem(&shown(path.as_os_str()), None, error.to_string());
        }
    }
    Ok(())
}

/// Adds a file; `named`: by a person, so it is read whatever its name.
fn file(path: &Path, parts: &mut Vec<Part>, report: &mut Report, named: bool) -> io::Result<()> {
    let name = path.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
    let label = shown(path.as_os_str());
    let kind = kind_of(&name);
    let may_be_zip = named || name.to_ascii_lowercase().ends_with(".zip");
    if kind.is_none() && !may_be_zip {
        return Ok(());
    }
    let (mut opened, metadata) = platform::open_regular(path)?;
    if may_be_zip && zip::is_zip(&mut opened)? {
        let zip::Contents { entries, refused } = zip::contents(path)?;
        for (entry, why) in refused {
            report.problem(&format!("{label}: {}", clipped(&entry)), None, why);
        }
        if entries.is_empty() {
            report.problem(&label, None, "the zip holds no conversations");
        }
        parts.extend(entries.into_iter().map(|entry| Part {
            label: format!("{label}: {}", clipped(&entry.name)),
            kind: entry.kind,
            size: entry.size,
            path: path.to_path_buf(),
            entry: Some(entry),
        }));
        return Ok(());
    }
    opened.rewind()?;
    let kind = match kind {
        Some(kind) => kind,
        None => by_content(&mut opened)?,
    };
    parts.push(Part { label, kind, size: metadata.len(), path: path.to_path_buf(), entry: None });
    Ok(())
}

/// Whether a file without a telling name begins as JSON does.
fn by_content(file: &mut dyn Read) -> io::Result<Kind> {
    let mut head = Vec::new();
    file.take(64).read_to_end(&mut head)?;
    let text = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&head).trim_ascii_start();
    Ok(if text.starts_with(b"{") || text.starts_with(b"[{") || text.starts_with(b"[\n") {
        Kind::Json
    } else {
        Kind::Text
    })
}

/// A name out of a zip, fit to be shown.
fn clipped(name: &str) -> String {
    name.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_may_hold_chats() {
        let cases = [
            ("conversations.json", Some(Kind::Export)),
            ("conversations-012.json", Some(Kind::Export)),
            ("conversations-new.json", Some(Kind::Json)),
            ("1772445600000.conversation.json", Some(Kind::Json)),
            ("messages.jsonl", Some(Kind::Json)),
            ("Chat.MD", Some(Kind::Text)),
            ("user.json", None),
            (".conversations.json", None),
            ("picture.png", None),
            ("noname", None),
        ];
        for (name, kind) in cases {
            assert_eq!(kind_of(name), kind, "{name}");
        }
    }
}
