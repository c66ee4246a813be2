use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{Outline, SetLine, short};
use crate::platform;
use crate::spool::Home;

/// The file in the set's folder.
const FILE: &str = "sessions.jsonl";
/// A set smaller than this is not worth rewriting for the sake of its outdated lines.
const SMALL: u64 = 1 << 20;

/// The set of one home, on disk.
#[derive(Debug, Clone)]
pub struct TrainingSet {
    dir: PathBuf,
}

impl TrainingSet {
    /// The set of a home; nothing is read or made yet.
    pub fn of(home: &Home) -> Self {
        TrainingSet { dir: home.training_data().join("set") }
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its file; there is none while the set is empty.
    pub fn file(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    /// Appends whole lines, each with its newline. The courier's part: called after the commit.
    ///
    /// # Errors
    /// What the system said; the file then ends where it ended before.
    pub fn append(&self, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let _lock = self.lock()?;
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(self.dir.join(FILE))?;
        let length = file.metadata()?.len();
        // A crash may have torn the last line. It is written again from the journal; the torn piece ends here.
        let mut torn = false;
        if length > 0 {
            let mut last = [0];
            file.seek(SeekFrom::Start(length - 1))?;
            file.read_exact(&mut last)?;
            torn = last != *b"\n";
        }
        let written = if torn { file.write_all(b"\n") } else { Ok(()) }.and_then(|()| file.write_all(lines));
        written.inspect_err(|_| {
            let _ = file.set_len(length);
        })
    }

    /// The sessions in the set, each as it was learned last, in the order in which that happened. Lines that cannot
    /// be read are passed over.
    ///
    /// # Errors
    /// If the file cannot be read; a missing one is an empty set.
    pub fn read(&self) -> io::Result<Vec<SetLine>> {
        let all = self.heads()?;
        self.read_chosen(&all)
    }

    /// What [`TrainingSet::read`] gives, without the chats, so that a large set can be chosen from.
    ///
    /// # Errors
    /// As [`TrainingSet::read`].
    pub fn heads(&self) -> io::Result<Vec<SetHead>> {
        let mut heads: Vec<SetHead> = Vec::new();
        let mut last: HashMap<u64, usize> = HashMap::new();
        for_each_line(&self.dir.join(FILE), |at, line| {
            let Some(outline) = Outline::of(line) else { return Ok(()) };
            let identity = short(&outline.identity);
            if let Some(earlier) = last.insert(identity, heads.len()) {
                heads[earlier].stands = false;
            }
            heads.push(SetHead { at, identity, key: short(&outline.key), stands: outline.answers > 0 });
            Ok(())
        })?;
        heads.retain(|head| head.stands);
        Ok(heads)
    }

    /// The sessions of some heads, which are in the order of the file.
    ///
    /// # Errors
    /// If the file cannot be read, or was written anew since.
    pub fn read_chosen(&self, chosen: &[SetHead]) -> io::Result<Vec<SetLine>> {
        if chosen.is_empty() {
            return Ok(Vec::new());
        }
        let mut file = BufReader::new(File::open(self.dir.join(FILE))?);
        let mut lines = Vec::with_capacity(chosen.len());
        let mut line = Vec::new();
        let mut reached = 0;
        for head in chosen {
            file.seek_relative(i64::try_from(head.at.saturating_sub(reached)).unwrap_or(i64::MAX))?;
            line.clear();
            reached = head.at + file.read_until(b'\n', &mut line)? as u64;
            match serde_json::from_slice::<SetLine>(&line) {
                Ok(line) if short(&line.identity) == head.identity => lines.push(line),
                // A chat in a form that we do not know.
                Err(_) if Outline::of(&line).is_some() => {}
                _ => return Err(io::Error::other("it was written anew meanwhile")),
            }
        }
        Ok(lines)
    }

    /// Takes sessions out for good, in every version of theirs; nothing of them stays in the file. Returns how many.
    ///
    /// # Errors
    /// If the file cannot be read or written; then it is as it was.
    pub fn remove(&self, gone: impl Fn(&SetLine) -> bool) -> io::Result<usize> {
        let mut removed = std::collections::HashSet::new();
        self.rewrite(|line, _| {
            let gone = gone(line);
            if gone {
                removed.insert(line.identity.clone());
            }
            !gone
        })?;
        Ok(removed.len())
    }

    /// Leaves out lines that later ones took the place of, where that is worth it.
    ///
    /// # Errors
    /// If the file cannot be read or written; then it is as it was.
    pub fn compact(&self) -> io::Result<()> {
        match std::fs::metadata(self.dir.join(FILE)) {
            Ok(metadata) if metadata.len() >= SMALL => self.rewrite(|_, is_last| is_last),
            _ => Ok(()),
        }
    }

    /// Writes the file anew with the lines that `keep` wants, told of each whether it is its session's last.
    fn rewrite(&self, mut keep: impl FnMut(&SetLine, bool) -> bool) -> io::Result<()> {
        let path = self.dir.join(FILE);
        if !path.exists() {
            return Ok(());
        }
        let _lock = self.lock()?;
        let mut last: HashMap<u64, u64> = HashMap::new();
        for_each_line(&path, |at, line| {
            if let Some(outline) = Outline::of(line) {
                last.insert(short(&outline.identity), at);
            }
            Ok(())
        })?;
        let aside = self.dir.join(".sessions.tmp");
        let mut file = io::BufWriter::new(platform::create_private(&aside)?);
        let mut changed = false;
        for_each_line(&path, |at, text| {
            let Ok(line) = serde_json::from_slice::<SetLine>(text) else { return Ok(()) };
            if keep(&line, last.get(&short(&line.identity)) == Some(&at)) {
                file.write_all(text.trim_ascii_end())?;
                file.write_all(b"\n")
            } else {
                changed = true;
                Ok(())
            }
        })?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        if !changed {
            return std::fs::remove_file(aside);
        }
        file.sync_all()?;
        std::fs::rename(aside, path)?;
        platform::sync_dir(&self.dir)
    }

    /// Held while the file is changed, here or in another process.
    fn lock(&self) -> io::Result<File> {
        platform::make_private_dir(&self.dir)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(self.dir.join(".lock"))?;
        file.lock()?;
        Ok(file)
    }
}

/// A session in the set without its chat: a few bytes, so that there may be very many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetHead {
    /// Where its line begins.
    at: u64,
    identity: u64,
    key: u64,
    /// Whether it is its session's last line, and has answers.
    stands: bool,
}

impl SetHead {
    /// What tells this content of this session from others, as [`SetHead::name_of`] says it of an identity and a key.
    pub fn name(&self) -> (u64, u64) {
        (self.identity, self.key)
    }

    /// The name of a session with this identity and this key.
    pub fn name_of(identity: &str, key: &str) -> (u64, u64) {
        (short(identity), short(key))
    }
}

/// Goes through a file line by line, with where each begins; a missing file has none.
fn for_each_line(path: &Path, mut each: impl FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut file = match File::open(path) {
        Ok(file) => BufReader::with_capacity(1 << 16, file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let (mut at, mut line) = (0, Vec::new());
    loop {
        line.clear();
        let length = file.read_until(b'\n', &mut line)? as u64;
        if length == 0 {
            return Ok(());
        }
        each(at, &line)?;
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Role;
    use crate::training::set::SpokenTurn;

    fn line(identity: u8, key: &str, answer: &str) -> SetLine {
        let turn = |role, text: &str, learn| SpokenTurn { role, text: text.into(), learn };
        SetLine {
            identity: format!("{identity:02x}").repeat(32),
            key: key.into(),
            session_id: format!("s{identity}"),
            stem: format!("s{identity}_20260101_000000"),
            at: 1,
            answers: usize::from(!answer.is_empty()),
            chat: vec![turn(Role::User, "q", false), turn(Role::Assistant, answer, true)],
        }
    }

    fn set(lines: &[SetLine]) -> (tempfile::TempDir, TrainingSet) {
        let dir = tempfile::tempdir().unwrap();
        let set = TrainingSet { dir: dir.path().join("set") };
        for line in lines {
            set.append(&[serde_json::to_vec(line).unwrap(), vec![b'\n']].concat()).unwrap();
        }
        (dir, set)
    }

    #[test]
    fn a_revision_takes_the_earlier_ones_place_and_one_without_answers_takes_the_session_out() {
        let lines = [line(1, "a", "one"), line(2, "b", "two"), line(1, "c", "three"), line(2, "d", "")];
        let (_dir, set) = set(&lines);
        let read = set.read().unwrap();
        assert_eq!(read, [lines[2].clone()]);
        assert_eq!(read[0].learned().collect::<Vec<_>>(), [(1, "q", "three")]);
        assert_eq!(read[0].who().unwrap().0, [1; 32]);
    }

    #[test]
    fn what_is_removed_leaves_no_trace_and_a_torn_line_costs_only_itself() {
        let lines = [line(1, "a", "the secret"), line(2, "b", "two"), line(1, "c", "another secret")];
        let (_dir, set) = set(&lines);
        let path = set.dir().join(FILE);
        std::fs::write(&path, [std::fs::read(&path).unwrap(), b"{\"identity\":\"to".to_vec()].concat())
            .unwrap();
        set.append(&[serde_json::to_vec(&line(3, "d", "three")).unwrap(), vec![b'\n']].concat()).unwrap();
        assert_eq!(set.read().unwrap().len(), 3);
        assert_eq!(set.remove(|line| line.identity.starts_with("01")).unwrap(), 1);
        let left = std::fs::read_to_string(&path).unwrap();
        assert!(!left.contains("secret") && left.lines().count() == 2, "{left}");
        assert_eq!(set.remove(|line| line.identity.starts_with("01")).unwrap(), 0);
        #[cfg(unix)]
        for file in [path, set.dir().join(".lock")] {
            let mode =
                std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file).unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
