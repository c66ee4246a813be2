use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use thiserror::Error;

use super::{launchd, scheduler, systemd};
use crate::platform;

/// What is to run as a service.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its name: letters, digits, `-` and `_`.
    pub name: String,
    /// The `atles` program.
    pub program: PathBuf,
    /// The pipeline.toml it runs with.
    pub config: PathBuf,
    /// Where its words go that come before its own log is open, where the system keeps none.
    pub log: PathBuf,
    /// Seconds it may take to stop.
    pub stop_seconds: u64,
    /// The user's home folder.
    pub user_home: PathBuf,
    /// The user's number, where there is one.
    pub user: u32,
}

/// A service manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// systemd, the user's own instance.
    Systemd,
    /// launchd on macOS.
    Launchd,
    /// The Task Scheduler of Windows: a service proper would have to speak its control protocol.
    TaskScheduler,
}

/// A file that tells the service manager what to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Where it belongs.
    pub path: PathBuf,
    /// What stands in it.
    pub text: String,
    /// Written as UTF-16 with a byte order mark, which is what the Task Scheduler reads.
    pub wide: bool,
}

/// A command of the service manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The program and its arguments.
    pub words: Vec<OsString>,
    /// Its failure is no failure: it takes back what may not be there.
    pub may_fail: bool,
}

/// What each verb comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Written by `install`, deleted by `uninstall`.
    pub definition: Definition,
    /// After the definition was written.
    pub install: Vec<Step>,
    /// Before the definition is deleted.
    pub uninstall: Vec<Step>,
    /// After it was.
    pub afterwards: Vec<Step>,
    /// Start it now.
    pub start: Vec<Step>,
    /// Stop it now; it starts again at the next login.
    pub stop: Vec<Step>,
    /// Tell how it is.
    pub status: Vec<Step>,
    /// What else a person may want to do.
    pub hint: &'static str,
}

/// Why a plan was not carried out.
#[derive(Debug, Error)]
pub enum Failed {
    /// The definition could not be written or deleted.
    #[error("cannot write {}: {source}", path.display())]
    Definition {
        /// Where it belongs.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A command is not there.
    #[error("cannot run {program}: {source}")]
    Missing {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// A command said no.
    #[error("`{command}` failed ({status})")]
    Refused {
        /// The command.
        command: String,
        /// How it ended.
        status: String,
    },
}

impl System {
    /// The service manager of this system, if it has one that is known.
    pub fn here() -> Option<Self> {
        if cfg!(target_os = "linux") {
            Some(System::Systemd)
        } else if cfg!(target_os = "macos") {
            Some(System::Launchd)
        } else if cfg!(windows) {
            Some(System::TaskScheduler)
        } else {
            None
        }
    }

    /// What is to be written and run for a service.
    pub fn plan(self, service: &Service) -> Plan {
        match self {
            System::Systemd => systemd::plan(service),
            System::Launchd => launchd::plan(service),
            System::TaskScheduler => scheduler::plan(service),
        }
    }
}

impl Definition {
    /// Writes the definition, private to the user.
    ///
    /// # Errors
    /// If the file or its folder cannot be made.
    pub fn write(&self) -> Result<(), Failed> {
        let failed = |source| Failed::Definition { path: self.path.clone(), source };
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(failed)?;
        let aside = self.path.with_extension("new");
        let written = platform::create_private(&aside).and_then(|mut file| {
            file.write_all(&self.bytes())?;
            file.sync_all()
        });
        written.and_then(|()| std::fs::rename(&aside, &self.path)).map_err(failed)
    }

    /// Deletes the definition. `false` if there was none.
    ///
    /// # Errors
    /// If it is there and cannot be deleted.
    pub fn delete(&self) -> Result<bool, Failed> {
        match std::fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(Failed::Definition { path: self.path.clone(), source }),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        if !self.wide {
            return self.text.clone().into_bytes();
        }
        let units = std::iter::once(0xFEFF).chain(self.text.encode_utf16());
        units.flat_map(u16::to_le_bytes).collect()
    }
}

impl Step {
    /// A command that has to succeed.
    pub(super) fn must(words: &[&str]) -> Self {
        Step { words: words.iter().map(OsString::from).collect(), may_fail: false }
    }

    /// A command that takes back what may not be there.
    pub(super) fn may(words: &[&str]) -> Self {
        Step { may_fail: true, ..Step::must(words) }
    }

    /// The command as one would type it.
    pub fn shown(&self) -> String {
        let words: Vec<_> = self.words.iter().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    }

    /// Runs the command with our terminal; its exit code.
    ///
    /// # Errors
    /// If it cannot be started, or fails and must not.
    pub fn run(&self) -> Result<i32, Failed> {
        let Some((program, arguments)) = self.words.split_first() else { return Ok(0) };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        if self.may_fail {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        let status = match command.status() {
            Ok(status) => status,
            Err(_) if self.may_fail => return Ok(0),
            Err(source) => {
                return Err(Failed::Missing { program: program.to_string_lossy().into_owned(), source });
            }
        };
        if status.success() || self.may_fail {
            return Ok(0);
        }
        Err(Failed::Refused { command: self.shown(), status: status.to_string() })
    }
}

/// A text inside XML.
pub(super) fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
pub(super) fn example() -> Service {
    Service {
        name: "atles".into(),
        program: "/opt/at les/atles".into(),
        config: "/home/ada/100% \"mine\" & $HOME/pipeline.toml".into(),
        log: "/home/ada/atles_memory/logs/service.log".into(),
        stop_seconds: 30,
        user_home: "/home/ada".into(),
        user: 501,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_written_whole_and_private_and_deleted_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("below/atles.xml");
        let definition = Definition { path: path.clone(), text: "<é>".into(), wide: true };
        definition.write().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"\xFF\xFE<\0\xE9\0>\0");
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600);
        }
        assert!(definition.delete().unwrap() && !definition.delete().unwrap());
    }

    #[test]
    fn a_command_that_takes_back_what_is_not_there_may_fail() {
        assert!(Step::may(&["no-such-program"]).run().is_ok());
        assert!(matches!(Step::must(&["no-such-program"]).run(), Err(Failed::Missing { .. })));
        #[cfg(unix)]
        assert!(matches!(Step::must(&["false"]).run(), Err(Failed::Refused { .. })));
    }
}
