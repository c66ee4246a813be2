//! Reads what `strace` recorded: the calls that change a folder or a file, or sync it, in the order of their ends.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A call and when it was under way, in lines of the recording. One that never returned ends at no line.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) what: What,
}

/// What a call did. File descriptors are the process's own; paths are absolute.
#[derive(Debug)]
pub(crate) enum What {
    Open {
        fd: u32,
        path: PathBuf,
        create: bool,
        truncate: bool,
        append: bool,
    },
    /// A file without a name was made in a folder.
    OpenUnnamed {
        fd: u32,
        folder: PathBuf,
    },
    /// It got a name.
    Name {
        fd: u32,
        to: PathBuf,
    },
    Duplicate {
        fd: u32,
        new: u32,
    },
    Close {
        fd: u32,
    },
    /// The offset moved: by so many bytes read, or to a place.
    Read {
        fd: u32,
        bytes: u64,
    },
    Seek {
        fd: u32,
        to: u64,
    },
    Write {
        fd: u32,
        at: Option<u64>,
        bytes: Vec<u8>,
    },
    SetLength {
        fd: u32,
        to: u64,
    },
    Allocate {
        fd: u32,
        end: u64,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove {
        path: PathBuf,
    },
    MakeDir {
        path: PathBuf,
    },
    Sync {
        fd: u32,
    },
    SyncAll,
}

/// The arguments of `strace` that record all that [`read`] needs.
pub(crate) const ARGUMENTS: [&str; 9] =
    ["-f", "-y", "-xx", "-qq", "-s", "16777216", "-e", "trace=%file,%desc", "-o"];

/// Reads a recording. Calls that failed changed nothing and are left out.
pub(crate) fn read(text: &str) -> Vec<Call> {
    let mut unfinished: HashMap<&str, (usize, &str)> = HashMap::new();
    let mut calls = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(front) = rest.strip_suffix(" <unfinished ...>") {
            unfinished.insert(thread, (number, front));
        } else if let Some(tail) = rest.strip_prefix("<... ") {
            let Some((start, front)) = unfinished.remove(thread) else { continue };
            let tail = tail.split_once(" resumed>").map_or("", |(_, tail)| tail);
            calls.extend(call(&format!("{front}{tail}")).map(|what| Call { start, end: number, what }));
        } else {
            calls.extend(call(rest).map(|what| Call { start: number, end: number, what }));
        }
    }
    // A descriptor is free for another thread as soon as its closing has begun.
    calls.sort_by_key(|call| if matches!(call.what, What::Close { .. }) { call.start } else { call.end });
    calls
}

fn call(text: &str) -> Option<What> {
    let (name, rest) = text.split_once('(')?;
    let (arguments, result) = rest
        .rsplit_once(") ")
        .and_then(|(front, back)| Some((front, back.trim_start().strip_prefix("= ")?)))?;
    let result: u64 = result.split(['<', ' ']).next()?.parse().ok()?;
    let arguments: Vec<&str> = arguments.split(", ").collect();
    let get = |n: usize| arguments.get(n).copied();
    let fd = || get(0).and_then(descriptor);
    let number = |n: usize| get(n).and_then(|text| text.parse::<u64>().ok());
    Some(match name {
        "open" | "creat" => opened(result, path(None, get(0)?)?, get(1).unwrap_or("O_CREAT|O_TRUNC")),
        "openat" => opened(result, path(get(0), get(1)?)?, get(2)?),
        "dup" | "dup2" | "dup3" => What::Duplicate { fd: fd()?, new: u32::try_from(result).ok()? },
        "fcntl" if get(1)?.starts_with("F_DUPFD") => {
            What::Duplicate { fd: fd()?, new: u32::try_from(result).ok()? }
        }
        "close" => What::Close { fd: fd()? },
        "read" | "readv" => What::Read { fd: fd()?, bytes: result },
        "lseek" => What::Seek { fd: fd()?, to: result },
        "write" | "writev" => What::Write { fd: fd()?, at: None, bytes: written(&arguments, result) },
        "pwrite64" => What::Write { fd: fd()?, at: number(3), bytes: written(&arguments, result) },
        "ftruncate" => What::SetLength { fd: fd()?, to: number(1)? },
        "fallocate" => What::Allocate { fd: fd()?, end: number(2)? + number(3)? },
        "rename" => What::Rename { from: path(None, get(0)?)?, to: path(None, get(1)?)? },
        "renameat" | "renameat2" => What::Rename { from: path(get(0), get(1)?)?, to: path(get(2), get(3)?)? },
        "linkat" => What::Name { fd: by_descriptor(&path(None, get(1)?)?)?, to: path(get(2), get(3)?)? },
        "unlink" | "rmdir" => What::Remove { path: path(None, get(0)?)? },
        "unlinkat" => What::Remove { path: path(get(0), get(1)?)? },
        "mkdir" => What::MakeDir { path: path(None, get(0)?)? },
        "mkdirat" => What::MakeDir { path: path(get(0), get(1)?)? },
        "fsync" | "fdatasync" => What::Sync { fd: fd()? },
        "syncfs" => What::SyncAll,
        _ => return None,
    })
}

fn opened(result: u64, path: PathBuf, flags: &str) -> What {
    let has = |flag: &str| flags.split('|').any(|one| one == flag);
    let fd = u32::try_from(result).unwrap_or(u32::MAX);
    if has("O_TMPFILE") {
        return What::OpenUnnamed { fd, folder: path };
    }
    What::Open { fd, path, create: has("O_CREAT"), truncate: has("O_TRUNC"), append: has("O_APPEND") }
}

/// `7<\x2f…>` is descriptor 7.
fn descriptor(text: &str) -> Option<u32> {
    text.split('<').next()?.parse().ok()
}

/// `/proc/self/fd/7` is descriptor 7.
fn by_descriptor(path: &Path) -> Option<u32> {
    path.strip_prefix("/proc/self/fd").ok()?.to_str()?.parse().ok()
}

/// A path, and the folder it starts from: `AT_FDCWD<\x2f…>` or `7<\x2f…>`.
fn path(folder: Option<&str>, text: &str) -> Option<PathBuf> {
    let bytes = quoted(text).next()?;
    let path = PathBuf::from(String::from_utf8(bytes).ok()?);
    let folder = folder.and_then(|folder| folder.split_once('<'));
    let folder =
        folder.map(|(_, hex)| String::from_utf8_lossy(&unhex(hex.trim_end_matches('>'))).into_owned());
    Some(Path::new(&folder.unwrap_or_default()).join(path))
}

/// What was written: the strings among the arguments, as far as the call got.
fn written(arguments: &[&str], result: u64) -> Vec<u8> {
    let mut bytes: Vec<u8> = arguments[1..].iter().flat_map(|argument| quoted(argument)).flatten().collect();
    bytes.truncate(usize::try_from(result).unwrap());
    assert_eq!(bytes.len() as u64, result, "the recording has less than was written");
    bytes
}

fn quoted(text: &str) -> impl Iterator<Item = Vec<u8>> {
    text.split('"').skip(1).step_by(2).map(unhex)
}

/// `\x61\x62` is `ab`.
fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(4);
    digits.map(|four| u8::from_str_radix(std::str::from_utf8(&four[2..]).unwrap(), 16).unwrap()).collect()
}
