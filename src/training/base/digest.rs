//! The sha256 of large files, remembered so that each is read once.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Cache;
use crate::platform::{self, Signature};

pub use crate::wire::sha256_of;

/// What was found for a file, and the state of the file then.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    signature: Signature,
    sha256: String,
}

/// The sha256 of a file; read again only after it has changed. That it cannot be remembered is no error.
pub(super) fn remembered(path: &Path, cache: &Cache) -> io::Result<String> {
    let signature = Signature::of(&std::fs::metadata(path)?);
    let name = std::path::absolute(path)?;
    let name = blake3::hash(name.as_os_str().as_encoded_bytes()).to_hex();
    let note = cache.digests().join(format!("{}.json", name.get(..32).unwrap_or_default()));
    let known = std::fs::read(&note).ok().and_then(|bytes| serde_json::from_slice::<Remembered>(&bytes).ok());
    if let Some(known) = known.filter(|known| known.signature == signature) {
        return Ok(known.sha256);
    }
    let sha256 = sha256_of(path)?;
    let _ = remember(&note, &Remembered { signature, sha256: sha256.clone() });
    Ok(sha256)
}

fn remember(note: &Path, what: &Remembered) -> io::Result<()> {
    let Some(folder) = note.parent() else { return Ok(()) };
    platform::make_private_dir(folder)?;
    let draft = note.with_extension(format!("{}.tmp", std::process::id()));
    std::fs::write(&draft, serde_json::to_vec(what).map_err(io::Error::other)?)?;
    std::fs::rename(draft, note)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_remembered_until_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("cache"));
        let path = folder.path().join("file");
        std::fs::write(&path, "abc").unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(remembered(&path, &cache).unwrap(), abc);
        // What is remembered is used: an altered note shows it.
        let note = std::fs::read_dir(cache.digests()).unwrap().next().unwrap().unwrap().path();
        let altered = std::fs::read_to_string(&note).unwrap().replace(abc, "from the note");
        std::fs::write(&note, altered).unwrap();
        assert_eq!(remembered(&path, &cache).unwrap(), "from the note");
        std::fs::write(&path, "abcd").unwrap();
        assert_ne!(remembered(&path, &cache).unwrap(), "from the note");
    }
}
