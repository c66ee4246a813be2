//! A model of a disk that keeps what was synced, and of the rest what it likes.
//!
//! What it takes for granted is what POSIX and the file systems in use promise, and no more:
//! - a file's data and length are kept by its own fsync or fdatasync, or by syncfs; `sync_file_range` keeps nothing;
//! - a name in a folder is kept by the folder's own fsync or by syncfs; a new file's fsync does not keep its name;
//! - each change of names (make, rename, remove) is atomic: a rename is there in both folders or in none, so the
//!   fsync of either keeps it. Changes that touch the same name keep their order; all others may swap;
//! - of unsynced data any part may be there: each write or not, cut at any 512 bytes; a length without its data reads
//!   as zeros.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

mod image;

pub(crate) use image::{Content, Image};

use crate::chats::Dice;
use crate::trace::{Call, What};

type Node = usize;
/// A name in a folder.
type Slot = (Node, String);

const ROOT: Node = 0;

/// A change that a sync may have to keep.
#[derive(Debug)]
struct Change {
    start: usize,
    end: usize,
    kind: Kind,
    /// Changes of names that must be there if this one is.
    needs: Vec<usize>,
}

#[derive(Debug)]
enum Kind {
    Link { slot: Slot, node: Node },
    Rename { from: Slot, to: Slot, node: Node },
    Unlink { slot: Slot },
    Write { node: Node, at: u64, bytes: Vec<u8> },
    SetLength { node: Node, to: u64 },
}

#[derive(Debug)]
struct Sync {
    start: usize,
    end: usize,
    /// `None`: all that there is.
    node: Option<Node>,
}

#[derive(Debug, Default)]
struct File {
    is_dir: bool,
    length: u64,
    /// Where the very inode can be found, for files that never change.
    original: Option<PathBuf>,
    path: PathBuf,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    node: Node,
    offset: u64,
    append: bool,
}

/// Everything that happened below one folder, and which of it is durable when.
#[derive(Debug)]
pub(crate) struct Disk {
    root: PathBuf,
    files: Vec<File>,
    names: BTreeMap<Slot, Node>,
    changes: Vec<Change>,
    last_on: HashMap<Slot, usize>,
    syncs: Vec<Sync>,
    now: usize,
}

impl Disk {
    /// The model of an empty folder.
    pub(crate) fn new(root: &Path) -> Self {
        let top = File { is_dir: true, path: root.to_path_buf(), ..File::default() };
        Disk {
            root: root.to_path_buf(),
            files: vec![top],
            names: BTreeMap::new(),
            changes: Vec::new(),
            last_on: HashMap::new(),
            syncs: Vec::new(),
            now: 0,
        }
    }

    /// Somebody else made a folder, durably.
    pub(crate) fn given_dir(&mut self, path: &Path) {
        let node = self.add(true, path);
        self.given(path, node);
    }

    /// Somebody else put a file there, durably. It never changes, and `original` is another link to it.
    pub(crate) fn given_file(&mut self, path: &Path, original: &Path) {
        let node = self.add(false, path);
        self.files[node].original = Some(original.to_path_buf());
        self.given(path, node);
    }

    /// Somebody else took an empty folder away, durably.
    pub(crate) fn taken_dir(&mut self, path: &Path) {
        let slot = self.known_slot(path);
        self.durably(Kind::Unlink { slot });
    }

    fn given(&mut self, path: &Path, node: Node) {
        let slot = self.known_slot(path);
        self.durably(Kind::Link { slot, node });
    }

    fn known_slot(&self, path: &Path) -> Slot {
        self.slot(path).unwrap_or_else(|| panic!("{} lies nowhere", path.display()))
    }

    fn durably(&mut self, kind: Kind) {
        let at = self.now;
        self.change(at, at, kind);
        // Durable without a sync of anything else in that folder.
        self.syncs.push(Sync {
            start: at + 1,
            end: at + 1,
            node: Some(usize::MAX - (self.changes.len() - 1)),
        });
        self.now += 2;
    }

    fn add(&mut self, is_dir: bool, path: &Path) -> Node {
        self.files.push(File { is_dir, path: path.to_path_buf(), ..File::default() });
        self.files.len() - 1
    }

    fn node(&self, path: &Path) -> Option<Node> {
        let below = path.strip_prefix(&self.root).ok()?;
        below.components().try_fold(ROOT, |node, part| {
            self.names.get(&(node, part.as_os_str().to_str()?.to_owned())).copied()
        })
    }

    fn slot(&self, path: &Path) -> Option<Slot> {
        Some((self.node(path.parent()?)?, path.file_name()?.to_str()?.to_owned()))
    }

    fn change(&mut self, start: usize, end: usize, kind: Kind) {
        let index = self.changes.len();
        let slots: Vec<Slot> = kind.slots().into_iter().cloned().collect();
        let needs = slots.iter().filter_map(|slot| self.last_on.insert(slot.clone(), index)).collect();
        match &kind {
            Kind::Link { slot, node } => drop(self.names.insert(slot.clone(), *node)),
            Kind::Rename { from, to, node } => {
                self.names.remove(from);
                self.names.insert(to.clone(), *node);
            }
            Kind::Unlink { slot } => drop(self.names.remove(slot)),
            Kind::Write { node, at, bytes } => {
                let length = &mut self.files[*node].length;
                *length = (*length).max(at + bytes.len() as u64);
            }
            Kind::SetLength { node, to } => self.files[*node].length = *to,
        }
        self.changes.push(Change { start, end, kind, needs });
    }

    /// The moment that everything so far came before.
    pub(crate) fn now(&self) -> usize {
        self.now
    }

    /// Replays a recording of one process.
    pub(crate) fn replay(&mut self, calls: Vec<Call>) {
        let (before, mut open) = (self.now, HashMap::<u32, Open>::new());
        for Call { start, end, what } in calls {
            let (start, end) = (before + start, before + end);
            self.now = self.now.max(end);
            self.replay_one(start, end, what, &mut open);
        }
        self.now += 1;
    }

    fn replay_one(&mut self, start: usize, end: usize, what: What, open: &mut HashMap<u32, Open>) {
        match what {
            What::Open { fd, path, create, truncate, append } => {
                open.remove(&fd);
                let known = self.node(&path);
                let node = match known {
                    Some(node) => node,
                    None if create => {
                        let Some(slot) = self.slot(&path) else { return };
                        let node = self.add(false, &path);
                        self.change(start, end, Kind::Link { slot, node });
                        node
                    }
                    None => return,
                };
                if truncate && known.is_some() && self.files[node].length > 0 {
                    self.change(start, end, Kind::SetLength { node, to: 0 });
                }
                open.insert(fd, Open { node, offset: 0, append });
            }
            What::OpenUnnamed { fd, folder } => {
                open.remove(&fd);
                if self.node(&folder).is_some() {
                    let node = self.add(false, &folder);
                    open.insert(fd, Open { node, offset: 0, append: false });
                }
            }
            What::Name { fd, to } => {
                if let (Some(Open { node, .. }), Some(slot)) = (open.get(&fd).copied(), self.slot(&to)) {
                    self.change(start, end, Kind::Link { slot, node });
                }
            }
            What::Duplicate { fd, new } => {
                open.remove(&new);
                if let Some(known) = open.get(&fd).copied() {
                    open.insert(new, known);
                }
            }
            What::Close { fd } => drop(open.remove(&fd)),
            What::Read { fd, bytes } => {
                if let Some(open) = open.get_mut(&fd) {
                    open.offset += bytes;
                }
            }
            What::Seek { fd, to } => {
                if let Some(open) = open.get_mut(&fd) {
                    open.offset = to;
                }
            }
            What::Write { fd, at, bytes } => {
                let Some(open) = open.get_mut(&fd) else { return };
                let node = open.node;
                let place = at.unwrap_or(if open.append { self.files[node].length } else { open.offset });
                if at.is_none() {
                    open.offset = place + bytes.len() as u64;
                }
                self.change(start, end, Kind::Write { node, at: place, bytes });
            }
            What::SetLength { fd, to } => {
                if let Some(Open { node, .. }) = open.get(&fd).copied() {
                    self.change(start, end, Kind::SetLength { node, to });
                }
            }
            What::Allocate { fd, end: to } => {
                if let Some(Open { node, .. }) = open.get(&fd).copied()
                    && self.files[node].length < to
                {
                    self.change(start, end, Kind::SetLength { node, to });
                }
            }
            What::Rename { from, to } => {
                let (Some(node), Some(from), Some(to)) = (self.node(&from), self.slot(&from), self.slot(&to))
                else {
                    return;
                };
                self.change(start, end, Kind::Rename { from, to, node });
            }
            What::Remove { path } => {
                if let (Some(_), Some(slot)) = (self.node(&path), self.slot(&path)) {
                    self.change(start, end, Kind::Unlink { slot });
                }
            }
            What::MakeDir { path } => {
                let Some(slot) = self.slot(&path) else { return };
                let node = self.add(true, &path);
                self.change(start, end, Kind::Link { slot, node });
            }
            What::Sync { fd } => {
                if let Some(open) = open.get(&fd) {
                    self.syncs.push(Sync { start, end, node: Some(open.node) });
                }
            }
            What::SyncAll => self.syncs.push(Sync { start, end, node: None }),
        }
    }

    /// Forgets the syncs of files whose path ends so: as if they had never been asked for.
    pub(crate) fn forget_syncs(&mut self, ending: &str) -> usize {
        let before = self.syncs.len();
        let files = &self.files;
        self.syncs.retain(|sync| {
            let file = sync.node.and_then(|node| files.get(node));
            file.is_none_or(|file| !file.path.to_string_lossy().ends_with(ending))
        });
        before - self.syncs.len()
    }

    /// When a file whose path ends so was first synced, from a moment on.
    pub(crate) fn first_sync(&self, ending: &str, from: usize) -> Option<usize> {
        let is_it = |sync: &&Sync| {
            let file = sync.node.and_then(|node| self.files.get(node));
            sync.start >= from && file.is_some_and(|file| file.path.to_string_lossy().ends_with(ending))
        };
        self.syncs.iter().find(is_it).map(|sync| sync.end)
    }

    /// Moments at which the power may fail: after each change and each sync.
    pub(crate) fn moments(&self) -> Vec<usize> {
        let mut moments: Vec<usize> = self
            .changes
            .iter()
            .map(|change| change.end)
            .chain(self.syncs.iter().map(|sync| sync.end))
            .collect();
        moments.sort_unstable();
        moments.dedup();
        moments
    }

    /// What is on the disk when the power fails at a moment. The dice choose what of the unsynced is there.
    pub(crate) fn fail_at(&self, moment: usize, fate: Fate, dice: &mut Dice) -> Image<'_> {
        let mut kept = vec![false; self.changes.len()];
        let mut loose = Vec::new();
        for (index, change) in self.changes.iter().enumerate().filter(|(_, change)| change.start <= moment) {
            if self.is_durable(index, change, moment) {
                self.keep(index, &mut kept);
            } else {
                loose.push(index);
            }
        }
        let names: Vec<usize> =
            loose.iter().copied().filter(|index| !self.changes[*index].kind.is_data()).collect();
        // There are far more writes than names.
        let one_of = if dice.percent(70) && !names.is_empty() { &names } else { &loose };
        let dropped =
            (fate == Fate::AllButOne && !loose.is_empty()).then(|| one_of[dice.below(one_of.len())]);
        let share = [10, 50, 90][dice.below(3)];
        let mut torn = HashMap::new();
        for index in loose {
            let is_kept = match fate {
                Fate::Nothing => false,
                Fate::AllButOne => dropped.is_some_and(|dropped| !self.leads_to(index, dropped)),
                Fate::Names => !self.changes[index].kind.is_data(),
                Fate::Some => dice.percent(share),
            };
            if is_kept {
                self.keep(index, &mut kept);
                if fate == Fate::Some && dice.percent(30) {
                    torn.insert(index, dice.below(1 << 20));
                }
            }
        }
        Image { disk: self, kept, torn }
    }

    fn keep(&self, index: usize, kept: &mut [bool]) {
        if !std::mem::replace(&mut kept[index], true) {
            self.changes[index].needs.iter().for_each(|needed| self.keep(*needed, kept));
        }
    }

    fn leads_to(&self, index: usize, other: usize) -> bool {
        index == other || self.changes[index].needs.iter().any(|needed| self.leads_to(*needed, other))
    }

    fn is_durable(&self, index: usize, change: &Change, moment: usize) -> bool {
        let nodes = change.kind.synced_by();
        self.syncs.iter().any(|sync| {
            change.end < sync.start
                && sync.end <= moment
                && sync.node.is_none_or(|node| nodes.contains(&node) || node == usize::MAX - index)
        })
    }

    /// The folder as the process saw it at the end: must be what really is there.
    pub(crate) fn as_seen(&self) -> Image<'_> {
        Image { disk: self, kept: vec![true; self.changes.len()], torn: HashMap::new() }
    }
}

/// How much of what was not synced is there after the power failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Nothing,
    AllButOne,
    /// All names and no data, as where data is written late.
    Names,
    Some,
}

impl Kind {
    fn slots(&self) -> Vec<&Slot> {
        match self {
            Kind::Link { slot, .. } | Kind::Unlink { slot } => vec![slot],
            Kind::Rename { from, to, .. } => vec![from, to],
            Kind::Write { .. } | Kind::SetLength { .. } => Vec::new(),
        }
    }

    fn synced_by(&self) -> Vec<Node> {
        match self {
            Kind::Write { node, .. } | Kind::SetLength { node, .. } => vec![*node],
            _ => self.slots().into_iter().map(|(folder, _)| *folder).collect(),
        }
    }

    fn is_data(&self) -> bool {
        matches!(self, Kind::Write { .. } | Kind::SetLength { .. })
    }
}
