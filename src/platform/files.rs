use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// What tells whether a file is still the one that was looked at: it survives a rename, and changes with a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// Inode number; 0 where the system has none.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Time of the last write, nanoseconds since 1970.
    pub modified: i128,
}

impl Signature {
    /// The signature in a file's metadata.
    pub fn of(metadata: &Metadata) -> Self {
        let modified = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
            .map_or(0, |since| since.as_nanos() as i128);
        Signature { inode: inode(metadata), size: metadata.len(), modified }
    }
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

/// When a file last changed in any way. A rename counts too where inodes keep a change time, which no writer can
/// preserve or set; elsewhere the last write has to do.
pub fn last_change(metadata: &Metadata) -> SystemTime {
    let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let seconds = u64::try_from(metadata.ctime()).unwrap_or(0);
        let nanos = u32::try_from(metadata.ctime_nsec()).unwrap_or(0).min(999_999_999);
        modified.max(SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos))
    }
    #[cfg(not(unix))]
    {
        modified
    }
}

/// Metadata of the entry itself: a symlink is not followed.
pub fn lstat(path: &Path) -> io::Result<Metadata> {
    std::fs::symlink_metadata(path)
}

/// Moves a file without ever overwriting one: `AlreadyExists` if the target is taken.
///
/// Where the file system has no such rename, a hard link and an unlink do the same in two steps: after a crash
/// between them both names lead to the same file, and none is lost.
pub fn rename_no_replace(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    std::fs::hard_link(from, to)?;
    std::fs::remove_file(from)
}

/// Opens a regular file for reading. A symlink is not followed and a FIFO is not waited for; both give
/// `InvalidInput`, even if they took the file's place a moment ago.
pub fn open_regular(path: &Path) -> io::Result<(File, Metadata)> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32);
    }
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok((file, metadata))
    } else {
        Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"))
    }
}

/// Creates or truncates a file that only its owner can read.
pub fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes a private file that has its name only once it is whole, which touches its folder once. `false` if the name is
/// taken, or where files without a name cannot be made: nothing has changed then.
pub fn create_whole(path: &Path, content: &[u8]) -> io::Result<bool> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
        use rustix::io::Errno;
        use std::os::fd::AsRawFd;
        let dir = path.parent().ok_or(ErrorKind::InvalidInput)?;
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let mut file = match open(dir, flags, Mode::RUSR | Mode::WUSR) {
            Ok(unnamed) => File::from(unnamed),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        file.write_all(content)?;
        let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
        match linkat(CWD, unnamed, CWD, path, AtFlags::SYMLINK_FOLLOW) {
            Ok(()) => Ok(true),
            // Without /proc there is no way to it.
            Err(Errno::EXIST | Errno::NOENT | Errno::OPNOTSUPP | Errno::PERM) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (path, content);
        Ok(false)
    }
}

/// Writes a whole private file in the place of another, if there is one: a reader sees the old one or the new, also
/// after a loss of power.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    let mut aside = OsString::from(".");
    aside.push(name);
    aside.push(".new");
    let aside = path.with_file_name(aside);
    let mut file = create_private(&aside)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&aside, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Takes an open file away from all but its owner. Of somebody else's file that cannot be done; the folder it lies in
/// is private all the same.
pub fn make_private(file: &File, metadata: &Metadata) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if metadata.permissions().mode() & 0o777 != 0o600 {
            let _ = file.set_permissions(std::fs::Permissions::from_mode(0o600));
        }
    }
    #[cfg(not(unix))]
    let _ = (file, metadata);
}

/// From now on whatever this process makes is private to the user.
pub fn make_everything_private() {
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

/// Makes a folder, and those above it, that only its owner can enter. An existing folder stays as it is.
pub fn make_private_dir(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Puts the names in a folder on stable storage.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

/// Puts everything written so far to the file system that holds `dir` on stable storage. `false` where the system
/// has no such call: the caller then has to sync file by file.
pub fn sync_filesystem(dir: &Path) -> io::Result<bool> {
    #[cfg(target_os = "linux")]
    {
        rustix::fs::syncfs(File::open(dir)?)?;
        Ok(true)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = dir;
        Ok(false)
    }
}

/// Bytes that this user can still write to the file system of `dir`; `None` where the system does not tell.
pub fn free_bytes(dir: &Path) -> io::Result<Option<u64>> {
    #[cfg(unix)]
    {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(Some(stat.f_bavail.saturating_mul(stat.f_frsize)))
    }
    #[cfg(not(unix))]
    {
        let _ = dir;
        Ok(None)
    }
}

/// A file name from its bytes, as [`std::ffi::OsStr::as_encoded_bytes`] gives them.
pub fn name_from_bytes(bytes: Vec<u8>) -> OsString {
    #[cfg(unix)]
    {
        std::os::unix::ffi::OsStringExt::from_vec(bytes)
    }
    #[cfg(not(unix))]
    {
        String::from_utf8_lossy(&bytes).into_owned().into()
    }
}

/// The mode of a folder that others than its owner can enter, as in `0755`; `None` for a private one.
pub fn open_to_others(dir: &Path) -> Option<String> {
    #[cfg(unix)]
    {
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(dir).ok()?.permissions()) & 0o777;
        (mode & 0o077 != 0).then(|| format!("{mode:04o}"))
    }
    #[cfg(not(unix))]
    {
        let _ = dir;
        None
    }
}

/// Whether this process may write to a file. It is not opened for that.
pub fn may_write(path: &Path) -> bool {
    #[cfg(unix)]
    let may = rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    #[cfg(not(unix))]
    let may = std::fs::metadata(path).is_ok_and(|metadata| !metadata.permissions().readonly());
    may
}

/// Whether two folders lie on one file system, so that a rename between them is atomic.
pub fn same_filesystem(a: &Path, b: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Ok(std::fs::metadata(a)?.dev() == std::fs::metadata(b)?.dev())
    }
    #[cfg(not(unix))]
    {
        let _ = (a, b);
        Ok(true)
    }
}

/// Whether an error says that there is no room left: a full disk or an exhausted quota.
pub fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Whether an error says that this process or the system has run out of descriptors or memory: no file is to blame.
pub fn is_exhausted(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let ours = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN];
        error.raw_os_error().is_some_and(|code| ours.iter().any(|errno| errno.raw_os_error() == code))
    }
    #[cfg(not(unix))]
    {
        error.kind() == ErrorKind::OutOfMemory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_never_overwrites() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&a, "new").unwrap();
        std::fs::write(&b, "old").unwrap();
        assert_eq!(rename_no_replace(&a, &b).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&b).unwrap(), "old");
        std::fs::remove_file(&b).unwrap();
        rename_no_replace(&a, &b).unwrap();
        assert_eq!(std::fs::read_to_string(&b).unwrap(), "new");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_whole_file_is_private_takes_no_name_that_is_taken_and_leaves_nothing_beside_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        // Where it is not made, the file system has no files without a name.
        if !create_whole(&path, b"new").unwrap() {
            assert!(!path.exists());
            return;
        }
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!create_whole(&path, b"newer").unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_symlink_is_not_followed_and_a_fifo_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("secret");
        std::fs::write(&target, "x").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(open_regular(&link).is_err());
        let fifo = dir.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        assert_eq!(open_regular(&fifo).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
