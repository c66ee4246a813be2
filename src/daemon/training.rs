//! The runs of training beside the pipeline; nothing where the trainer is not built in.

use std::path::Path;

use crate::config::Training;
use crate::spool::Home;

/// The thread that trains, if this build has one.
pub(super) struct Runs {
    #[cfg(feature = "trainer")]
    manager: crate::training::runs::Manager,
}

#[cfg(feature = "trainer")]
impl Runs {
    pub(super) fn start(
        home: &Home,
        config_dir: &Path,
        settings: &Training,
        once: bool,
    ) -> std::io::Result<Self> {
        let manager =
            crate::training::runs::Manager::start(home, config_dir.to_path_buf(), settings.clone(), once)?;
        Ok(Runs { manager })
    }

    pub(super) fn set_settings(&self, settings: &Training) {
        self.manager.set_settings(settings);
    }

    /// Versions promoted over the life of the home.
    pub(super) fn promoted(&self) -> u64 {
        self.manager.promoted()
    }

    /// Answers that wait for a run.
    pub(super) fn queued(&self) -> u64 {
        self.manager.queued()
    }

    /// What is under way, in a few words.
    pub(super) fn under_way(&self) -> Option<String> {
        let running = self.manager.running()?;
        Some(match running.steps {
            0 => running.run,
            steps => format!("{}, step {} of {steps}", running.run, running.step),
        })
    }

    /// Makes a run that is under way stop within a second.
    pub(super) fn stop(&self) {
        self.manager.stopper().store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Does what is due and ends, or is stopped.
    pub(super) fn finish_due(&self) {
        self.manager.finish_due();
    }
}

#[cfg(not(feature = "trainer"))]
impl Runs {
    pub(super) fn start(_: &Home, _: &Path, _: &Training, _: bool) -> std::io::Result<Self> {
        Ok(Runs {})
    }

    pub(super) fn set_settings(&self, _: &Training) {}

    pub(super) fn promoted(&self) -> u64 {
        0
    }

    pub(super) fn queued(&self) -> u64 {
        0
    }

    pub(super) fn under_way(&self) -> Option<String> {
        None
    }

    pub(super) fn stop(&self) {}

    pub(super) fn finish_due(&self) {}
}
