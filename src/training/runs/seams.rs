//! Who trains and who publishes, by `[training]`.

use super::{Embedded, RunFailure};
use crate::config::{TrainerKind, Training};
use crate::training::backend::Backend;
use crate::training::publisher::Publisher;

/// The trainer that `[training] trainer` names.
pub fn backend(settings: &Training) -> Result<Box<dyn Backend>, RunFailure> {
    let missing = |name: &str| {
        Err(RunFailure::failed(
            format!("this build has no trainer {name:?}"),
            "set `[training] trainer = \"embedded\"`",
        ))
    };
    match settings.trainer {
        TrainerKind::Embedded => Ok(Box::new(Embedded)),
        TrainerKind::Command => missing("command"),
        TrainerKind::Openai => missing("openai"),
    }
}

/// Those who publish a promoted version, in order.
pub fn publishers(_: &Training) -> Vec<Box<dyn Publisher>> {
    Vec::new()
}
