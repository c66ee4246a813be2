use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::names::numbered;
use super::{Claimed, Home};
use crate::platform;

/// What a sidecar's name adds to the file's.
pub const SIDECAR_SUFFIX: &str = ".error.json";

/// The page beside a file in `failed/`: why it is there, and what to do.
///
/// It never quotes the chat: its reader may be anyone who looks after the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sidecar {
    /// The file's name as it was dropped.
    pub file: String,
    /// When it was given up, RFC 3339.
    pub failed_at: String,
    /// The stage that could not do its work; `spool` for a file that was not opened.
    pub stage: String,
    /// The class of error, for scripts: `syntax`, `shape`, `timeout`, `panic`, …
    pub kind: String,
    /// What went wrong.
    pub message: String,
    /// What lay beneath it, outermost first.
    pub causes: Vec<String>,
    /// Line in the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Column in the line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// Where in the JSON, as in `messages[3].content`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Which of the file's sessions failed, from 0, where it holds several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<usize>,
    /// Every try.
    pub attempts: Vec<AttemptRecord>,
    /// What a person can do.
    pub what_to_do: String,
    /// Bytes of the file.
    pub size: u64,
    /// The bytes of the file's name in hexadecimal, where they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_bytes: Option<String>,
}

/// One try at a file that did not succeed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// When, RFC 3339.
    pub at: String,
    /// The stage that failed.
    pub stage: String,
    /// How.
    pub error: String,
}

impl Sidecar {
    /// The bytes of a name that is not UTF-8, for [`Sidecar::name_bytes`].
    pub fn odd_name(name: &OsStr) -> Option<String> {
        name.to_str()
            .is_none()
            .then(|| name.as_encoded_bytes().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Where the sidecar of a file in `failed/` lies.
    pub fn beside(file: &Path) -> PathBuf {
        let mut name = file.as_os_str().to_os_string();
        name.push(SIDECAR_SUFFIX);
        name.into()
    }

    /// Reads the sidecar of a file in `failed/`; `None` where there is none that can be read.
    pub fn read(file: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(Sidecar::beside(file)).ok()?).ok()
    }
}

impl Claimed {
    /// Writes the sidecar durably, then moves the file beside it.
    ///
    /// # Errors
    /// What the system said; the file then still is in `work/`.
    pub fn move_to_failed(&self, home: &Home, sidecar: &Sidecar) -> io::Result<PathBuf> {
        let mut page = serde_json::to_vec_pretty(sidecar)?;
        page.push(b'\n');
        let name = self.name_in_failed();
        for number in 1.. {
            let candidate = candidate(&name, number);
            let target = home.failed.join(&candidate);
            let beside = Sidecar::beside(&target);
            let Some(mut file) = create_new(&beside)? else { continue };
            platform::failpoint("failed.sidecar_made");
            let written =
                file.write_all(&page).and_then(|()| platform::sync_point("sidecar", || file.sync_all()));
            platform::failpoint("failed.sidecar_written");
            // Without its name on the disk the file could be there after a power loss, and its sidecar not.
            let written = written
                .and_then(|()| platform::sync_point("sidecar.name", || platform::sync_dir(&home.failed)));
            match written.and_then(|()| platform::rename_no_replace(&self.path(home), &target)) {
                Ok(()) => return Ok(target),
                Err(error) => {
                    let _ = std::fs::remove_file(&beside);
                    if error.kind() != ErrorKind::AlreadyExists {
                        return Err(error);
                    }
                }
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }
}

fn candidate(name: &OsStr, number: usize) -> OsString {
    let fits = name.len() + SIDECAR_SUFFIX.len() <= 255;
    if number == 1 && fits { name.to_os_string() } else { numbered(name, number, SIDECAR_SUFFIX.len()) }
}

/// `None` where the name is taken.
fn create_new(path: &Path) -> io::Result<Option<File>> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes away sidecars whose file is not beside them: a crash came between writing one and moving the file, which
/// then still is in `work/` and will be judged again.
pub(super) fn remove_orphans(home: &Home) -> io::Result<usize> {
    let mut removed = 0;
    for entry in std::fs::read_dir(&home.failed)? {
        let path = entry?.path();
        let bytes = path.as_os_str().as_encoded_bytes();
        let Some(file) = bytes.strip_suffix(SIDECAR_SUFFIX.as_bytes()) else { continue };
        let Some(file) = path.parent().map(|dir| dir.join(last_component(&path, file.len()))) else {
            continue;
        };
        if platform::lstat(&file).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            std::fs::remove_file(&path)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// The file name of `path` without the sidecar suffix; `whole` is the length of the path without it.
fn last_component(path: &Path, whole: usize) -> OsString {
    let name = path.file_name().unwrap_or_default();
    let keep = name.len() - (path.as_os_str().len() - whole);
    platform::name_from_bytes(name.as_encoded_bytes()[..keep].to_vec())
}

impl Home {
    /// Removes sidecars whose file is missing; how many there were.
    ///
    /// # Errors
    /// What the system said.
    pub fn remove_orphaned_sidecars(&self) -> io::Result<usize> {
        remove_orphans(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        home.prepare().unwrap();
        (dir, home)
    }

    fn sidecar() -> Sidecar {
        Sidecar {
            file: "a.json".into(),
            failed_at: "2026-01-01T00:00:00Z".into(),
            stage: "decode".into(),
            kind: "syntax".into(),
            message: "expected `,`".into(),
            causes: vec![],
            line: Some(3),
            column: Some(7),
            path: None,
            session: None,
            attempts: vec![],
            what_to_do: "mend it".into(),
            size: 2,
            name_bytes: None,
        }
    }

    fn fail(home: &Home, name: &str) -> PathBuf {
        std::fs::write(home.work.join(name), "{}").unwrap();
        Claimed::found(name.into()).move_to_failed(home, &sidecar()).unwrap()
    }

    #[test]
    fn every_dead_letter_has_its_own_sidecar_even_under_names_that_collide_or_are_too_long() {
        let (_dir, home) = home();
        let long = format!("{}.json", "x".repeat(250));
        let files: Vec<_> = ["a.json", "a.json", "a.json.error.json", &long, &long]
            .into_iter()
            .map(|name| fail(&home, name))
            .collect();
        for file in &files {
            assert_eq!(std::fs::read_to_string(file).unwrap(), "{}");
            assert_eq!(Sidecar::read(file), Some(sidecar()), "{}", file.display());
        }
        assert_eq!(std::fs::read_dir(&home.failed).unwrap().count(), 2 * files.len());
        assert_eq!(home.remove_orphaned_sidecars().unwrap(), 0);
    }

    #[test]
    fn a_sidecar_without_its_file_is_taken_away_at_start() {
        let (_dir, home) = home();
        let file = fail(&home, "a.json");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(home.remove_orphaned_sidecars().unwrap(), 1);
        assert_eq!(std::fs::read_dir(&home.failed).unwrap().count(), 0);
    }
}
