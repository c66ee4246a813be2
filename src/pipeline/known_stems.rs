use std::collections::HashMap;
use std::io;
use std::path::Path;

use super::stems::plain;
use crate::session::{Envelope, Identity};
use crate::spool::Home;

/// Which names the logs and training files of sessions have, read from the files themselves: for a state store that
/// is made anew, so that a revision still takes the place of what its session left.
#[derive(Debug)]
pub struct KnownStems {
    /// By session key, from the session logs.
    by_key: HashMap<String, String>,
    /// By what stands before the time; `None` where several share it.
    by_head: HashMap<String, Option<String>>,
}

impl KnownStems {
    /// Reads the names.
    ///
    /// # Errors
    /// If a folder or a session log cannot be read.
    pub fn read(home: &Home) -> io::Result<Self> {
        #[derive(serde::Deserialize)]
        struct Log {
            key: String,
        }
        let mut known = KnownStems { by_key: HashMap::new(), by_head: HashMap::new() };
        let logs = home.logs();
        for stem in stems_in(&logs, stem_of_log)? {
            let log = std::fs::read(logs.join(format!("session_log_{stem}.json")))?;
            if let Ok(Log { key }) = serde_json::from_slice(&log) {
                known.by_key.insert(key, stem);
            }
        }
        for stem in stems_in(&home.training_data(), stem_of_training)? {
            if let Some(head) = head_of(&stem) {
                let same = known.by_head.entry(head.to_owned());
                same.and_modify(|several| *several = None).or_insert(Some(stem));
            }
        }
        Ok(known)
    }

    /// The stem that a session's files have, as far as that can be told.
    pub(super) fn of(&self, envelope: &Envelope) -> Option<String> {
        self.of_session(&envelope.session.session_id, &envelope.identity, &envelope.key.to_string())
    }

    /// The stem that the log of a session with this key has, in hex digits.
    pub(super) fn of_key(&self, key: &str) -> Option<String> {
        self.by_key.get(key).cloned()
    }

    /// The same for a session whose key is known as hex digits.
    pub fn of_session(&self, session_id: &str, identity: &Identity, key: &str) -> Option<String> {
        let (id, verbatim) = plain(session_id);
        let with_identity = format!("{id}-{}", &identity.to_string()[..8]);
        let by_head = |head: &str| self.by_head.get(head).cloned().flatten();
        let exact = self.by_key.get(key).cloned();
        exact.or_else(|| by_head(&with_identity)).or_else(|| by_head(&id).filter(|_| verbatim))
    }
}

/// The stem in the name of a session's log.
pub(super) fn stem_of_log(name: &str) -> Option<&str> {
    name.strip_prefix("session_log_")?.strip_suffix(".json")
}

/// The stem in the name of a session's training file.
pub(super) fn stem_of_training(name: &str) -> Option<&str> {
    name.strip_prefix("training_")?.strip_suffix(".jsonl")
}

/// How many examples a session's training file holds.
pub(super) fn examples(home: &Home, stem: &str) -> usize {
    let path = home.training_data().join(format!("training_{stem}.jsonl"));
    std::fs::read(path).map_or(0, |text| memchr::memchr_iter(b'\n', &text).count())
}

fn stems_in(dir: &Path, stem_of: fn(&str) -> Option<&str>) -> io::Result<Vec<String>> {
    let mut stems = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        stems.extend(name.to_str().and_then(stem_of).map(str::to_owned));
    }
    Ok(stems)
}

/// A stem without its time, `_yyyymmdd_hhmmss`.
fn head_of(stem: &str) -> Option<&str> {
    let (head, time) = stem.split_at_checked(stem.len().checked_sub(16)?)?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (day, second) = time.strip_prefix('_')?.split_once('_')?;
    (digits(day) && digits(second) && day.len() == 8).then_some(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{FileFacts, Session};

    fn envelope(id: &str) -> Envelope {
        Envelope::new(Session { session_id: id.into(), ..Session::default() }, FileFacts::default())
    }

    #[test]
    fn a_session_is_told_by_the_key_in_its_log_or_by_a_name_that_only_it_can_have() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        home.prepare().unwrap();
        let logged = envelope("logged");
        let log = format!("{{\"key\":\"{}\"}}", logged.key);
        std::fs::write(home.logs().join("session_log_other_20260101_000000.json"), log).unwrap();
        let marked = envelope("mar/ked");
        let stem = format!("mar_ked-{}_20260101_000000", &marked.identity.to_string()[..8]);
        let names = ["plain_20260101_000000", "two_20260101_000000", "two_20260101_000001", &stem, "odd_7"];
        for name in names {
            std::fs::write(home.training_data().join(format!("training_{name}.jsonl")), "{}\n{}\n").unwrap();
        }
        let known = KnownStems::read(&home).unwrap();
        assert_eq!(known.of(&logged).as_deref(), Some("other_20260101_000000"));
        assert_eq!(known.of(&envelope("plain")).as_deref(), Some("plain_20260101_000000"));
        assert_eq!(known.of(&marked), Some(stem));
        for unknown in ["two", "odd", "never"] {
            assert_eq!(known.of(&envelope(unknown)), None, "{unknown}");
        }
        assert_eq!((examples(&home, "plain_20260101_000000"), examples(&home, "never")), (2, 0));
    }
}
