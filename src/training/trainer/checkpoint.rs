//! A run's state on disk: written beside and renamed, sealed with a hash, bound to the run it belongs to.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::optimiser::AdamW;

/// Everything that the rest of a run depends on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Checkpoint {
    /// Hash of base, settings and examples: another run's checkpoint is not taken.
    pub(super) run: [u8; 32],
    pub(super) step: u64,
    pub(super) values: Vec<f32>,
    /// The best so far by the watcher's judgement; empty where there is none.
    pub(super) best: Vec<f32>,
    pub(super) optimiser: AdamW,
    /// Mean loss of each step so far.
    pub(super) losses: Vec<f32>,
}

const MAGIC: &[u8; 8] = b"ATLESck1";

impl Checkpoint {
    pub(super) fn save(&self, path: &Path) -> std::io::Result<()> {
        let mut bytes = Vec::with_capacity(128 + 12 * self.values.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.run);
        bytes.extend_from_slice(&self.step.to_le_bytes());
        bytes.extend_from_slice(&self.optimiser.steps.to_le_bytes());
        for list in [&self.values, &self.best, &self.optimiser.first, &self.optimiser.second, &self.losses] {
            bytes.extend_from_slice(&(list.len() as u64).to_le_bytes());
            list.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
        }
        let seal = blake3::hash(&bytes);
        bytes.extend_from_slice(seal.as_bytes());
        let beside = path.with_extension("tmp");
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&beside)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    }

    /// The checkpoint of a run; `None` where there is none, or it is damaged or of another run: then the run
    /// begins again.
    pub(super) fn load(path: &Path, run: &[u8; 32]) -> Option<Self> {
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
        fits.then_some(Checkpoint { run: *run, step, values, best, optimiser, losses })
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
