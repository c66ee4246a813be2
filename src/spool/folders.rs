use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::platform;

/// Where everything of one home lies. All paths are absolute.
#[derive(Debug, Clone)]
pub struct Home {
    /// The home folder.
    pub root: PathBuf,
    /// Where chat apps drop files.
    pub spool: PathBuf,
    /// Where claimed files are while they are under way.
    pub work: PathBuf,
    /// Where learned files rest.
    pub done: PathBuf,
    /// Where dead letters rest, each beside its sidecar.
    pub failed: PathBuf,
}

/// Why the folders cannot be used.
#[derive(Debug, Error)]
pub enum FolderError {
    /// A folder could not be made or looked at.
    #[error("cannot use the folder {}: {source}", path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A rename between the two would not be atomic.
    #[error("{} and {} lie on different file systems", a.display(), b.display())]
    Apart {
        /// One folder.
        a: PathBuf,
        /// The other.
        b: PathBuf,
    },
}

impl FolderError {
    /// What a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            FolderError::Unusable { .. } => "check that the folder exists, is a folder, and belongs to you",
            FolderError::Apart { .. } => {
                "put spool, work, done and failed on one file system, so that a file moves between them in one step"
            }
        }
    }
}

impl Home {
    /// The standard layout below one folder.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let below = |name: &str| root.join(name);
        Home {
            spool: below("spool"),
            work: below("work"),
            done: below("done"),
            failed: below("failed"),
            root,
        }
    }

    /// The SQLite database of what was learned.
    pub fn memory_db(&self) -> PathBuf {
        self.root.join("memory.db")
    }

    /// The sled store.
    pub fn sled(&self) -> PathBuf {
        self.root.join("state").join("sled")
    }

    /// The journal of the small files that are still to be written.
    pub fn outbox(&self) -> PathBuf {
        self.root.join("state").join("outbox")
    }

    /// Session logs, the master log, the daemon's log and its statistics.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The training examples, a file a session.
    pub fn training_data(&self) -> PathBuf {
        self.root.join("training_data")
    }

    /// Base models pulled and the versions trained.
    pub fn models(&self) -> PathBuf {
        self.root.join("models")
    }

    /// What was forgotten, and when: counts and hashes.
    pub fn receipts(&self) -> PathBuf {
        self.root.join("receipts")
    }

    /// The daemon's control socket.
    pub fn socket(&self) -> PathBuf {
        self.root.join("control.sock")
    }

    /// The file whose lock says that a daemon runs on this home.
    pub fn lock_file(&self) -> PathBuf {
        self.root.join("daemon.lock")
    }

    /// Makes what is missing, private to the owner, and checks that files can move between the four folders.
    ///
    /// # Errors
    /// A folder that cannot be made, or one on another file system.
    pub fn prepare(&self) -> Result<(), FolderError> {
        let moved_between = [&self.spool, &self.work, &self.done, &self.failed];
        let others = [self.logs(), self.training_data(), self.models(), self.outbox()];
        let all = || std::iter::once(&self.root).chain(moved_between).chain(&others);
        all().try_for_each(|path| make(path))?;
        let parents: BTreeSet<&Path> = all().filter_map(|path| path.parent()).collect();
        parents.into_iter().try_for_each(keep_names)?;
        for other in &moved_between[1..] {
            let same = platform::same_filesystem(&self.spool, other)
                .map_err(|source| FolderError::Unusable { path: other.to_path_buf(), source })?;
            if !same {
                return Err(FolderError::Apart { a: self.spool.clone(), b: other.to_path_buf() });
            }
        }
        Ok(())
    }
}

/// Whatever is synced in a folder is lost with the folder's own name. An earlier start may have made the folders and
/// not come to this, so it is done at each; without anything new it costs nothing.
fn keep_names(parent: &Path) -> Result<(), FolderError> {
    match platform::sync_point("folders", || platform::sync_dir(parent)) {
        // The folder above the home may be one in which we can only walk.
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
            Err(FolderError::Unusable { path: parent.to_path_buf(), source: error })
        }
        _ => Ok(()),
    }
}

fn make(path: &Path) -> Result<(), FolderError> {
    platform::make_private_dir(path)
        .map_err(|source| FolderError::Unusable { path: path.to_path_buf(), source })
}
