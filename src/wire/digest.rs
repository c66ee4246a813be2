use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};

/// The SHA-256 of a file, in hexadecimal.
pub fn sha256_of(path: &Path) -> io::Result<String> {
    sha256_unless(&AtomicBool::new(false), path).map(Option::unwrap_or_default)
}

/// The same; `None` soon after `stop` was set.
pub fn sha256_unless(stop: &AtomicBool, path: &Path) -> io::Result<Option<String>> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    while !stop.load(Ordering::Relaxed) {
        match file.read(&mut buffer)? {
            0 => return Ok(Some(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())),
            read => hasher.update(buffer.get(..read).unwrap_or_default()),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_standard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_of(&path).unwrap(), expected);
        assert_eq!(sha256_unless(&AtomicBool::new(true), &path).unwrap(), None);
    }
}
