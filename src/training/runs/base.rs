//! The base model of a run, as a file on this machine.

use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::RunFailure;
use crate::training::versions::BaseUsed;

/// A base model on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseFile {
    /// As `[training]` names it.
    pub name: String,
    /// The GGUF file.
    pub path: PathBuf,
}

impl BaseFile {
    /// Finds what `[training] base` names. A relative path is read from the folder of pipeline.toml.
    pub fn find(name: &str, config_dir: &Path) -> Result<Self, RunFailure> {
        let path = config_dir.join(name);
        if path.is_file() {
            return Ok(BaseFile { name: name.to_owned(), path });
        }
        Err(RunFailure::failed(
            format!("the base model {name:?} is not on this machine"),
            format!("`atles models pull {name}` fetches it, or name a GGUF file in `[training] base`"),
        ))
    }

    /// How it stands in a lineage: with its SHA-256, for which the whole file is read.
    pub(super) fn used(&self) -> Result<BaseUsed, RunFailure> {
        let mut hasher = Sha256::new();
        let mut read = || -> std::io::Result<()> {
            let mut file = std::fs::File::open(&self.path)?;
            let mut block = vec![0; 1 << 20];
            loop {
                match file.read(&mut block)? {
                    0 => return Ok(()),
                    length => hasher.update(block.get(..length).unwrap_or_default()),
                }
            }
        };
        read().map_err(|error| RunFailure::file("the base model", &error))?;
        let sha256 = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(BaseUsed { name: self.name.clone(), path: self.path.display().to_string(), sha256 })
    }
}
