use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;

use crate::platform;
use crate::spool::Home;
use crate::training::SeenExamples;

/// What the stages of a home are built with. Made before pipeline.toml is read, filled while the home is opened.
#[derive(Debug, Clone, Default)]
pub struct Services {
    key: Arc<OnceLock<[u8; 32]>>,
    examples: Arc<SeenExamples>,
}

impl Services {
    /// The services for a pipeline.toml that names `home`. Reads the home's key if there is one; writes nothing.
    pub fn give(&self, home: &Path, config_dir: &Path) -> crate::pipeline::Services {
        let home_key = *self.key.get_or_init(|| read_key(home).unwrap_or_else(new_key));
        crate::pipeline::Services {
            home: home.to_path_buf(),
            config_dir: config_dir.to_path_buf(),
            home_key,
            examples: self.examples.clone(),
        }
    }

    /// The training examples of all sessions.
    pub fn examples(&self) -> Arc<SeenExamples> {
        self.examples.clone()
    }

    /// The home's key, which is written if there is none yet.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn home_key(&self, home: &Home) -> io::Result<[u8; 32]> {
        let key = *self.key.get_or_init(|| read_key(&home.root).unwrap_or_else(new_key));
        platform::make_private_dir(&home.root.join("state"))?;
        self.keep_key(home)?;
        Ok(key)
    }

    /// Writes the key into a home that has none yet.
    pub(super) fn keep_key(&self, home: &Home) -> io::Result<()> {
        let Some(key) = self.key.get() else { return Ok(()) };
        if read_key(&home.root).is_some() {
            return Ok(());
        }
        let mut file = platform::create_private(&key_path(&home.root))?;
        platform::failpoint("boot.key_made");
        file.write_all(key)?;
        // Its name is synced with those beside it, when the state store is opened.
        platform::sync_point("key", || file.sync_all())
    }
}

pub(super) fn key_path(home: &Path) -> PathBuf {
    home.join("state").join("home.key")
}

fn read_key(home: &Path) -> Option<[u8; 32]> {
    std::fs::read(key_path(home)).ok()?.try_into().ok()
}

/// A key that nobody can guess, from the system's own randomness by way of the standard library's hash keys.
fn new_key() -> [u8; 32] {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = blake3::Hasher::new();
    for round in 0..8_u64 {
        let mut random = std::collections::hash_map::RandomState::new().build_hasher();
        random.write_u64(round);
        hasher.update(&random.finish().to_le_bytes());
    }
    hasher.update(&Timestamp::now().as_nanosecond().to_le_bytes());
    *hasher.finalize().as_bytes()
}
