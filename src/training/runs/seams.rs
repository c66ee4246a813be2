//! Who trains and who publishes, by `[training]`.

use std::path::Path;

use super::{Embedded, RunFailure};
use crate::config::{TrainerKind, Training};
use crate::spool::Home;
use crate::training::backend::Backend;
use crate::training::elsewhere::{Command, Jobs};
use crate::training::publisher::Publisher;

/// The trainer that `[training] trainer` names. Relative paths are read from the folder of pipeline.toml.
pub fn backend(settings: &Training, config_dir: &Path) -> Result<Box<dyn Backend>, RunFailure> {
    Ok(match settings.trainer {
        TrainerKind::Embedded => Box::new(Embedded),
        TrainerKind::Command => Box::new(Command::new(&settings.command, config_dir)?),
        TrainerKind::Openai => Box::new(Jobs::new(&settings.openai, |name| std::env::var(name).ok())?),
    })
}

/// Those who publish a promoted version, in order.
pub fn publishers(settings: &Training, home: &Home) -> Vec<Box<dyn Publisher>> {
    crate::publish::publisher(&settings.publish, home).into_iter().collect()
}
