//! `models/publish.json`: what was published, and what is still to be done.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{PublishError, Published};
use crate::config::Target;
use crate::platform;

/// Records that are kept.
const KEPT: usize = 200;

/// What became of one version at one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// `v0007`.
    pub version: String,
    /// Where to.
    pub target: Target,
    /// How it stands.
    #[serde(flatten)]
    pub state: State,
    /// Tries so far.
    pub attempts: u32,
    /// When the last one ended.
    pub at: Timestamp,
}

/// How a publication stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum State {
    /// It is there and answered.
    Published {
        /// What and how.
        published: Published,
    },
    /// It is tried again.
    Waiting {
        /// Why it was not possible yet.
        message: String,
        /// What a person can do about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// Not before this.
        next: Timestamp,
    },
    /// It will not be tried again by itself.
    Failed {
        /// Why.
        message: String,
        /// What a person can do about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
}

/// All records of a home.
#[derive(Debug, Default)]
pub struct Records {
    path: PathBuf,
    all: Vec<Record>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct OnDisk {
    records: Vec<Record>,
}

impl Records {
    /// Reads the records in `models/`; none where the file is missing or cannot be read: publishing again changes
    /// nothing.
    pub fn read(models: &Path) -> Self {
        let path = models.join("publish.json");
        let read = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<OnDisk>(&bytes).ok());
        Records { path, all: read.unwrap_or_default().records }
    }

    /// All, the oldest first.
    pub fn all(&self) -> &[Record] {
        &self.all
    }

    /// How one version stands at one target.
    pub fn get(&self, version: &str, target: Target) -> Option<&Record> {
        self.all.iter().rev().find(|record| record.version == version && record.target == target)
    }

    /// What is known of a version at a target without asking it: that it is what was published there last, that it was
    /// refused, or that the next try is not due yet. `None`: it is to be published.
    pub(super) fn standing(
        &self,
        version: &str,
        target: Target,
        now: Timestamp,
    ) -> Option<Result<Published, PublishError>> {
        let record = self.get(version, target)?;
        let is_published =
            |record: &&Record| record.target == target && matches!(record.state, State::Published { .. });
        match &record.state {
            State::Published { published } => {
                let last = self.all.iter().rfind(is_published)?;
                (last.version == version).then(|| Ok(published.clone()))
            }
            State::Waiting { message, hint, next } => (*next > now)
                .then(|| Err(PublishError::Later { message: message.clone(), hint: hint.clone() })),
            State::Failed { message, hint } => {
                Some(Err(PublishError::Refused { message: message.clone(), hint: hint.clone() }))
            }
        }
    }

    /// When the next try of this version is due at some target that still waits.
    pub fn next_due(&self, version: &str) -> Option<Timestamp> {
        let waits = |record: &Record| match &record.state {
            State::Waiting { next, .. } if record.version == version => Some(*next),
            _ => None,
        };
        self.all.iter().filter_map(waits).min()
    }

    /// Keeps what came of a try, on disk too.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn keep(
        &mut self,
        version: &str,
        target: Target,
        result: &Result<Published, PublishError>,
        pauses: (Duration, Duration),
        now: Timestamp,
    ) -> std::io::Result<()> {
        let tried = self.get(version, target).map_or(0, |record| match record.state {
            State::Waiting { .. } => record.attempts,
            _ => 0,
        });
        let attempts = tried.saturating_add(1);
        let state = match result {
            Ok(published) => State::Published { published: published.clone() },
            Err(PublishError::Stopped) => return Ok(()),
            Err(PublishError::Later { message, hint }) => {
                let next = now.checked_add(pause(attempts, pauses)).unwrap_or(now);
                State::Waiting { message: message.clone(), hint: hint.clone(), next }
            }
            Err(error) => State::Failed { message: error.to_string(), hint: error.hint().map(str::to_owned) },
        };
        self.all.retain(|record| record.version != version || record.target != target);
        self.all.push(Record { version: version.to_owned(), target, state, attempts, at: now });
        let excess = self.all.len().saturating_sub(KEPT);
        self.all.drain(..excess);
        let text = serde_json::to_vec_pretty(&OnDisk { records: self.all.clone() })?;
        platform::replace(&self.path, &text)
    }
}

/// The pause after so many tries: doubled each time, up to the longest.
fn pause(attempts: u32, (first, longest): (Duration, Duration)) -> Duration {
    let factor =
        1_u32.checked_shl(attempts.saturating_sub(1)).filter(|factor| *factor > 0).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_away_is_asked_ever_more_rarely_and_that_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let pauses = (Duration::from_secs(60), Duration::from_secs(300));
        for expected in [60, 120, 240, 300, 300] {
            let mut records = Records::read(folder.path());
            let away = Err(PublishError::later("away", "start it"));
            records.keep("v0001", Target::Ollama, &away, pauses, now).unwrap();
            let due = Records::read(folder.path()).next_due("v0001").unwrap();
            assert_eq!(due.duration_since(now).as_secs(), expected);
            now = due;
        }
        let mut records = Records::read(folder.path());
        assert_eq!(records.get("v0001", Target::Ollama).unwrap().attempts, 5);
        assert_eq!(records.next_due("v0002"), None);
        let refused = Err(PublishError::refused("no", "never"));
        records.keep("v0001", Target::Ollama, &refused, pauses, now).unwrap();
        let records = Records::read(folder.path());
        assert_eq!(records.next_due("v0001"), None);
        assert!(matches!(records.all(), [Record { state: State::Failed { .. }, attempts: 6, .. }]));
        std::fs::write(folder.path().join("publish.json"), "{\"records\": 3").unwrap();
        assert!(Records::read(folder.path()).all().is_empty(), "a damaged file is begun anew");
    }
}
