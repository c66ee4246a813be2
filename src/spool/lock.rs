use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::Home;

/// How often, and how far apart, a lock that is taken is looked at before it counts as a daemon's.
const LOOKS: u32 = 10;
const LOOK: Duration = Duration::from_millis(20);

/// Held as long as a daemon runs on a home; the system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct InstanceLock {
    _file: File,
}

/// Why the lock was not had.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another daemon has it.
    #[error("a daemon already runs on {} (process {pid})", home.display())]
    Taken {
        /// The home.
        home: PathBuf,
        /// The other daemon's process id as it wrote it, or `unknown`.
        pid: String,
    },
    /// The lock file could not be used.
    #[error("cannot use the lock file {}: {source}", path.display())]
    Unusable {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl InstanceLock {
    /// Takes the lock of a home, or says who has it.
    ///
    /// # Errors
    /// [`LockError::Taken`] while another process holds it.
    pub fn take(home: &Home) -> Result<Self, LockError> {
        let path = home.lock_file();
        let unusable = |source| LockError::Unusable { path: path.clone(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path).map_err(unusable)?;
        let mut locked = file.try_lock();
        // `atles status` holds the lock for an instant to see whether anybody has it.
        for _ in 0..LOOKS {
            if !matches!(locked, Err(TryLockError::WouldBlock)) {
                break;
            }
            std::thread::sleep(LOOK);
            locked = file.try_lock();
        }
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let read = file.read_to_string(&mut pid).is_ok_and(|n| n > 0);
                let pid = if read { pid.trim().to_owned() } else { "unknown".to_owned() };
                return Err(LockError::Taken { home: home.root.clone(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(unusable)?;
        writeln!(file, "{}", std::process::id()).map_err(unusable)?;
        Ok(InstanceLock { _file: file })
    }

    /// Whether some process holds the lock now.
    pub fn is_taken(home: &Home) -> bool {
        match File::open(home.lock_file()) {
            Ok(file) => matches!(file.try_lock(), Err(TryLockError::WouldBlock)),
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_on_the_home_is_told_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        assert!(!InstanceLock::is_taken(&home));
        let first = InstanceLock::take(&home).unwrap();
        assert!(InstanceLock::is_taken(&home));
        let error = InstanceLock::take(&home).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        assert!(InstanceLock::take(&home).is_ok());
    }

    #[test]
    fn somebody_who_only_looks_whether_a_daemon_runs_keeps_none_from_starting() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        drop(InstanceLock::take(&home).unwrap());
        let looker = File::open(home.lock_file()).unwrap();
        looker.try_lock().unwrap();
        let (looking, seen) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                looking.send(()).unwrap();
                drop(looker);
            });
            seen.recv().unwrap();
            assert!(InstanceLock::take(&home).is_ok());
        });
    }
}
