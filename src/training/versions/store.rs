use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{Decision, Lineage, Metrics};
use crate::platform;
use crate::spool::Home;

/// The versions of one home.
#[derive(Debug, Clone)]
pub struct Versions {
    dir: PathBuf,
}

/// One version.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// `v0001`.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// How it was measured.
    pub metrics: Metrics,
    /// What it was made of.
    pub lineage: Lineage,
    /// It was trained on a session that was forgotten since, and must not be used any more.
    pub tainted: bool,
}

impl Version {
    /// The adapter's file.
    pub fn adapter(&self) -> PathBuf {
        self.folder.join("adapter.gguf")
    }

    /// The merged model's file; made on demand, so it may not be there.
    pub fn merged(&self) -> PathBuf {
        self.folder.join("merged.gguf")
    }

    /// Whether it may be current.
    pub fn is_promoted(&self) -> bool {
        self.metrics.record.decision == Decision::Promoted
    }

    fn read(folder: PathBuf) -> Option<Self> {
        let name = folder.file_name()?.to_str()?.to_owned();
        number(&name)?;
        let metrics = serde_json::from_slice(&fs::read(folder.join("metrics.json")).ok()?).ok()?;
        let lineage = serde_json::from_slice(&fs::read(folder.join("lineage.json")).ok()?).ok()?;
        let tainted = folder.join("tainted.json").exists();
        Some(Version { name, folder, metrics, lineage, tainted })
    }
}

/// The number in `v0001`.
fn number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix('v')?;
    digits.parse().ok().filter(|_| digits.len() >= 4 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

impl Versions {
    /// The versions of a home; nothing is read yet.
    pub fn of(home: &Home) -> Self {
        Versions { dir: home.models() }
    }

    /// `models/`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// All versions that can be read, oldest first.
    pub fn list(&self) -> Vec<Version> {
        let mut all: Vec<(u64, Version)> = Vec::new();
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let version = Version::read(entry.path());
            all.extend(version.and_then(|version| Some((number(&version.name)?, version))));
        }
        all.sort_by_key(|(number, _)| *number);
        all.into_iter().map(|(_, version)| version).collect()
    }

    /// One version.
    pub fn get(&self, name: &str) -> Option<Version> {
        number(name).and_then(|_| Version::read(self.dir.join(name)))
    }

    /// The version that is current, if any.
    pub fn current(&self) -> Option<Version> {
        self.get(fs::read_to_string(self.dir.join("current")).ok()?.trim())
    }

    /// Makes a version current, or, with `None`, the base alone. One rename: a reader sees the one or the other.
    ///
    /// # Errors
    /// What the system said.
    pub fn set_current(&self, name: Option<&str>) -> io::Result<()> {
        let path = self.dir.join("current");
        match name {
            Some(name) => write_whole(&path, format!("{name}\n").as_bytes())?,
            None => match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            },
        }
        platform::sync_dir(&self.dir)
    }

    /// The name of the next version. Names are not used again, even if a folder was taken away.
    pub fn next_name(&self) -> String {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let last = entries.filter_map(|entry| number(entry.file_name().to_str()?)).max().unwrap_or(0);
        format!("v{:04}", last + 1)
    }

    /// Turns a finished folder (on the same file system) into a version: metrics and lineage are written into it,
    /// then it gets its name in one rename.
    ///
    /// # Errors
    /// What the system said; then there is no such version.
    pub fn add(
        &self,
        folder: &Path,
        name: &str,
        metrics: &Metrics,
        lineage: &Lineage,
    ) -> io::Result<Version> {
        write_whole(&folder.join("lineage.json"), &serde_json::to_vec_pretty(lineage)?)?;
        write_whole(&folder.join("metrics.json"), &serde_json::to_vec_pretty(metrics)?)?;
        platform::sync_dir(folder)?;
        let target = self.dir.join(name);
        if target.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(folder, &target)?;
        platform::sync_dir(&self.dir)?;
        self.get(name).ok_or_else(|| io::Error::other("the version cannot be read back"))
    }

    /// Writes a version's metrics anew.
    ///
    /// # Errors
    /// What the system said.
    pub fn rewrite_metrics(&self, version: &Version) -> io::Result<()> {
        write_whole(&version.folder.join("metrics.json"), &serde_json::to_vec_pretty(&version.metrics)?)
    }

    /// The version to go back to from another: the promoted one before it, `None` for the base alone.
    pub fn before(&self, name: &str) -> Option<Version> {
        let below = number(name)?;
        let good = |version: &Version| version.is_promoted() && !version.tainted;
        self.list().into_iter().rfind(|version| number(&version.name) < Some(below) && good(version))
    }
}

/// Writes a file so that a reader sees the old content or the new, and a crash leaves one of them.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!(".{name}.tmp"));
    let mut file = platform::create_private(&aside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(aside, path)
}
