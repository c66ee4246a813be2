use std::io::Write;

use crate::platform;
use crate::spool::Home;

/// What the probe writes: enough that a full disk refuses it.
const PROBE_BYTES: usize = 256 << 10;

/// Whether at least `min_free` bytes are free in the home.
pub(super) fn enough(home: &Home, min_free: u64) -> Result<(), String> {
    match platform::free_bytes(&home.root) {
        Ok(Some(free)) if free < min_free => Err(format!(
            "only {} MiB are free on the disk, and [disk] min_free asks for {} MiB",
            free >> 20,
            min_free >> 20
        )),
        _ => Ok(()),
    }
}

/// Whether the home takes a file again: there is room, and a small file can be written and synced.
pub(super) fn probe(home: &Home, min_free: u64) -> Result<(), String> {
    enough(home, min_free)?;
    let path = home.work.join(".probe");
    let written = platform::create_private(&path)
        .and_then(|mut file| file.write_all(&vec![0; PROBE_BYTES]).and_then(|()| file.sync_all()));
    let _ = std::fs::remove_file(&path);
    written.map_err(|error| format!("the home cannot be written: {error}"))
}
