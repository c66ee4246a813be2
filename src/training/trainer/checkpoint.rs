//! A run's state on disk: written beside and renamed, sealed with a hash, bound to the run it belongs to.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::optimiser::AdamW;

/// Everything that the rest of a run depends on, but for the adapter.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Checkpoint {
    /// Hash of base, settings and examples: another run's checkpoint is not taken.
    pub(super) run: [u8; 32],
    pub(super) step: u64,
    /// The best so far by the watcher's judgement; empty where there is none.
    pub(super) best: Vec<f32>,
    pub(super) optimiser: AdamW,
    /// Mean loss of each step so far.
    pub(super) losses: Vec<f32>,
}

const MAGIC: &[u8; 8] = b"ATLESck1";

impl Checkpoint {
    /// Writes it, and the adapter's values with it.
    pub(super) fn save(&self, values: &[f32], path: &Path) -> std::io::Result<()> {
        let beside = path.with_extension("tmp");
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        // In small pieces: a copy of it all would be a tenth of a run's memory.
        let mut out = Sealed { file: BufWriter::new(options.open(&beside)?), hash: blake3::Hasher::new() };
        out.put(MAGIC)?;
        out.put(&self.run)?;
        out.put(&self.step.to_le_bytes())?;
        out.put(&self.optimiser.steps.to_le_bytes())?;
        for list in [values, &self.best, &self.optimiser.first, &self.optimiser.second, &self.losses] {
            out.put(&(list.len() as u64).to_le_bytes())?;
            for part in list.chunks(PART) {
                out.put(&part.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())?;
            }
        }
        let seal = out.hash.finalize();
        out.file.write_all(seal.as_bytes())?;
        out.file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&beside, path)
    }

    /// The checkpoint of a run and the adapter's values; `None` where there is none, or it is damaged or of another
    /// run: then the run begins again.
    pub(super) fn load(path: &Path, run: &[u8; 32]) -> Option<(Self, Vec<f32>)> {
        let bytes = std::fs::read(path).ok()?;
        let (body, seal) = bytes.split_last_chunk::<32>()?;
        if blake3::hash(body).as_bytes() != seal {
            return None;
        }
        let mut rest = body.strip_prefix(MAGIC)?.strip_prefix(run)?;
        let step = number(&mut rest)?;
        let steps = number(&mut rest)?;
        let [values, best, first, second, losses] =
            [list(&mut rest)?, list(&mut rest)?, list(&mut rest)?, list(&mut rest)?, list(&mut rest)?];
        let fits = first.len() == values.len() && second.len() == values.len();
        let optimiser = AdamW { first, second, steps };
        fits.then_some((Checkpoint { run: *run, step, best, optimiser, losses }, values))
    }
}

/// Numbers that are written at once.
const PART: usize = 1 << 14;

/// A file in the making, and the hash of what was written so far.
struct Sealed {
    file: BufWriter<File>,
    hash: blake3::Hasher,
}

impl Sealed {
    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.hash.update(bytes);
        self.file.write_all(bytes)
    }
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let (number, more) = rest.split_first_chunk::<8>()?;
    *rest = more;
    Some(u64::from_le_bytes(*number))
}

fn list(rest: &mut &[u8]) -> Option<Vec<f32>> {
    let count = usize::try_from(number(rest)?).ok()?;
    let (values, more) = rest.split_at_checked(count.checked_mul(4)?)?;
    *rest = more;
    Some(values.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}
