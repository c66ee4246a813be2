//! Whether what a program left is what it should have left.

use std::path::{Component, Path, PathBuf};

use crate::training::artefact::read_adapter;
use crate::training::backend::{Artefact, BackendError};
use crate::training::gguf::Gguf;
use crate::training::model::{Base, Shape};

/// The names that are looked for where the program names none.
const USUAL: [&str; 3] = ["adapter.gguf", "merged.gguf", "model.gguf"];

/// Finds the artefact in the output folder and loads it once.
pub(super) fn check(output: &Path, named: Option<&str>, base: &Path) -> Result<Artefact, BackendError> {
    let path = find(output, named)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let unusable = |problem: String| BackendError::Failed {
        message: format!("the program's {name} cannot be used: {problem}"),
        hint: Some(
            "it must be a LoRA adapter for the base, or a whole model of the base's shape, as GGUF".into(),
        ),
    };
    let file = Gguf::open(&path).map_err(|error| unusable(error.to_string()))?;
    let base = Gguf::open(base).map_err(|error| BackendError::failed(format!("the base model: {error}")))?;
    let shape =
        Shape::read(&base).map_err(|error| BackendError::failed(format!("the base model: {error}")))?;
    if file.text("general.type").is_ok_and(|kind| kind == "adapter") {
        let adapter = read_adapter(&path, &shape).map_err(|error| unusable(error.to_string()))?;
        if !adapter.values.iter().all(|value| value.is_finite()) {
            return Err(unusable("it holds values that are no numbers".into()));
        }
        let changes = adapter.slots().iter().any(|slot| {
            adapter.values.get(slot.b.clone()).is_some_and(|b| b.iter().any(|value| *value != 0.0))
        });
        if !changes {
            return Err(unusable("it changes nothing: every B matrix is zero".into()));
        }
        return Ok(Artefact::Adapter(path));
    }
    let whole = Base::load(&file).map_err(|error| unusable(error.to_string()))?;
    if *whole.shape() != shape {
        return Err(unusable("it is a model of another shape than the base".into()));
    }
    Ok(Artefact::Merged(path))
}

/// The file, which is a plain one and lies in the output folder whatever the program says.
fn find(output: &Path, named: Option<&str>) -> Result<PathBuf, BackendError> {
    let missing = || BackendError::Failed {
        message: "the program left no artefact".into(),
        hint: Some(format!(
            "it must leave {} in the output folder, or name another file there: {{\"artefact\": \"NAME\"}}",
            USUAL.join(", ")
        )),
    };
    let is_plain = |path: &Path| path.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
    let Some(named) = named else {
        return USUAL.iter().map(|name| output.join(name)).find(|path| is_plain(path)).ok_or_else(missing);
    };
    let given = Path::new(named);
    let inside = given.strip_prefix(output).unwrap_or(given);
    if inside.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(BackendError::failed("the program names an artefact outside of its output folder"));
    }
    let path = output.join(inside);
    let real = std::fs::canonicalize(&path).map_err(|_| missing())?;
    let folder = std::fs::canonicalize(output).map_err(|_| missing())?;
    if !is_plain(&path) || !real.starts_with(folder) {
        return Err(BackendError::failed(
            "the program names an artefact that is no plain file in its output folder",
        ));
    }
    Ok(path)
}
