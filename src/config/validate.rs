use std::path::{Path, PathBuf};
use std::time::Duration;

use super::load::Folders;
use super::training::training_faults;
use super::{ByteSize, Retry, Settings, Span};
use crate::sources::ObserverSettings;

/// Something that types alone do not forbid.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    /// The keys it is about, as in `spool.settle`; the first is where it is shown.
    pub(super) keys: Vec<String>,
    pub(super) message: String,
    pub(super) hint: String,
}

pub(super) fn fault(keys: &[&str], message: impl Into<String>, hint: impl Into<String>) -> Fault {
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    Fault { keys, message: message.into(), hint: hint.into() }
}

/// What is wrong with settings whose types fit.
pub(super) fn faults(settings: &Settings) -> Vec<Fault> {
    let Settings { spool, retention, workers, retry, logs, .. } = settings;
    let mut all = Vec::new();
    let mut check = |holds: bool, keys: &[&str], message: &str, hint: &str| {
        if !holds {
            all.push(fault(keys, message, hint));
        }
    };
    check(
        !spool.include.is_empty(),
        &["spool.include"],
        "no file would ever be taken",
        "the default is [\"*.json\", \"*.jsonl\"]",
    );
    check(
        spool.settle <= spool.grace,
        &["spool.settle", "spool.grace"],
        &format!("`settle` ({}) is longer than `grace` ({})", spool.settle, spool.grace),
        "a file must be allowed to settle before it can fail: raise `grace`",
    );
    check(
        spool.rescan.0 >= Duration::from_millis(100),
        &["spool.rescan"],
        "the folder would be read without a pause",
        "at least \"100ms\"; the default is \"10s\"",
    );
    check(
        spool.max_size > ByteSize(0),
        &["spool.max_size"],
        "every file would be too large",
        "the default is \"64MiB\"",
    );
    check(
        (1..=4096).contains(&workers.in_flight),
        &["workers.in_flight"],
        "`in_flight` is from 1 to 4096",
        "the default is 64",
    );
    check(
        workers.threads <= 1024,
        &["workers.threads"],
        "`threads` is at most 1024",
        "0 takes as many as there are cores",
    );
    check(
        logs.rotate.max_size >= ByteSize(4096),
        &["logs.rotate.max_size"],
        "a log file holds at least 4KiB",
        "the default is \"10MiB\"",
    );
    for (key, span) in [("done", retention.done), ("failed", retention.failed), ("logs", retention.logs)] {
        check(
            span != Some(Span(Duration::ZERO)),
            &[&format!("retention.{key}")],
            "files would be deleted as soon as they arrive",
            "leave the key out to keep them, or write a duration such as \"90d\"",
        );
    }
    all.extend(retry_faults(retry, "retry"));
    all.extend(training_faults(&settings.training));
    all.extend(path_faults(settings));
    all
}

/// What is wrong with retries, those of all stages or of one.
pub(super) fn retry_faults(retry: &Retry, section: &str) -> Vec<Fault> {
    let key = |name: &str| format!("{section}.{name}");
    let mut all = Vec::new();
    if retry.attempts == 0 {
        let hint = "`attempts = 1` tries once and never again";
        all.push(fault(&[&key("attempts")], "the first try counts, so there is at least 1", hint));
    }
    if retry.backoff > retry.max_backoff {
        let message =
            format!("`backoff` ({}) is longer than `max_backoff` ({})", retry.backoff, retry.max_backoff);
        all.push(fault(
            &[&key("backoff"), &key("max_backoff")],
            message,
            "lower `backoff` or raise `max_backoff`",
        ));
    }
    all
}

fn named_paths(settings: &Settings) -> Vec<(&'static str, &Path)> {
    let spool = &settings.spool;
    let optional = [
        ("spool.path", &spool.path),
        ("spool.done", &spool.done),
        ("spool.failed", &spool.failed),
        ("spool.work", &spool.work),
    ];
    let optional = optional.into_iter().filter_map(|(key, path)| path.as_deref().map(|path| (key, path)));
    std::iter::once(("home.path", settings.home.path.as_path())).chain(optional).collect()
}

fn path_faults(settings: &Settings) -> Vec<Fault> {
    let mut all = Vec::new();
    for (key, path) in named_paths(settings) {
        if path.as_os_str().is_empty() {
            all.push(fault(&[key], "a path must not be empty", "leave the key out for its default"));
        }
        if path.starts_with("~") {
            all.push(fault(
                &[key],
                "`~` is not expanded",
                "write the folder in full, or relative to this file",
            ));
        }
    }
    all
}

/// Folders that must not be the same, and are.
pub(super) fn folder_faults(folders: &Folders) -> Vec<Fault> {
    let named: [(&str, &str, &PathBuf); 5] = [
        ("home", "home.path", &folders.home),
        ("spool", "spool.path", &folders.spool),
        ("done", "spool.done", &folders.done),
        ("failed", "spool.failed", &folders.failed),
        ("work", "spool.work", &folders.work),
    ];
    let mut all = Vec::new();
    for (i, (name, key, folder)) in named.iter().enumerate() {
        for (other_name, other_key, other) in named.iter().take(i) {
            if folder == other {
                let message =
                    format!("`{name}` and `{other_name}` are the same folder, {}", folder.display());
                all.push(fault(&[key, other_key], message, "each needs a folder of its own"));
            }
        }
    }
    all
}

/// What is wrong with the sources.
pub(super) fn source_faults(
    settings: &Settings,
    sources: &[ObserverSettings],
    folders: &Folders,
) -> Vec<Fault> {
    let mut all = Vec::new();
    for (i, source) in settings.source.iter().enumerate() {
        let key = |name: &str| format!("source[{i}].{name}");
        if source.path.as_os_str().is_empty() {
            let hint = "the program's folder; docs/SOURCES.md says where each program keeps its chats";
            all.push(fault(&[&key("path")], "a source needs a `path`", hint));
        }
        if source.format.is_none() {
            let hint = "the program, as in `format = \"claude-code\"`";
            all.push(fault(&[&key("format")], "a source needs a `format`", hint));
        }
        if source.quiet.0 < Duration::from_secs(1) {
            let hint = "at least \"1s\"; the default is \"5m\"";
            all.push(fault(&[&key("quiet")], "a conversation would be learned while it goes on", hint));
        }
    }
    // With a source that is wrong the numbers would not be those of the file.
    if !all.is_empty() {
        return all;
    }
    let own = [&folders.home, &folders.spool, &folders.work, &folders.done, &folders.failed];
    for (i, source) in sources.iter().enumerate() {
        let key = format!("source[{i}].path");
        if own.iter().any(|folder| source.path.starts_with(folder) || folder.starts_with(&source.path)) {
            let message = format!("{} is a folder of ATLES, or holds one", source.path.display());
            all.push(fault(&[&key], message, "name the folder of the other program"));
        }
        if sources.iter().take(i).any(|other| other.path == source.path && other.program == source.program) {
            let message = format!("a second source with {}", source.path.display());
            all.push(fault(&[&key], message, "one is enough"));
        }
    }
    all
}
