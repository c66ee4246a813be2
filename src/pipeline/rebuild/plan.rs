//! What a rebuild goes through, and the database that it grows.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Rebuild, RebuildError, file};
use crate::memory::{Writer, carry};
use crate::platform;
use crate::spool::shown;
use crate::state::Outcome;

/// A file to go through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listed {
    /// The bytes of its name.
    pub(super) name: Vec<u8>,
    /// When it was learned, in milliseconds since 1970.
    pub(super) learned_ms: i64,
    /// Its place among files of the same time.
    pub(super) entry: u64,
    pub(super) size: u64,
}

/// What is gone through, written down so that a rebuild that was killed goes on with the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    pipeline: String,
    pub(super) files: Vec<Listed>,
}

impl Rebuild {
    /// The files in `done/`, in the order in which they were learned.
    pub(super) fn plan(&self) -> Result<Plan, RebuildError> {
        let mut entries: HashMap<String, (i64, u64)> = HashMap::new();
        if let Some(state) = self.ledger()? {
            state.entries(&mut |number, entry| {
                let learned = matches!(entry.outcome, Outcome::Learned | Outcome::Revision);
                if entry.at > 0 && (learned || !entries.contains_key(&entry.file)) {
                    entries.insert(entry.file, (entry.at, number));
                }
            })?;
        }
        let done = &self.home.done;
        let mut files = Vec::new();
        for found in std::fs::read_dir(done).map_err(|source| file(done, source))? {
            let name = found.map_err(|source| file(done, source))?.file_name();
            let Ok(metadata) = platform::lstat(&done.join(&name)) else { continue };
            if !metadata.is_file() || name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let written = i64::try_from(platform::Signature::of(&metadata).modified / 1_000_000);
            let (learned_ms, entry) =
                entries.get(&shown(&name)).copied().unwrap_or((written.unwrap_or(0), u64::MAX));
            let name = name.as_encoded_bytes().to_vec();
            files.push(Listed { name, learned_ms, entry, size: metadata.len() });
        }
        files.sort_by(|a, b| (a.learned_ms, a.entry, &a.name).cmp(&(b.learned_ms, b.entry, &b.name)));
        Ok(Plan { pipeline: self.chain.fingerprint(), files })
    }
}

/// The database of an earlier try at the same, or a new one.
pub(super) fn open_partial(dir: &Path, plan: &Plan) -> Result<Writer, RebuildError> {
    let (path, list) = (dir.join("memory.db"), dir.join("plan.json"));
    let same = std::fs::read(&list)
        .is_ok_and(|text| serde_json::from_slice::<Plan>(&text).is_ok_and(|known| known == *plan));
    if same
        && let Ok(memory) = Writer::open(&path)
        && matches!(carry::progress(memory.connection()), Ok(Some(_)))
    {
        return Ok(memory);
    }
    for name in ["plan.json", "memory.db", "memory.db-wal", "memory.db-shm"] {
        match std::fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(file(&dir.join(name), error));
            }
            _ => {}
        }
    }
    let text = serde_json::to_vec(plan).map_err(|error| file(&list, error.into()))?;
    platform::create_private(&list)
        .and_then(|mut out| io::Write::write_all(&mut out, &text).and_then(|()| out.sync_all()))
        .map_err(|source| file(&list, source))?;
    Ok(Writer::open(&path)?)
}
