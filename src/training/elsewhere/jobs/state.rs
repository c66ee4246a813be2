//! What has to outlive a restart.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::Provider;
use crate::platform;

/// `provider.json` in the run's folder.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    /// The provider, and its address: ids mean nothing elsewhere.
    pub(super) provider: Provider,
    pub(super) url: String,
    pub(super) train: Option<String>,
    pub(super) held_out: Option<String>,
    /// A job is about to be made, or was.
    pub(super) asked: bool,
    pub(super) job: Option<String>,
    pub(super) began: Option<Timestamp>,
    #[serde(skip)]
    path: PathBuf,
}

impl State {
    /// What an earlier try left for the same provider, or nothing.
    pub(super) fn read(folder: &Path, provider: Provider, url: &str) -> Self {
        let path = folder.join("provider.json");
        let found = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice::<State>(&text).ok());
        match found.filter(|state| state.provider == provider && state.url == url) {
            Some(state) => State { path, ..state },
            None => State { provider, url: url.to_owned(), path, ..State::default() },
        }
    }

    pub(super) fn save(&self) -> io::Result<()> {
        platform::replace(&self.path, &serde_json::to_vec_pretty(self)?)
    }
}
