use std::io;
use std::path::{Path, PathBuf};

use crate::platform::{self, Signature};

/// How deep the folders of a source are looked into.
const DEEPEST: usize = 12;

/// Visits every regular file below a folder, or the one file that `root` is. Links are not followed, and what cannot
/// be read is passed over: the next look may find it readable.
pub(super) fn files(root: &Path, visit: &mut dyn FnMut(&Path, Signature)) -> io::Result<()> {
    let metadata = platform::lstat(root)?;
    if metadata.is_file() {
        visit(root, Signature::of(&metadata));
        return Ok(());
    }
    // The root was written by the user: it may be a link itself.
    let mut folders = vec![(root.to_path_buf(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if depth == 0 => return Err(error),
            Err(_) => continue,
        };
        for entry in entries.flatten() {
            let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
            if kind.is_dir() && depth < DEEPEST {
                folders.push((path, depth + 1));
            } else if kind.is_file()
                && let Ok(metadata) = platform::lstat(&path)
            {
                visit(&path, Signature::of(&metadata));
            }
        }
    }
    Ok(())
}

/// A name for a file in the state store: a hash, since paths come from outside and are of any length.
pub(super) fn key_of(path: &Path) -> [u8; 16] {
    let hash = blake3::hash(path.as_os_str().as_encoded_bytes());
    hash.as_bytes().first_chunk().copied().unwrap_or_default()
}

/// A path as it is without links, as far as it exists.
pub(super) fn without_links(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
}
