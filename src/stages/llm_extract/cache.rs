//! Answers that were given before, one file for a part of a session: `state/extracted/<identity>/<hash>.json` in the
//! home. They hold words of the chat, so they lie in a folder that goes with the session.

use std::io;
use std::path::{Path, PathBuf};

use crate::session::Identity;

#[cfg(feature = "http")]
pub(super) use self::kept::Cache;

fn folder(home: &Path, identity: &Identity) -> PathBuf {
    home.join("state").join("extracted").join(identity.to_string())
}

/// Deletes the answers that were kept for a session.
///
/// # Errors
/// If they are there and cannot be deleted.
pub fn forget(home: &Path, identity: &Identity) -> io::Result<()> {
    match std::fs::remove_dir_all(folder(home, identity)) {
        Err(problem) if problem.kind() != io::ErrorKind::NotFound => Err(problem),
        _ => Ok(()),
    }
}

/// Reading and writing them, where a model can be asked.
#[cfg(feature = "http")]
mod kept {
    use std::io::{self, Write};
    use std::path::{Path, PathBuf};

    use super::folder;
    use crate::platform;
    use crate::session::Identity;
    use crate::stages::llm_extract::answer::Proven;

    /// The longest file that is read.
    const LARGEST: u64 = 1 << 20;

    /// The answers kept for one session.
    pub(in crate::stages::llm_extract) struct Cache {
        folder: PathBuf,
    }

    impl Cache {
        pub(in crate::stages::llm_extract) fn of(home: &Path, identity: &Identity) -> Self {
            Cache { folder: folder(home, identity) }
        }

        /// What was found before. A file that cannot be read is one that is not there.
        pub(in crate::stages::llm_extract) fn get(&self, hash: &str) -> Option<Proven> {
            let path = self.folder.join(format!("{hash}.json"));
            let size = std::fs::metadata(&path).ok()?.len();
            if size > LARGEST {
                return None;
            }
            serde_json::from_slice(&std::fs::read(&path).ok()?).ok()
        }

        pub(in crate::stages::llm_extract) fn put(&self, hash: &str, proven: &Proven) -> io::Result<()> {
            platform::make_private_dir(&self.folder)?;
            let unfinished = self.folder.join(format!(".{hash}.{}", fastrand::u32(..)));
            let mut file = platform::create_private(&unfinished)?;
            file.write_all(&serde_json::to_vec(proven)?)?;
            file.sync_all()?;
            std::fs::rename(&unfinished, self.folder.join(format!("{hash}.json")))
        }
    }
}
