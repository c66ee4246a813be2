//! Counting what waits for a run, without reading the chats.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};

use serde::Deserialize;

use super::Standing;
use super::plan::RETRAIN;
use crate::platform::Signature;
use crate::training::set::TrainingSet;
use crate::training::versions::Versions;

/// The heads of the set's lines, kept in step with the file: what was appended is read, once.
#[derive(Debug)]
pub struct Tally {
    set: TrainingSet,
    inode: u64,
    read: u64,
    heads: HashMap<String, Head>,
}

/// A line without its chat.
#[derive(Debug, Deserialize)]
struct Head {
    identity: String,
    key: String,
    at: i64,
    answers: usize,
}

impl Tally {
    /// A count of a set; nothing is read yet.
    pub fn of(set: TrainingSet) -> Self {
        Tally { set, inode: 0, read: 0, heads: HashMap::new() }
    }

    /// Reads on. `true` if something changed.
    pub fn read_on(&mut self) -> io::Result<bool> {
        let mut file = match File::open(self.set.file()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let had = !self.heads.is_empty();
                self.heads.clear();
                (self.inode, self.read) = (0, 0);
                return Ok(had);
            }
            Err(error) => return Err(error),
        };
        let Signature { inode, size, .. } = Signature::of(&file.metadata()?);
        if inode == self.inode && size == self.read {
            return Ok(false);
        }
        if inode != self.inode || size < self.read {
            self.heads.clear();
            (self.inode, self.read) = (inode, 0);
        }
        file.seek(SeekFrom::Start(self.read))?;
        let mut lines = BufReader::with_capacity(1 << 16, file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = lines.read_until(b'\n', &mut line)?;
            // A line that is still being written is read the next time.
            if length == 0 || line.last() != Some(&b'\n') {
                break;
            }
            self.read += length as u64;
            if let Some(head) = head(&line) {
                self.heads.insert(head.identity.clone(), head);
            }
        }
        Ok(true)
    }

    /// What waits for a run.
    pub fn standing(&self, versions: &Versions) -> Standing {
        let versions_list = versions.list();
        let used: HashSet<(&str, &str)> = versions_list
            .iter()
            .filter(|version| !version.tainted)
            .flat_map(|version| &version.lineage.sessions)
            .map(|session| (session.identity.as_str(), session.key.as_str()))
            .collect();
        let mut standing = Standing {
            retrain: versions.dir().join(RETRAIN).exists(),
            last_run: versions_list
                .iter()
                .filter_map(|version| version.metrics.finished.parse::<jiff::Timestamp>().ok())
                .map(|at| at.as_millisecond())
                .max(),
            ..Standing::default()
        };
        for head in self.heads.values().filter(|head| head.answers > 0) {
            standing.sessions += 1;
            if used.contains(&(head.identity.as_str(), head.key.as_str())) {
                continue;
            }
            standing.new_sessions += 1;
            standing.new_answers += head.answers;
            let (first, last) = standing.new_at.unwrap_or((head.at, head.at));
            standing.new_at = Some((first.min(head.at), last.max(head.at)));
        }
        standing
    }
}

/// The fields before the chat, which stands last in a line that we wrote.
fn head(line: &[u8]) -> Option<Head> {
    if let Some(chat) = memchr::memmem::find(line, b",\"chat\":[") {
        let mut head = line.get(..chat)?.to_vec();
        head.push(b'}');
        // Within an id the text may stand too; then the head is no JSON, and the whole line is read.
        if let Ok(head) = serde_json::from_slice(&head) {
            return Some(head);
        }
    }
    serde_json::from_slice(line).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::Home;

    #[test]
    fn what_is_appended_is_counted_once_and_a_rewritten_set_anew() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        let set = TrainingSet::of(&home);
        let mut tally = Tally::of(set.clone());
        let versions = Versions::of(&home);
        let line = |identity: &str, at: i64, answers: usize| {
            format!(
                "{{\"identity\":\"{}\",\"key\":\"k\",\"session_id\":\"x,\\\"chat\\\":[\",\"stem\":\"s\",\"at\":{at},\
                 \"answers\":{answers},\"chat\":[{{\"role\":\"user\",\"text\":\"hi\"}}]}}\n",
                identity.repeat(32)
            )
        };
        assert!(!tally.read_on().unwrap());
        set.append((line("aa", 5, 2) + &line("bb", 3, 4)).as_bytes()).unwrap();
        assert!(tally.read_on().unwrap() && !tally.read_on().unwrap());
        let standing = tally.standing(&versions);
        assert_eq!((standing.new_sessions, standing.new_answers, standing.new_at), (2, 6, Some((3, 5))));
        set.append((line("aa", 9, 0) + &line("cc", 7, 1)).as_bytes()).unwrap();
        tally.read_on().unwrap();
        assert_eq!(tally.standing(&versions).new_answers, 5);
        set.remove(|line| line.identity.starts_with("bb")).unwrap();
        tally.read_on().unwrap();
        assert_eq!(tally.standing(&versions).new_answers, 1);
    }
}
