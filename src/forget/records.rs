//! Logs, training data and whatever else speaks of sessions line by line.

use std::collections::BTreeSet;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::ForgetError;
use super::needle::Needle;
use super::receipt::{FileGone, Receipt, replace};
use super::survey::{Target, Targets};
use crate::memory::forget::scrub;
use crate::spool::Home;

/// Ids and names shorter than this are words that stand in any log.
const TELLING: usize = 4;

/// What files of records are cleaned of.
pub(super) struct Records<'a> {
    pub(super) home: &'a Home,
    pub(super) targets: &'a Targets,
    pub(super) needle: Option<&'a Needle>,
    /// Names of dropped files that are gone.
    pub(super) files: &'a BTreeSet<String>,
}

/// What becomes of a line.
enum Line {
    Stays,
    Goes,
    As(Vec<u8>),
}

impl Records<'_> {
    /// The session that a record tells of, if something of it goes.
    fn target(&self, record: &Value) -> Option<&Target> {
        let text = |name: &str| record.get(name).and_then(Value::as_str);
        let key = text("key").or_else(|| text("session_key"));
        let by_key = |target: &&Target| key.is_some_and(|key| target.keys.contains(key));
        if let Some(found) = self.targets.values().find(by_key) {
            return Some(found);
        }
        if let Some(identity) = text("identity") {
            return self.targets.get(identity);
        }
        let id = text("session_id").or_else(|| text("session"))?;
        self.targets.values().find(|target| {
            let user = record.get("user_id").is_none_or(|user| user.as_str() == target.user.as_deref());
            user && target.ids.contains(id)
        })
    }

    /// The names under which logs tell of the sessions, so that their training files are found.
    pub(super) fn stems(&self) -> Result<Vec<(String, String)>, ForgetError> {
        let mut stems = Vec::new();
        for path in files_in(&self.home.logs())? {
            let name = name_of(&path);
            let Some(stem) = name.strip_prefix("session_log_").and_then(|it| it.strip_suffix(".json")) else {
                continue;
            };
            let Ok(log) = serde_json::from_slice::<Value>(&read(&path)?) else { continue };
            for (identity, target) in self.targets {
                if self.target(&log).is_some_and(|found| std::ptr::eq(found, target)) {
                    stems.push((identity.clone(), stem.to_owned()));
                }
            }
        }
        Ok(stems)
    }

    /// Logs: those of the sessions go, lines that tell of them too, and words that are to stand nowhere.
    pub(super) fn clean_logs(&self, receipt: &mut Receipt) -> Result<(), ForgetError> {
        for path in files_in(&self.home.logs())? {
            let name = name_of(&path);
            if name.starts_with("daemon.log") {
                self.clean_daemon_log(&path, receipt)?;
            } else if name.ends_with(".jsonl") {
                self.clean_lines(&path, "log lines", receipt)?;
            } else if name.ends_with(".json") {
                self.clean_log(&path, &name, receipt)?;
            }
        }
        Ok(())
    }

    fn clean_log(&self, path: &Path, name: &str, receipt: &mut Receipt) -> Result<(), ForgetError> {
        let bytes = read(path)?;
        let Ok(mut log) = serde_json::from_slice::<Value>(&bytes) else {
            return self.clean_unreadable(path, &bytes, "logs", receipt);
        };
        if name.starts_with("session_log_") && self.target(&log).is_some_and(|target| target.whole) {
            receipt.count("session logs", 1);
            return delete(path);
        }
        if self.mentions(&bytes) && scrub(&mut log, &|text| self.in_text(text)) {
            receipt.count("texts in logs", 1);
            let content = serde_json::to_vec_pretty(&log).unwrap_or_default();
            return replace(path, &content).map_err(|source| ForgetError::file(path, source));
        }
        Ok(())
    }

    /// The daemon may have it open, so it is cut and written again in its place.
    fn clean_daemon_log(&self, path: &Path, receipt: &mut Receipt) -> Result<(), ForgetError> {
        let failed = |source| ForgetError::file(path, source);
        let bytes = read(path)?;
        let names: BTreeSet<&str> = self
            .targets
            .values()
            .filter(|target| target.whole)
            .flat_map(|target| target.ids.iter().chain(&target.user))
            .chain(self.files)
            .map(String::as_str)
            .filter(|name| name.len() >= TELLING)
            .collect();
        let names: Vec<_> = names.into_iter().map(str::to_owned).collect();
        let any = (!names.is_empty()).then(|| aho_corasick::AhoCorasick::new(&names).ok()).flatten();
        let stays = |line: &&[u8]| {
            let named =
                any.as_ref().is_some_and(|any| any.find_iter(line).any(|at| stands_alone(line, at.range())));
            !named && !self.mentions(line)
        };
        let lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
        let left: Vec<u8> = lines.iter().copied().filter(|line| stays(line)).collect::<Vec<_>>().concat();
        if left.len() == bytes.len() {
            return Ok(());
        }
        let kept = lines.iter().filter(|line| stays(line)).count();
        receipt.count("log lines", (lines.len() - kept) as u64);
        let mut file = std::fs::OpenOptions::new().write(true).open(path).map_err(failed)?;
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(&left))
            .and_then(|()| file.sync_all())
            .map_err(failed)
    }

    /// Training data: the files of the sessions go, and lines in which forgotten words stand.
    pub(super) fn clean_training(&self, receipt: &mut Receipt) -> Result<(), ForgetError> {
        for path in files_below(&self.home.training_data())? {
            let name = name_of(&path);
            let stem = name.strip_prefix("training_").and_then(|it| it.strip_suffix(".jsonl"));
            let whole = stem.is_some_and(|stem| self.owner(stem).is_some_and(|target| target.whole));
            if whole {
                let bytes = read(&path)?;
                receipt.count("training lines", memchr::memchr_iter(b'\n', &bytes).count() as u64);
                receipt.files.push(FileGone::of("training_data", &bytes, false));
                delete(&path)?;
            } else {
                self.clean_any(&path, "training lines", receipt)?;
            }
        }
        Ok(())
    }

    /// The session whose files have this stem.
    fn owner(&self, stem: &str) -> Option<&Target> {
        let of_identity = |identity: &str| stem.contains(&format!("-{}_", identity.get(..8).unwrap_or("-")));
        self.targets
            .iter()
            .find(|(identity, target)| target.stems.contains(stem) || of_identity(identity))
            .map(|(_, target)| target)
    }

    /// Whether a training file has lines that go although its session stays.
    pub(super) fn loses_examples(&self, target: &Target) -> Result<usize, ForgetError> {
        let mut lost = 0;
        for stem in &target.stems {
            let path = self.home.training_data().join(format!("training_{stem}.jsonl"));
            if path.exists() {
                let bytes = read(&path)?;
                let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
                lost += lines.filter(|line| !matches!(self.line(line, Some(target)), Line::Stays)).count();
            }
        }
        Ok(lost)
    }

    /// Everything below models/ that is made of text: held-out sets, logs of runs.
    pub(super) fn clean_models(&self, receipt: &mut Receipt) -> Result<(), ForgetError> {
        for path in files_below(&self.home.models())? {
            match name_of(&path).as_str() {
                "lineage.json" => {}
                // It holds what is known of a user, and is made anew when the version is published again.
                "Modelfile" => {
                    receipt.files.push(FileGone::of("models", &read(&path)?, false));
                    delete(&path)?;
                }
                _ => self.clean_any(&path, "lines of model files", receipt)?,
            }
        }
        Ok(())
    }

    fn clean_any(&self, path: &Path, what: &str, receipt: &mut Receipt) -> Result<(), ForgetError> {
        let name = name_of(path);
        if name.ends_with(".jsonl") {
            return self.clean_lines(path, what, receipt);
        }
        if name.ends_with(".json") {
            return self.clean_log(path, &name, receipt);
        }
        if name.ends_with(".md") || name.ends_with(".txt") {
            return self.clean_unreadable(path, &read(path)?, "models", receipt);
        }
        Ok(())
    }

    fn clean_lines(&self, path: &Path, what: &str, receipt: &mut Receipt) -> Result<(), ForgetError> {
        let name = name_of(path);
        let stem = name.strip_prefix("training_").and_then(|it| it.strip_suffix(".jsonl"));
        let owner = stem.and_then(|stem| self.owner(stem));
        let bytes = read(path)?;
        let mut left = Vec::with_capacity(bytes.len());
        let mut changed = 0;
        for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            match self.line(line, owner) {
                Line::Stays => left.extend_from_slice(line),
                Line::Goes => {
                    changed += 1;
                    continue;
                }
                Line::As(line) => {
                    changed += 1;
                    left.extend(line);
                }
            }
            left.push(b'\n');
        }
        if changed == 0 {
            return Ok(());
        }
        receipt.count(what, changed);
        if left.is_empty() && stem.is_some() {
            return delete(path);
        }
        replace(path, &left).map_err(|source| ForgetError::file(path, source))
    }

    /// `owner`: the session whose lines these are, where the file says so by its name.
    fn line(&self, line: &[u8], owner: Option<&Target>) -> Line {
        let Ok(mut record) = serde_json::from_slice::<Value>(line) else {
            return if self.mentions(line) { Line::Goes } else { Line::Stays };
        };
        let told = self.target(&record);
        if told.is_some_and(|target| target.whole) {
            return Line::Goes;
        }
        let holds = |target: &Target| {
            target.words.iter().any(|words| !words.trim().is_empty() && holds_text(&record, words))
        };
        if owner.or(told).is_some_and(holds) {
            return Line::Goes;
        }
        if !self.mentions(line) {
            return Line::Stays;
        }
        // A line of a log is still of use without the words; an example is not.
        let is_log = record.get("stages").is_some() || record.get("messages_count").is_some();
        if is_log && scrub(&mut record, &|text| self.in_text(text)) {
            return Line::As(record.to_string().into_bytes());
        }
        Line::Goes
    }

    fn clean_unreadable(
        &self,
        path: &Path,
        bytes: &[u8],
        folder: &str,
        receipt: &mut Receipt,
    ) -> Result<(), ForgetError> {
        if self.mentions(bytes) {
            receipt.files.push(FileGone::of(folder, bytes, false));
            return delete(path);
        }
        Ok(())
    }

    fn mentions(&self, bytes: &[u8]) -> bool {
        self.needle.is_some_and(|needle| needle.in_bytes(bytes))
    }

    fn in_text(&self, text: &str) -> bool {
        self.needle.is_some_and(|needle| needle.in_text(text))
    }
}

/// Whether what was found is no part of a longer word.
fn stands_alone(line: &[u8], at: std::ops::Range<usize>) -> bool {
    let part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte >= 0x80);
    !part(at.start.checked_sub(1).and_then(|before| line.get(before))) && !part(line.get(at.end))
}

fn holds_text(value: &Value, words: &str) -> bool {
    match value {
        Value::String(text) => text.contains(words),
        Value::Array(list) => list.iter().any(|item| holds_text(item, words)),
        Value::Object(entries) => entries.values().any(|item| holds_text(item, words)),
        _ => false,
    }
}

pub(super) fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, ForgetError> {
    std::fs::read(path).map_err(|source| ForgetError::file(path, source))
}

pub(super) fn delete(path: &Path) -> Result<(), ForgetError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ForgetError::file(path, error)),
        _ => Ok(()),
    }
}

/// The regular files in a folder, in order.
fn files_in(dir: &Path) -> Result<Vec<PathBuf>, ForgetError> {
    let mut files = entries(dir)?;
    files.retain(|path| path.symlink_metadata().is_ok_and(|it| it.is_file()));
    Ok(files)
}

/// The regular files below a folder, in order. Links are not followed.
pub(super) fn files_below(dir: &Path) -> Result<Vec<PathBuf>, ForgetError> {
    let mut files = Vec::new();
    for path in entries(dir)? {
        match path.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => files.extend(files_below(&path)?),
            Ok(metadata) if metadata.is_file() => files.push(path),
            _ => {}
        }
    }
    Ok(files)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, ForgetError> {
    let failed = |source| ForgetError::file(dir, source);
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(failed)?;
    paths.sort();
    Ok(paths)
}
