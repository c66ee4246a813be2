use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::config::OpenaiTrainer;
use crate::training::backend::{Backend, BackendError, Job, Progress, Trained};

/// This build cannot talk to servers.
#[derive(Debug)]
pub enum Jobs {}

impl Jobs {
    /// Says so.
    pub fn new(_: &OpenaiTrainer, _: impl Fn(&str) -> Option<String>) -> Result<Self, BackendError> {
        Err(BackendError::Failed {
            message: "this build cannot talk to servers, so it has no trainer \"openai\"".into(),
            hint: Some("build atles with `--features http`".into()),
        })
    }
}

impl Backend for Jobs {
    fn train(
        &mut self,
        _: &Job<'_>,
        _: &mut dyn FnMut(&Progress),
        _: &Arc<AtomicBool>,
    ) -> Result<Trained, BackendError> {
        match *self {}
    }
}
