//! A chat app, or several of them, that drop files in every way apps do.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::chats::{Chat, Dice, Dropped, Expected, Fate, broken};
use crate::support::Home;

/// How long a file that is written in place is waited for; the writer must never pause as long.
pub(crate) const GRACE: Duration = Duration::from_millis(1500);

/// Drops one file after the other into a home's spool.
pub(crate) struct Writer<'a> {
    home: &'a Home,
    dice: Dice,
    chats: Vec<Chat>,
    files: usize,
    unfinished: Option<InPlace>,
    pub(crate) expected: Expected,
}

/// A file that is written in place, and not to its end yet.
struct InPlace {
    file: File,
    name: String,
    chat: Chat,
    left: Vec<u8>,
    written: Instant,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(home: &'a Home, dice: Dice) -> Self {
        let expected = Expected::default();
        Writer { home, dice, chats: Vec::new(), files: 0, unfinished: None, expected }
    }

    /// Writes the next piece of the file that is written in place, or drops another one.
    pub(crate) fn step(&mut self) {
        if self.unfinished.is_some() && self.dice.percent(60) {
            return self.write_on();
        }
        match self.dice.below(100) {
            0..40 => self.drop_new(),
            40..52 => self.drop_revision(),
            52..62 => self.drop_again(),
            62..74 => self.drop_broken(),
            74..84 => self.drop_export(),
            _ if self.unfinished.is_none() => self.begin_in_place(),
            _ => self.write_on(),
        }
    }

    /// Drops files whole; of six, one of each kind, for a failpoint may be one that only a broken file comes to.
    pub(crate) fn drop_some(&mut self, count: usize) {
        let first = self.dice.below(6);
        for nth in 0..count {
            match (first + nth) % 6 {
                0 | 1 => self.drop_new(),
                2 => self.drop_revision(),
                3 => self.drop_again(),
                4 => self.drop_broken(),
                _ => self.drop_export(),
            }
        }
    }

    /// Writes what was begun to its end.
    pub(crate) fn finish(&mut self) {
        while self.unfinished.is_some() {
            self.write_on();
        }
    }

    /// The inode of the file that is being written in place now; `None` where its writer paused for longer than it is
    /// waited for, as on a machine that has too much to do.
    pub(crate) fn being_written(&self) -> Option<u64> {
        let one = self.unfinished.as_ref().filter(|one| one.written.elapsed() < GRACE)?;
        Some(one.file.metadata().unwrap().ino())
    }

    fn new_chat(&mut self) -> Chat {
        let (id, exchanges) = (format!("chat-{}", self.chats.len()), 1 + self.dice.below(2));
        let chat = Chat::new(id, exchanges, &mut self.dice);
        self.chats.push(chat.clone());
        chat
    }

    fn drop_new(&mut self) {
        let chat = self.new_chat();
        self.drop_good(std::slice::from_ref(&chat), chat.text());
    }

    fn drop_revision(&mut self) {
        let Some(which) = self.some_chat() else { return self.drop_new() };
        let mut chat = self.chats[which].clone();
        chat.go_on(&mut self.dice);
        self.chats[which] = chat.clone();
        self.drop_good(std::slice::from_ref(&chat), chat.text());
    }

    /// The very same chat under another name; it may be an earlier state of one that went on since.
    fn drop_again(&mut self) {
        let Some(which) = self.some_chat() else { return self.drop_new() };
        let mut chat = self.chats[which].clone();
        if self.dice.percent(30) {
            chat.turns.truncate(2);
        }
        self.drop_good(std::slice::from_ref(&chat), chat.text());
    }

    fn some_chat(&mut self) -> Option<usize> {
        let native = self.chats.iter().filter(|chat| chat.id.starts_with("chat-")).count();
        (native > 0).then(|| {
            let nth = self.dice.below(native);
            let indices = self.chats.iter().enumerate().filter(|(_, chat)| chat.id.starts_with("chat-"));
            indices.map(|(index, _)| index).nth(nth).unwrap()
        })
    }

    fn drop_export(&mut self) {
        let count = 2 + self.dice.below(4);
        let chats: Vec<Chat> =
            (0..count).map(|n| Chat::new(format!("export-{}-{n}", self.files), 1, &mut self.dice)).collect();
        self.drop_good(&chats, Chat::export(&chats));
    }

    fn drop_good(&mut self, chats: &[Chat], text: String) {
        chats.iter().for_each(|chat| self.expected.learn(chat));
        self.drop_file(text.as_bytes(), Fate::Done);
    }

    pub(crate) fn drop_broken(&mut self) {
        let bytes = broken(&mut self.dice);
        self.drop_file(&bytes, Fate::Failed);
    }

    /// Written aside and renamed in; sometimes under a name that another file had before.
    fn drop_file(&mut self, content: &[u8], fate: Fate) {
        let name = self.next_name();
        let aside = self.home.spool().join(format!(".{name}.aside"));
        fs::write(&aside, content).unwrap();
        let inode = aside.symlink_metadata().unwrap().ino();
        self.expected.files.insert(inode, Dropped { name: name.clone(), hash: blake3::hash(content), fate });
        fs::rename(aside, self.home.spool().join(name)).unwrap();
    }

    fn next_name(&mut self) -> String {
        self.files += 1;
        let again = format!("file-{}.json", self.dice.below(self.files));
        let is_free = |name: &str| self.home.spool().join(name).symlink_metadata().is_err();
        let unfinished = self.unfinished.as_ref().is_some_and(|one| one.name == again);
        if self.dice.percent(10) && is_free(&again) && !unfinished {
            again
        } else {
            format!("file-{}.json", self.files)
        }
    }

    fn begin_in_place(&mut self) {
        self.files += 1;
        let name = format!("file-{}.json", self.files);
        let chat = self.new_chat();
        let path: PathBuf = self.home.spool().join(&name);
        let file = OpenOptions::new().write(true).create_new(true).open(path).unwrap();
        let left = chat.text().into_bytes();
        self.expected.learn(&chat);
        let dropped = Dropped { name: name.clone(), hash: blake3::hash(&left), fate: Fate::Done };
        self.expected.files.insert(file.metadata().unwrap().ino(), dropped);
        self.unfinished = Some(InPlace { file, name, chat, left, written: Instant::now() });
        self.write_on();
    }

    fn write_on(&mut self) {
        let Some(mut one) = self.unfinished.take() else { return };
        let piece = one.left.len().min(1 + self.dice.below(400));
        let is_late = one.written.elapsed() > GRACE / 2;
        one.file.write_all(&one.left[..piece]).unwrap();
        one.left.drain(..piece);
        one.written = Instant::now();
        if is_late {
            // A writer that stalls for longer than the grace is promised nothing of this file.
            let inode = one.file.metadata().unwrap().ino();
            self.expected.files.entry(inode).and_modify(|file| file.fate = Fate::Either);
            self.drop_good(std::slice::from_ref(&one.chat), one.chat.text());
        }
        if !one.left.is_empty() {
            self.unfinished = Some(one);
        }
    }
}
