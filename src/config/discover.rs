use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// Which variable names the configuration file.
pub const VARIABLE: &str = "ATLES_CONFIG";

/// No pipeline.toml where one was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotFound {
    /// The places that were looked at, each with who named it.
    pub looked: Vec<(&'static str, PathBuf)>,
}

impl std::error::Error for NotFound {}

impl NotFound {
    /// What to do.
    pub fn hint(&self) -> &'static str {
        "`atles init` writes a complete, commented pipeline.toml; `--config PATH` names another"
    }
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no pipeline.toml. Looked for:")?;
        self.looked.iter().try_for_each(|(who, path)| write!(f, "\n  {} ({who})", path.display()))
    }
}

/// Finds pipeline.toml: `--config`, else `$ATLES_CONFIG`, else `./pipeline.toml`, else
/// `$XDG_CONFIG_HOME/atles/pipeline.toml` (without that variable `~/.config`, on Windows `%APPDATA%`). A file that
/// was named must be there: nothing else is tried in its place.
pub fn find_config(flag: Option<&Path>) -> Result<PathBuf, NotFound> {
    find(flag, |name| env::var_os(name).filter(|value| !value.is_empty()), Path::exists)
}

fn find(
    flag: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
    exists: impl Fn(&Path) -> bool,
) -> Result<PathBuf, NotFound> {
    let named = match flag {
        Some(path) => Some(("--config", path.to_path_buf())),
        None => variable(VARIABLE).map(|value| ("$ATLES_CONFIG", PathBuf::from(value))),
    };
    let places = match named {
        Some(place) => vec![place],
        None => {
            let here = ("the current folder", PathBuf::from("pipeline.toml"));
            std::iter::once(here).chain(user_place(variable)).collect()
        }
    };
    match places.iter().find(|(_, path)| exists(path)) {
        Some((_, path)) => Ok(path.clone()),
        None => Err(NotFound { looked: places }),
    }
}

fn user_place(variable: impl Fn(&str) -> Option<OsString>) -> Option<(&'static str, PathBuf)> {
    let under = |folder: PathBuf| folder.join("atles").join("pipeline.toml");
    // A relative XDG_CONFIG_HOME is to be ignored, says its specification.
    if let Some(folder) = variable("XDG_CONFIG_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute())
    {
        return Some(("$XDG_CONFIG_HOME", under(folder)));
    }
    if cfg!(windows) {
        return variable("APPDATA").map(|folder| ("%APPDATA%", under(folder.into())));
    }
    variable("HOME").map(|home| ("your configuration folder", under(PathBuf::from(home).join(".config"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(flag: Option<&str>, variables: &[(&str, &str)], files: &[&str]) -> Result<PathBuf, NotFound> {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        find(flag.map(Path::new), variable, |path| files.iter().any(|file| Path::new(file) == path))
    }

    #[test]
    fn the_nearest_place_wins() {
        let all = [("ATLES_CONFIG", "/env.toml"), ("XDG_CONFIG_HOME", "/xdg"), ("HOME", "/home/u")];
        let files = [
            "/flag.toml",
            "/env.toml",
            "pipeline.toml",
            "/xdg/atles/pipeline.toml",
            "/home/u/.config/atles/pipeline.toml",
        ];
        let cases = [
            (Some("/flag.toml"), &all[..], &files[..], "/flag.toml"),
            (None, &all[..], &files[..], "/env.toml"),
            (None, &all[1..], &files[..], "pipeline.toml"),
            (None, &all[1..], &files[3..], "/xdg/atles/pipeline.toml"),
        ];
        for (flag, variables, files, found) in cases {
            assert_eq!(look(flag, variables, files), Ok(PathBuf::from(found)));
        }
        if !cfg!(windows) {
            let found = look(None, &[("XDG_CONFIG_HOME", "xdg"), ("HOME", "/home/u")], &files[4..]);
            assert_eq!(found, Ok(PathBuf::from(files[4])), "a relative XDG_CONFIG_HOME is ignored");
        }
    }

    #[test]
    fn a_file_that_was_named_is_not_replaced_by_another() {
        let missing = look(Some("/gone.toml"), &[("HOME", "/home/u")], &["pipeline.toml"]).unwrap_err();
        assert_eq!(missing.looked, [("--config", PathBuf::from("/gone.toml"))]);
    }

    #[test]
    fn the_error_lists_every_place() {
        let missing = look(None, &[("XDG_CONFIG_HOME", "/xdg"), ("HOME", "/home/u")], &[]).unwrap_err();
        let text = missing.to_string();
        assert!(text.contains("pipeline.toml (the current folder)"), "{text}");
        assert!(text.contains("atles") && text.contains("$XDG_CONFIG_HOME"), "{text}");
    }
}
