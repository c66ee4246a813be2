//! The whole model of a version: the base with the adapter merged in, made when somebody needs it.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use super::{PublishError, VersionFiles};
use crate::training::artefact::{read_adapter, write_merged};
use crate::training::gguf::{Gguf, GgufError};
use crate::training::model::{Base, ModelError, Shape};
use crate::wire::sha256_unless;

/// The whole model's file, made if it is not there yet. It was opened as a model before it got its name. Gives up within
/// a second once `stop` is set.
pub(super) fn whole(version: &VersionFiles, stop: &AtomicBool) -> Result<PathBuf, PublishError> {
    if let Some(merged) = version.merged.as_ref().filter(|path| path.is_file()) {
        return Ok(merged.clone());
    }
    let Some(adapter) = &version.adapter else {
        return Err(PublishError::refused(
            format!("{} has neither an adapter nor a whole model", version.name),
            "the version's folder was changed; train or promote another one",
        ));
    };
    check_base(version, stop)?;
    let wrong = |error: &dyn std::fmt::Display| {
        let hint = "the base or the adapter was changed since it was trained; train again";
        PublishError::refused(format!("{} cannot be merged into its base: {error}", version.name), hint)
    };
    let base = Gguf::open(&version.base.path).map_err(|error| wrong(&error))?;
    let shape = Shape::read(&base).map_err(|error| wrong(&error))?;
    let change = read_adapter(adapter, &shape).map_err(|error| wrong(&error))?;
    let (path, aside) = (version.dir.join("merged.gguf"), version.dir.join(".merged.gguf.new"));
    let written = write_merged(&aside, &base, &change, stop)
        .and_then(|()| Gguf::open(&aside))
        .map_err(ModelError::from)
        .and_then(|file| Base::load_unless(stop, &file));
    if let Err(error) = written {
        let _ = std::fs::remove_file(&aside);
        return Err(match error {
            ModelError::Gguf(GgufError::Stopped) => PublishError::Stopped,
            error => wrong(&error),
        });
    }
    std::fs::rename(&aside, &path)?;
    crate::platform::sync_dir(&version.dir)?;
    Ok(path)
}

/// Whether the base is the file that the version was trained from.
pub(super) fn check_base(version: &VersionFiles, stop: &AtomicBool) -> Result<(), PublishError> {
    let base = &version.base;
    let found = sha256_unless(stop, &base.path).map_err(|error| {
        let hint = "bring the base back (`atles models pull`), or train on the one that [training] names now";
        PublishError::refused(format!("the base {} cannot be read: {error}", base.path.display()), hint)
    })?;
    let found = found.ok_or(PublishError::Stopped)?;
    match &base.sha256 {
        Some(expected) if !expected.eq_ignore_ascii_case(&found) => Err(PublishError::refused(
            format!("{} is not the base that {} was trained from", base.path.display(), version.name),
            "an adapter fits its own base only: bring that file back, or train again",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::world::World;

    #[test]
    fn a_stop_ends_a_merge_and_leaves_no_half_file() {
        let world = World::new();
        let version = world.version(1);
        assert!(matches!(whole(&version, &AtomicBool::new(true)), Err(PublishError::Stopped)));
        assert_eq!(std::fs::read_dir(&version.dir).unwrap().count(), 1, "the adapter and nothing else");
        whole(&version, &AtomicBool::new(false)).unwrap();
    }
}
