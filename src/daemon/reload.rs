use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tracing::{error, info, warn};

use super::Services;
use crate::config::{Config, Loaded, Settings, load};
use crate::pipeline::Chain;
use crate::sources::ObserverSettings;

/// Watches pipeline.toml and swaps the chain when it was edited well. A bad edit changes nothing.
pub(super) struct Reload {
    path: PathBuf,
    seen: Option<(SystemTime, u64)>,
    text_hash: [u8; 32],
    settings: Settings,
    sources: Vec<ObserverSettings>,
    chain: Arc<ArcSwap<Chain>>,
    services: Services,
    /// What is wrong with the file as it is now, if anything.
    pub(super) problem: Option<String>,
    /// The names of the stages, in order.
    pub(super) stages: Vec<String>,
}

impl Reload {
    pub(super) fn new(loaded: Loaded, services: Services) -> Self {
        let Loaded { config, path, text_hash, .. } = loaded;
        let seen = look(&path);
        let (settings, stages) = (config.settings.clone(), names(&config));
        let sources = config.sources.clone();
        let chain = Arc::new(ArcSwap::from_pointee(Chain::from(config)));
        Reload { path, seen, text_hash, settings, sources, chain, services, problem: None, stages }
    }

    pub(super) fn chain(&self) -> Arc<ArcSwap<Chain>> {
        self.chain.clone()
    }

    /// The settings in force.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The sources in force.
    pub(super) fn sources(&self) -> &[ObserverSettings] {
        &self.sources
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at the file; reads it if it was touched, and takes it over if it is good.
    pub(super) fn poll(&mut self) {
        let now = look(&self.path);
        if now == self.seen {
            return;
        }
        self.seen = now;
        match load(&self.path, &|home, dir| self.services.give(home, dir)) {
            Ok(loaded) if loaded.text_hash == self.text_hash => self.problem = None,
            Ok(loaded) => self.take_over(loaded),
            Err(diagnostics) => {
                let problems = diagnostics.summary();
                error!(
                    problems,
                    "pipeline.toml was edited and is wrong; the one before stays in force (`atles check` tells more)"
                );
                self.problem = Some(problems);
            }
        }
    }

    fn take_over(&mut self, loaded: Loaded) {
        let Loaded { config, text_hash, .. } = loaded;
        let (old, new) = (&self.settings, &config.settings);
        let later = old.home != new.home
            || old.spool != new.spool
            || old.workers != new.workers
            || old.logs != new.logs;
        if later {
            warn!("[home], [spool], [workers] and [logs] of pipeline.toml take effect at the next start");
        }
        let mut config = config;
        config.settings.spool = old.spool.clone();
        self.settings = Settings {
            home: old.home.clone(),
            workers: old.workers.clone(),
            logs: old.logs.clone(),
            ..config.settings.clone()
        };
        self.sources.clone_from(&config.sources);
        self.stages = names(&config);
        self.text_hash = text_hash;
        self.problem = None;
        self.chain.store(Arc::new(Chain::from(config)));
        info!(
            stages = self.stages.len(),
            "pipeline.toml was edited; sessions from now on take the new chain"
        );
    }
}

/// Modification time and size.
fn look(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn names(config: &Config) -> Vec<String> {
    config.stages.iter().map(|stage| stage.name.clone()).collect()
}
