use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::{Target, is_model_name};

/// A trained version and the base it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionFiles {
    /// `v0007`.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
    /// The adapter as GGUF; absent where a trainer left a whole model.
    pub adapter: Option<PathBuf>,
    /// The whole model as GGUF, where there is one already.
    pub merged: Option<PathBuf>,
    /// What it was trained from.
    pub base: BaseModel,
}

/// The base of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseModel {
    /// As `[training] base` has it: a known name, `ollama:NAME` or a path.
    pub name: String,
    /// Its GGUF file.
    pub path: PathBuf,
    /// SHA-256 that the file had when the version was trained, hexadecimal.
    pub sha256: Option<String>,
}

impl BaseModel {
    /// Its name in Ollama, where it comes from there.
    pub(super) fn in_ollama(&self) -> Option<&str> {
        self.name.strip_prefix("ollama:").map(str::trim).filter(|name| !name.is_empty())
    }

    /// A name that can be part of a model's.
    fn plain_name(&self) -> String {
        let name = match self.in_ollama() {
            Some(name) => name.rsplit('/').next().unwrap_or(name),
            None => Path::new(&self.name).file_name().and_then(|name| name.to_str()).unwrap_or("model"),
        };
        let name = name.strip_suffix(".gguf").unwrap_or(name).to_lowercase();
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.');
        let name: String = name.chars().map(|c| if fits(c) { c } else { '-' }).take(50).collect();
        let name = name.trim_matches(['-', '.', '_']);
        if name.is_empty() { "model".to_owned() } else { name.to_owned() }
    }
}

impl VersionFiles {
    /// The published model's name without a tag.
    pub(super) fn model_name(&self, wanted: Option<&str>) -> String {
        match wanted.filter(|name| is_model_name(name)) {
            Some(name) => name.to_owned(),
            None => format!("atles-{}", self.base.plain_name()),
        }
    }
}

/// The number in `v0007`.
#[cfg(feature = "http")]
pub(super) fn number(tag: &str) -> Option<u64> {
    let digits = tag.strip_prefix('v')?;
    digits.parse().ok().filter(|_| digits.len() >= 4 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Where.
    pub target: Target,
    /// Under which name: a model's with its tag, or a folder.
    pub name: String,
    /// `adapter` or `merged`.
    pub form: String,
    /// The server's fingerprint of it, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What a person may want to know; never words of a chat.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_base_gives_a_name_that_ollama_takes() {
        for (base, expected) in [
            ("smollm2-135m-instruct", "atles-smollm2-135m-instruct"),
            ("ollama:Qwen2.5:0.5b", "atles-qwen2.5-0.5b"),
            ("ollama:hf.co/me/My Model:Q4", "atles-my-model-q4"),
            ("/models/../x/ÄÖ \"; rm.gguf", "atles-rm"),
            ("..", "atles-model"),
            ("", "atles-model"),
        ] {
            let base = BaseModel { name: base.into(), path: PathBuf::new(), sha256: None };
            let (name, dir) = ("v0007".into(), PathBuf::new());
            let version = VersionFiles { name, dir, adapter: None, merged: None, base };
            assert_eq!(version.model_name(None), expected);
            assert!(is_model_name(&version.model_name(None)));
            assert_eq!(version.model_name(Some("../x")), expected, "a wrong name is not used");
            assert_eq!(version.model_name(Some("mine")), "mine");
        }
    }
}
