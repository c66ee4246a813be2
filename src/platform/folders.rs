use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// The user's own folder; `None` where the environment does not name it.
pub fn user_home() -> Option<PathBuf> {
    variable(if cfg!(windows) { "USERPROFILE" } else { "HOME" }).map(PathBuf::from)
}

/// The folder in which programs keep what can be fetched again: `$XDG_CACHE_HOME` or `~/.cache`, on macOS
/// `~/Library/Caches`, on Windows `%LOCALAPPDATA%`.
pub fn user_cache() -> Option<PathBuf> {
    if cfg!(windows) {
        return variable("LOCALAPPDATA").map(PathBuf::from);
    }
    if cfg!(target_os = "macos") {
        return Some(user_home()?.join("Library").join("Caches"));
    }
    // A relative XDG_CACHE_HOME is to be ignored, says its specification.
    let named = variable("XDG_CACHE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    named.or_else(|| Some(user_home()?.join(".cache")))
}

fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}
