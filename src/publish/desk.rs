//! One call for whoever has a version: every target in turn, what is done already left alone, what failed remembered.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{info, warn};

use super::persona::Persona;
use super::records::Records;
#[cfg(feature = "http")]
use super::records::State;
use super::{PublishError, Published, VersionFiles};
use crate::config::{Publish, Target};
use crate::platform::Clock;
use crate::spool::Home;

/// Publishes the versions of one home.
#[derive(Debug, Clone)]
pub struct Desk {
    settings: Publish,
    models: PathBuf,
    memory_db: PathBuf,
    folder: PathBuf,
    clock: Clock,
}

/// What came of one target.
#[derive(Debug)]
pub struct Outcome {
    /// Where to.
    pub target: Target,
    /// What was published, or why not.
    pub result: Result<Published, PublishError>,
}

impl Desk {
    /// The desk of a home.
    pub fn new(settings: &Publish, home: &Home) -> Self {
        Desk {
            settings: settings.clone(),
            models: home.models(),
            memory_db: home.memory_db(),
            folder: home.root.join(&settings.folder.path),
            clock: Clock::default(),
        }
    }

    /// What was published so far, and what waits.
    pub fn records(&self) -> Records {
        Records::read(&self.models)
    }

    /// Publishes a version to the targets that pipeline.toml names and that are not at it already. A target whose next
    /// try is not due yet, or that refused it, is told from the records without being asked.
    ///
    /// Blocks; must not be called on a thread of a runtime. Gives up within a second once `stop` is set.
    pub fn publish_where_due(&self, version: &VersionFiles, stop: &AtomicBool) -> Vec<Outcome> {
        let (records, now) = (self.records(), self.clock.now());
        let each = |target: &Target| match records.standing(&version.name, *target, now) {
            Some(result) => Outcome { target: *target, result },
            None => self.publish_to(version, *target, stop),
        };
        self.settings.to.iter().map(each).collect()
    }

    /// Whether pipeline.toml names no target.
    pub(super) fn is_idle(&self) -> bool {
        self.settings.to.is_empty()
    }

    /// Whether some target has to be asked for this version now.
    pub(super) fn has_due(&self, version: &str) -> bool {
        let (records, now) = (self.records(), self.clock.now());
        self.settings.to.iter().any(|target| records.standing(version, *target, now).is_none())
    }

    /// Publishes a version to one target, whatever was before, and remembers what came of it.
    ///
    /// Blocks; must not be called on a thread of a runtime. Gives up within a second once `stop` is set.
    pub fn publish_to(&self, version: &VersionFiles, target: Target, stop: &AtomicBool) -> Outcome {
        let result = self.attempt(version, target, stop);
        match &result {
            Ok(published) => info!(version = version.name, %target, name = published.name, "published"),
            Err(PublishError::Stopped) => {}
            Err(error) => warn!(version = version.name, %target, %error, "not published"),
        }
        let pauses = (self.settings.backoff.0, self.settings.max_backoff.0);
        let kept = self.records().keep(&version.name, target, &result, pauses, self.clock.now());
        if let Err(error) = kept {
            warn!(%error, "what became of the publication cannot be written down");
        }
        Outcome { target, result }
    }

    fn attempt(
        &self,
        version: &VersionFiles,
        target: Target,
        stop: &AtomicBool,
    ) -> Result<Published, PublishError> {
        if stop.load(Ordering::Relaxed) {
            return Err(PublishError::Stopped);
        }
        let model = version.model_name(self.settings.name.as_deref());
        let persona = Persona::read(&self.settings, &self.memory_db).map_err(|error| {
            PublishError::later(
                format!("the user's profile cannot be read: {error}"),
                "`atles profile` tells more",
            )
        })?;
        match target {
            Target::Folder => {
                crate::platform::make_private_dir(&self.folder)?;
                super::folder::publish(version, &model, &persona, &self.settings, &self.folder, stop)
            }
            Target::Ollama | Target::LlamaServer => self.to_server(version, target, &model, &persona, stop),
        }
    }

    #[cfg(feature = "http")]
    fn to_server(
        &self,
        version: &VersionFiles,
        target: Target,
        model: &str,
        persona: &Persona,
        stop: &AtomicBool,
    ) -> Result<Published, PublishError> {
        let env = |name: &str| std::env::var(name).ok();
        match target {
            Target::LlamaServer => {
                let server = super::llama_server::LlamaServer::new(&self.settings, env)?;
                until_stopped(stop, server.publish(version))
            }
            _ => {
                let ollama = super::ollama::Ollama::new(&self.settings, &self.ollama())?;
                until_stopped(stop, ollama.publish(version, model, persona, stop))
            }
        }
    }

    #[cfg(not(feature = "http"))]
    fn to_server(
        &self,
        _: &VersionFiles,
        target: Target,
        _: &str,
        _: &Persona,
        _: &AtomicBool,
    ) -> Result<Published, PublishError> {
        Err(PublishError::refused(
            format!("this build cannot publish to {target}"),
            "build atles with `--features http`, or publish to a folder",
        ))
    }

    #[cfg(feature = "http")]
    fn ollama(&self) -> String {
        let host = std::env::var("OLLAMA_HOST").ok();
        super::ollama::address(self.settings.ollama.url.as_deref(), host.as_deref())
    }

    /// Whether a whole model is published rather than an adapter, as far as can be told now: what Ollama's version
    /// says where Ollama is a target, what a folder takes where it is the only one.
    pub fn wants_merged(&self, stop: &AtomicBool) -> bool {
        #[cfg(feature = "http")]
        if self.settings.to.contains(&Target::Ollama) {
            let asked = super::ollama::Ollama::new(&self.settings, &self.ollama())
                .and_then(|ollama| until_stopped(stop, async move { ollama.takes_adapters().await }));
            return match asked {
                Ok(takes) => takes == Some(false),
                Err(_) => self.last_was_merged(),
            };
        }
        let _ = stop;
        self.settings.to.contains(&Target::Folder) && !self.settings.to.contains(&Target::LlamaServer)
    }

    #[cfg(feature = "http")]
    fn last_was_merged(&self) -> bool {
        let records = self.records();
        let last = records.all().iter().rev().find_map(|record| match &record.state {
            State::Published { published } if record.target == Target::Ollama => {
                Some(published.form == "merged")
            }
            _ => None,
        });
        last.unwrap_or(false)
    }
}

/// Runs something on a runtime of its own until it is done or a stop is asked for.
#[cfg(feature = "http")]
fn until_stopped<T>(
    stop: &AtomicBool,
    work: impl Future<Output = Result<T, PublishError>>,
) -> Result<T, PublishError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let stopped = async {
            while !stop.load(Ordering::Relaxed) {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            result = work => result,
            () = stopped => Err(PublishError::Stopped),
        }
    });
    // A file that is still being read for a server that is not listened to any more is nobody's business.
    runtime.shutdown_background();
    result
}
