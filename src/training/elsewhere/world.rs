//! A job on a tiny base, for tests.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::config::Training;
use crate::session::{Role, SpokenTurn};
use crate::training::backend::{Backend, BackendError, Job, Progress, Trained};
use crate::training::model::tiny;

pub(super) struct World {
    folder: tempfile::TempDir,
    pub(super) settings: Training,
    chats: Vec<Vec<SpokenTurn>>,
}

impl World {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        tiny::write(&folder.path().join("base.gguf"), "llama", 4);
        std::fs::create_dir(folder.path().join("run")).unwrap();
        std::fs::write(folder.path().join("train.jsonl"), "{\"messages\": [\"learn\"]}\n").unwrap();
        std::fs::write(folder.path().join("held_out.jsonl"), "{\"messages\": [\"measure\"]}\n").unwrap();
        let turn = |role, text: &str, learn| SpokenTurn { role, text: text.into(), learn };
        let chats = vec![vec![turn(Role::User, "Hi", false), turn(Role::Assistant, "Hello", true)]];
        World { folder, settings: Training::default(), chats }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn train(
        &self,
        backend: &mut dyn Backend,
        watch: &mut dyn FnMut(&Progress),
        stop: &Arc<AtomicBool>,
    ) -> Result<Trained, BackendError> {
        let (base, folder) = (self.path("base.gguf"), self.path("run"));
        let (train_file, held_out_file) = (self.path("train.jsonl"), self.path("held_out.jsonl"));
        let job = Job {
            run: "run_20260101_000000",
            settings: &self.settings,
            base: &base,
            train: &self.chats,
            held_out: &self.chats,
            train_file: &train_file,
            held_out_file: &held_out_file,
            folder: &folder,
        };
        backend.train(&job, watch, stop)
    }
}
