//! From what is written in `[training] base` to a file that can be trained.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::known::Known;
use super::{BaseError, Cache, digest, ollama};
use crate::training::gguf::Gguf;
use crate::training::model::Shape;
use crate::training::tokenizer::Tokenizer;

/// Whence a base comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseKind {
    /// Pulled by name into the cache folder.
    Known,
    /// A model of the local Ollama.
    Ollama,
    /// A file of the user's.
    File,
}

/// A base model on this machine, whose header says that it can be trained.
#[derive(Debug, Clone)]
pub struct Base {
    /// What it is called: the known name, the Ollama model with its tag, or the file's name without `.gguf`.
    pub name: String,
    /// The GGUF file.
    pub path: PathBuf,
    /// Whence it comes.
    pub kind: BaseKind,
    cache: Cache,
    sha256: OnceLock<String>,
}

impl Base {
    /// The sha256 of the file, in hexadecimal. The first call reads the whole file; what it finds is remembered in
    /// the cache folder until the file changes. Ollama names its files by their hash, so there nothing is read.
    pub fn sha256(&self) -> Result<&str, BaseError> {
        if let Some(known) = self.sha256.get() {
            return Ok(known);
        }
        let found = digest::remembered(&self.path, &self.cache)
            .map_err(|source| BaseError::io(&self.path, source))?;
        Ok(self.sha256.get_or_init(|| found))
    }

    fn new(name: String, path: PathBuf, kind: BaseKind, cache: &Cache) -> Self {
        Base { name, path, kind, cache: cache.clone(), sha256: OnceLock::new() }
    }
}

/// Finds a base: a known name, `ollama:NAME`, or the path of a GGUF file, which is read from `base_dir` where it is
/// relative. Its header is read to see whether it can be trained; its weights are not.
///
/// # Errors
/// [`BaseError::NotPulled`] for a known model that has to be [pulled](super::pull) first.
pub fn resolve(spec: &str, base_dir: &Path, cache: &Cache) -> Result<Base, BaseError> {
    resolve_with(spec, base_dir, cache, &ollama::stores())
}

fn resolve_with(spec: &str, base_dir: &Path, cache: &Cache, stores: &[PathBuf]) -> Result<Base, BaseError> {
    let spec = spec.trim();
    let base = if let Some(name) = spec.strip_prefix("ollama:") {
        let found = ollama::find(name, stores)?;
        let base = Base::new(found.name, found.path, BaseKind::Ollama, cache);
        let _ = base.sha256.set(found.sha256);
        base
    } else if let Some(known) = Known::named(spec) {
        let path = cache.base(known.name);
        if !path.exists() {
            return Err(BaseError::NotPulled { name: known.name });
        }
        Base::new(known.name.to_owned(), path, BaseKind::Known, cache)
    } else if is_path(spec) {
        let path = base_dir.join(spec);
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Base::new(name, path, BaseKind::File, cache)
    } else {
        return Err(BaseError::Unknown { name: spec.to_owned() });
    };
    check(&base.path).map_err(|error| match error {
        BaseError::Forbidden { path, source, .. } if base.kind == BaseKind::Ollama => {
            BaseError::Forbidden { path, source, ollama: true }
        }
        other => other,
    })?;
    Ok(base)
}

/// Whether what is written is meant as a path: it has a separator, or ends in `.gguf`.
fn is_path(spec: &str) -> bool {
    spec.contains(['/', '\\']) || spec.to_ascii_lowercase().ends_with(".gguf")
}

/// Reads a file's header and sees whether it can be trained.
pub(super) fn check(path: &Path) -> Result<(), BaseError> {
    let file = Gguf::open(path).map_err(|error| BaseError::model(path, error.into()))?;
    Shape::read(&file).map_err(|error| BaseError::model(path, error))?;
    Tokenizer::check(&file).map_err(|source| BaseError::Tokenizer { path: path.to_path_buf(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::model::tiny;

    #[test]
    fn a_path_is_read_from_the_folder_of_pipeline_toml() {
        let folder = tempfile::tempdir().unwrap();
        tiny::write(&folder.path().join("mine.gguf"), "qwen2", 1);
        let cache = Cache::at(folder.path().join("cache"));
        for spec in ["mine.gguf", "./mine.gguf", folder.path().join("mine.gguf").to_str().unwrap()] {
            let base = resolve_with(spec, folder.path(), &cache, &[]).unwrap();
            assert_eq!((base.name.as_str(), base.kind), ("mine", BaseKind::File));
            assert_eq!(base.sha256().unwrap(), super::super::sha256_of(&base.path).unwrap());
        }
        let gone = resolve_with("gone.gguf", folder.path(), &cache, &[]).unwrap_err();
        assert!(matches!(&gone, BaseError::Missing(path) if path.ends_with("gone.gguf")), "{gone}");
    }

    #[test]
    fn a_known_name_must_be_pulled_first_and_an_unknown_one_lists_the_known() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let error = resolve_with("SmolLM2-135M-Instruct", folder.path(), &cache, &[]).unwrap_err();
        assert!(matches!(error, BaseError::NotPulled { .. }), "{error}");
        assert_eq!(error.hint().unwrap(), "`atles models pull smollm2-135m-instruct` fetches it");
        std::fs::create_dir(cache.bases()).unwrap();
        tiny::write(&cache.base("smollm2-135m-instruct"), "llama", 1);
        assert_eq!(
            resolve_with("smollm2-135m-instruct", folder.path(), &cache, &[]).unwrap().kind,
            BaseKind::Known
        );
        let error = resolve_with("gpt5", folder.path(), &cache, &[]).unwrap_err().to_string();
        assert!(error.contains("smollm2-360m-instruct, "), "{error}");
    }

    #[test]
    fn what_cannot_be_trained_is_refused_with_what_can() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gguf");
        let refused =
            || resolve_with("a.gguf", folder.path(), &Cache::at(folder.path()), &[]).unwrap_err().to_string();
        tiny::write(&path, "gemma3", 1);
        assert!(refused().ends_with("architecture \"gemma3\" cannot be trained; llama and qwen2 can"));
        tiny::write(&path, "llama", 1);
        let good = std::fs::read(&path).unwrap();
        let text = b"smollm";
        let at = good.windows(text.len()).position(|part| part == text).unwrap();
        let mut bad = good.clone();
        bad[at..at + text.len()].copy_from_slice(b"viking");
        std::fs::write(&path, bad).unwrap();
        assert!(refused().contains("supported are gpt2 with "), "{}", refused());
        // The tensor's type is the four bytes after its two sizes: an IQ type.
        let name = b"token_embd.weight";
        let at = good.windows(name.len()).position(|part| part == name).unwrap() + name.len() + 4 + 16;
        let mut bad = good.clone();
        bad[at..at + 4].copy_from_slice(&20u32.to_le_bytes());
        std::fs::write(&path, bad).unwrap();
        assert!(refused().contains("read are F32, F16, BF16, Q4_0"), "{}", refused());
        std::fs::write(&path, &good[..good.len() - 4000]).unwrap();
        assert!(refused().contains("damaged"), "{}", refused());
        std::fs::write(&path, "<!doctype html>").unwrap();
        assert!(refused().contains("not a GGUF file"), "{}", refused());
    }
}
