use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use super::{Disk, Kind, Node, ROOT, Slot};

/// Writes are cut at multiples of this.
const SECTOR: usize = 512;

/// A state of the disk.
#[derive(Debug)]
pub(crate) struct Image<'a> {
    pub(super) disk: &'a Disk,
    pub(super) kept: Vec<bool>,
    /// Writes that are there in part, and by what luck.
    pub(super) torn: HashMap<usize, usize>,
}

impl Image<'_> {
    /// Every file and folder by its path below the root; `None` is a folder.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Option<Content>> {
        let mut names: BTreeMap<&Slot, Node> = BTreeMap::new();
        let mut data: HashMap<Node, Vec<u8>> = HashMap::new();
        for (index, change) in self.disk.changes.iter().enumerate().filter(|(index, _)| self.kept[*index]) {
            match &change.kind {
                Kind::Link { slot, node } => drop(names.insert(slot, *node)),
                Kind::Rename { from, to, node } => {
                    names.remove(from);
                    names.insert(to, *node);
                }
                Kind::Unlink { slot } => drop(names.remove(slot)),
                Kind::SetLength { node, to } => {
                    data.entry(*node).or_default().resize(usize::try_from(*to).unwrap(), 0);
                }
                Kind::Write { node, at, bytes } => {
                    let (at, file) = (usize::try_from(*at).unwrap(), data.entry(*node).or_default());
                    file.resize(file.len().max(at + bytes.len()), 0);
                    let part = self.part(index, at, bytes.len());
                    file[at..at + bytes.len()][part.clone()].copy_from_slice(&bytes[part]);
                }
            }
        }
        let mut found = BTreeMap::new();
        let mut folders = vec![(ROOT, PathBuf::new())];
        while let Some((folder, path)) = folders.pop() {
            for ((_, name), node) in
                names.range((folder, String::new())..).take_while(|(slot, _)| slot.0 == folder)
            {
                let path = path.join(name);
                let file = &self.disk.files[*node];
                let content = match &file.original {
                    _ if file.is_dir => None,
                    Some(original) => Some(Content::Link(original.clone())),
                    None => Some(Content::Bytes(data.get(node).cloned().unwrap_or_default())),
                };
                if content.is_none() {
                    folders.push((*node, path.clone()));
                }
                found.insert(path, content);
            }
        }
        found
    }

    /// Which part of a write is there: all of it, or what comes before or after some sector's start.
    fn part(&self, index: usize, at: usize, length: usize) -> std::ops::Range<usize> {
        let Some(luck) = self.torn.get(&index) else { return 0..length };
        let first = at.next_multiple_of(SECTOR) - at;
        let cuts = if length > first { (length - first).div_ceil(SECTOR) } else { 0 };
        let cut = if cuts == 0 { 0 } else { (first + (luck / 2 % cuts) * SECTOR).min(length) };
        if luck % 2 == 0 { 0..cut } else { cut..length }
    }

    /// Makes the folder so.
    pub(crate) fn make(&self, folder: &Path) {
        for (path, content) in self.files() {
            let path = folder.join(path);
            match content {
                None => fs::create_dir(path).unwrap(),
                Some(Content::Link(original)) => fs::hard_link(original, path).unwrap(),
                Some(Content::Bytes(bytes)) => fs::write(path, bytes).unwrap(),
            }
        }
    }
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Bytes(Vec<u8>),
    /// Another link to this file.
    Link(PathBuf),
}
