//! A home with a tiny base and versions of it, for tests.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::{BaseModel, Desk, Outcome, PublishError, Published, VersionFiles};
use crate::config::{Publish, Span, Target};
use crate::spool::Home;
use crate::training::artefact::write_adapter;
use crate::training::gguf::Gguf;
use crate::training::model::{Adapter, LoraSettings, Shape, tiny};
use crate::wire::sha256_of;

/// The home, and what is published from it.
pub(super) struct World {
    folder: tempfile::TempDir,
    pub(super) settings: Publish,
    pub(super) base: BaseModel,
}

impl World {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("base.gguf");
        tiny::write(&path, "llama", 4);
        let sha256 = Some(sha256_of(&path).unwrap());
        let settings = Publish { profile: false, timeout: Span::millis(400), ..Publish::default() };
        std::fs::create_dir_all(folder.path().join("home/models")).unwrap();
        World { base: BaseModel { name: "tiny".into(), path, sha256 }, folder, settings }
    }

    pub(super) fn home(&self) -> Home {
        Home::at(self.folder.path().join("home"))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn desk(&self) -> Desk {
        Desk::new(&self.settings, &self.home())
    }

    /// A version with an adapter of its own.
    pub(super) fn version(&self, number: u64) -> VersionFiles {
        let name = format!("v{number:04}");
        let dir = self.home().models().join(&name);
        std::fs::create_dir_all(&dir).unwrap();
        let adapter = dir.join("adapter.gguf");
        adapter_for(&self.base.path, &adapter, number);
        VersionFiles {
            name,
            merged: Some(dir.join("merged.gguf")),
            dir,
            adapter: Some(adapter),
            base: self.base.clone(),
        }
    }

    pub(super) fn publish(&self, version: &VersionFiles, target: Target) -> Result<Published, PublishError> {
        let Outcome { result, .. } = self.desk().publish_to(version, target, &AtomicBool::new(false));
        result
    }
}

/// Writes an adapter that changes something.
pub(crate) fn adapter_for(base: &Path, path: &Path, seed: u64) {
    let shape = Shape::read(&Gguf::open(base).unwrap()).unwrap();
    let mut adapter = Adapter::new(&shape, LoraSettings { rank: 4, alpha: 8.0 }, seed);
    let mut random = fastrand::Rng::with_seed(seed);
    adapter.values.iter_mut().for_each(|value| *value += (random.f32() - 0.5) * 0.1);
    write_adapter(path, &shape, &adapter, "test").unwrap();
}
