use std::fmt;
use std::io::{self, Write};

use crate::platform::{self, Signature};
use crate::session::{Effect, Rewrite};
use crate::spool::{Claimed, Home};

/// The wish that a file in `done/` holds its redacted form.
pub(super) struct RewriteOriginal(Vec<Rewrite>);

impl fmt::Debug for RewriteOriginal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RewriteOriginal({})", self.0.len())
    }
}

impl RewriteOriginal {
    /// The wishes among the effects of a file's sessions; `None` without any.
    pub(super) fn wished<'a>(effects: impl Iterator<Item = &'a Effect>) -> Option<Self> {
        let wish = |effect: &Effect| match effect {
            Effect::RedactedOriginal(rewrite) => Some(rewrite.clone()),
            _ => None,
        };
        let rewrites: Vec<Rewrite> = effects.filter_map(wish).collect();
        (!rewrites.is_empty()).then_some(RewriteOriginal(rewrites))
    }

    /// Replaces the file in `work/` by its redacted form: written aside, synced, and put in its place in one step.
    /// Returns the new file's signature. A file that cannot be read as a document stays as it is.
    pub(super) fn apply(&self, home: &Home, file: &Claimed, signature: Signature) -> io::Result<Signature> {
        let path = file.path(home);
        let bytes = std::fs::read(&path)?;
        let mut redacted: Option<Vec<u8>> = None;
        for rewrite in &self.0 {
            redacted = rewrite(redacted.as_ref().unwrap_or(&bytes)).or(redacted);
        }
        let Some(redacted) = redacted.filter(|redacted| *redacted != bytes) else { return Ok(signature) };
        replace(home, file, signature, &redacted)
    }
}

/// Puts another content in the place of a file in `work/`: written aside, synced, and renamed. Returns the new file's
/// signature.
pub(super) fn replace(
    home: &Home,
    file: &Claimed,
    signature: Signature,
    content: &[u8],
) -> io::Result<Signature> {
    let aside = home.work.join(format!(".redacted-{}", signature.inode));
    let mut out = platform::create_private(&aside)?;
    out.write_all(content)?;
    out.sync_all()?;
    let now = Signature::of(&out.metadata()?);
    std::fs::rename(&aside, file.path(home))?;
    // The ledger will name the new file: the old one must not come back after a power loss.
    platform::sync_dir(&home.work)?;
    Ok(now)
}
