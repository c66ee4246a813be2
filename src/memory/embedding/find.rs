use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{EmbeddingError, WordVectors};

/// Which variable names the folder for what is pulled.
const VARIABLE: &str = "ATLES_CACHE";
/// The file with the vectors of words, within that folder.
const FILE: &str = "embeddings/wordllama.vectors";

/// The folder for what is pulled: `$ATLES_CACHE`, else `atles` in the user's cache folder (`$XDG_CACHE_HOME` or
/// `~/.cache`; on macOS `~/Library/Caches`, on Windows `%LOCALAPPDATA%`).
pub fn cache_folder() -> Option<PathBuf> {
    cache_folder_of(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
}

fn cache_folder_of(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(folder) = variable(VARIABLE) {
        return Some(folder.into());
    }
    let home = |below: &str| variable("HOME").map(|home| Path::new(&home).join(below));
    let folder = if cfg!(windows) {
        variable("LOCALAPPDATA").map(PathBuf::from)
    } else if cfg!(target_os = "macos") {
        home("Library/Caches")
    } else {
        // A relative path there is to be passed over, says the standard.
        let named = variable("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        named.or_else(|| home(".cache"))
    };
    Some(folder?.join("atles"))
}

/// Where the file lies, or will lie once it was pulled.
pub fn place(cache: &Path) -> PathBuf {
    cache.join(FILE)
}

/// Opens the vectors, if they were pulled.
///
/// # Errors
/// If the file is there and cannot be used.
pub fn find() -> Result<Option<WordVectors>, EmbeddingError> {
    let Some(path) = cache_folder().map(|folder| place(&folder)) else { return Ok(None) };
    if path.exists() { WordVectors::open(&path).map(Some) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_comes_before_the_users_cache() {
        let set = |pairs: &'static [(&str, &str)]| {
            move |name: &str| {
                pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
            }
        };
        assert_eq!(cache_folder_of(set(&[("ATLES_CACHE", "/a"), ("HOME", "/h")])), Some("/a".into()));
        assert_eq!(cache_folder_of(|_| None), None);
        if cfg!(target_os = "linux") {
            assert_eq!(cache_folder_of(set(&[("HOME", "/h")])), Some("/h/.cache/atles".into()));
            let both = set(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")]);
            assert_eq!(cache_folder_of(both), Some("/x/atles".into()));
            let relative = set(&[("XDG_CACHE_HOME", "x"), ("HOME", "/h")]);
            assert_eq!(cache_folder_of(relative), Some("/h/.cache/atles".into()));
        }
    }
}
