//! The folder that holds pulled bases, shared by all homes of a user.

use std::path::{Path, PathBuf};

use crate::platform;

/// Which variable names the cache folder.
const VARIABLE: &str = "ATLES_CACHE";

/// The cache folder. It need not exist; what writes makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// A cache in a folder.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Cache { root: root.into() }
    }

    /// `$ATLES_CACHE`, else the platform's cache folder; `None` where the system names neither.
    pub fn of_user() -> Option<Self> {
        let named = std::env::var_os(VARIABLE).filter(|folder| !folder.is_empty()).map(PathBuf::from);
        named.or_else(|| platform::user_cache().map(|folder| folder.join("atles"))).map(Cache::at)
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where pulled bases lie.
    pub(super) fn bases(&self) -> PathBuf {
        self.root.join("bases")
    }

    /// The place of a known base.
    pub(super) fn base(&self, name: &str) -> PathBuf {
        self.bases().join(format!("{name}.gguf"))
    }

    /// What hashes of files were found.
    pub(super) fn digests(&self) -> PathBuf {
        self.root.join("digests")
    }
}
