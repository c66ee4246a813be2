//! Counting what waits for a run, without reading the chats.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};

use super::Standing;
use super::plan::RETRAIN;
use crate::platform::Signature;
use crate::training::set::{Outline, TrainingSet, short};
use crate::training::versions::Versions;

/// The heads of the set's lines, kept in step with the file: what was appended is read, once. A head takes 30 to 60
/// bytes, and the sums are kept, so that a set of a million sessions costs neither much memory nor time.
#[derive(Debug)]
pub struct Tally {
    set: TrainingSet,
    inode: u64,
    read: u64,
    /// By the hash of the session's identity.
    heads: HashMap<u64, Head>,
    /// The sessions that versions were trained with, as they were then: hashes of identity and key.
    used: HashSet<(u64, u32)>,
    counts: Counts,
}

/// A line without its chat, as it is kept.
#[derive(Debug, Clone, Copy)]
struct Head {
    at: i64,
    /// The hash of its content's key.
    key: u32,
    answers: u32,
}

/// Sums over the heads.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    sessions: usize,
    new_sessions: usize,
    new_answers: usize,
    /// The first and the last of those that are new, or were until they were learned anew.
    new_at: Option<(i64, i64)>,
}

impl Counts {
    fn add(&mut self, head: &Head, is_new: bool) {
        self.sessions += 1;
        if is_new {
            self.new_sessions += 1;
            self.new_answers += head.answers as usize;
            let (first, last) = self.new_at.unwrap_or((head.at, head.at));
            self.new_at = Some((first.min(head.at), last.max(head.at)));
        }
    }

    fn take_out(&mut self, head: &Head, was_new: bool) {
        self.sessions -= 1;
        if was_new {
            self.new_sessions -= 1;
            self.new_answers -= head.answers as usize;
            self.new_at = self.new_at.filter(|_| self.new_sessions > 0);
        }
    }
}

impl Tally {
    /// A count of a set; nothing is read yet.
    pub fn of(set: TrainingSet) -> Self {
        Tally {
            set,
            inode: 0,
            read: 0,
            heads: HashMap::new(),
            used: HashSet::new(),
            counts: Counts::default(),
        }
    }

    /// Reads on. `true` if something changed.
    pub fn read_on(&mut self) -> io::Result<bool> {
        let mut file = match File::open(self.set.file()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let had = !self.heads.is_empty();
                self.begin_anew(0);
                return Ok(had);
            }
            Err(error) => return Err(error),
        };
        let Signature { inode, size, .. } = Signature::of(&file.metadata()?);
        if inode == self.inode && size == self.read {
            return Ok(false);
        }
        if inode != self.inode || size < self.read {
            self.begin_anew(inode);
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
            self.take_in(&line);
        }
        Ok(true)
    }

    fn begin_anew(&mut self, inode: u64) {
        self.heads.clear();
        self.counts = Counts::default();
        (self.inode, self.read) = (inode, 0);
    }

    /// A line takes the place of an earlier one of its session.
    fn take_in(&mut self, line: &[u8]) {
        let Some((identity, head)) = head(line) else { return };
        let is_new = |head: &Head| !self.used.contains(&(identity, head.key));
        if let Some(earlier) = self.heads.insert(identity, head).filter(|earlier| earlier.answers > 0) {
            self.counts.take_out(&earlier, is_new(&earlier));
        }
        if head.answers > 0 {
            self.counts.add(&head, is_new(&head));
        }
    }

    /// What waits for a run.
    pub fn standing(&mut self, versions: &Versions) -> Standing {
        let versions_list = versions.list();
        let used: HashSet<(u64, u32)> = versions_list
            .iter()
            .filter(|version| !version.tainted)
            .flat_map(|version| &version.lineage.sessions)
            .map(|session| (short(&session.identity), short(&session.key) as u32))
            .collect();
        if used != self.used {
            self.used = used;
            self.counts = Counts::default();
            for (identity, head) in self.heads.iter().filter(|(_, head)| head.answers > 0) {
                self.counts.add(head, !self.used.contains(&(*identity, head.key)));
            }
        }
        let Counts { sessions, new_sessions, new_answers, new_at } = self.counts;
        Standing {
            sessions,
            new_sessions,
            new_answers,
            new_at,
            retrain: versions.dir().join(RETRAIN).exists(),
            last_run: versions_list
                .iter()
                .filter_map(|version| version.metrics.finished.parse::<jiff::Timestamp>().ok())
                .map(|at| at.as_millisecond())
                .max(),
        }
    }
}

/// The head of a line: what stands before the chat, which is last in a line that we wrote.
fn head(line: &[u8]) -> Option<(u64, Head)> {
    if let Some(chat) = memchr::memmem::find(line, b",\"chat\":[") {
        let mut head = line.get(..chat)?.to_vec();
        head.push(b'}');
        // Within an id the text may stand too; then the head is no JSON, and the whole line is read.
        if let Some(outline) = Outline::of(&head) {
            return Some(kept(&outline));
        }
    }
    Some(kept(&Outline::of(line)?))
}

fn kept(outline: &Outline<'_>) -> (u64, Head) {
    let answers = u32::try_from(outline.answers).unwrap_or(u32::MAX);
    (short(&outline.identity), Head { at: outline.at, key: short(&outline.key) as u32, answers })
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
