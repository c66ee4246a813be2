//! The desk as the runs of training know it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tracing::warn;

use super::{BaseModel, Desk, Outcome, PublishError, VersionFiles};
use crate::config::Publish;
use crate::spool::Home;
use crate::training::publisher::{Form, Publication, Publisher};
use crate::training::versions::{Decision, Version, Versions};

impl From<&Version> for VersionFiles {
    fn from(version: &Version) -> Self {
        let base = &version.lineage.base;
        VersionFiles {
            name: version.name.clone(),
            dir: version.folder.clone(),
            adapter: Some(version.adapter()).filter(|path| path.is_file()),
            merged: Some(version.merged()),
            base: BaseModel {
                name: base.name.clone(),
                path: PathBuf::from(&base.path),
                sha256: Some(base.sha256.clone()).filter(|sha256| !sha256.is_empty()),
            },
        }
    }
}

/// Publishes to the targets that pipeline.toml names; nobody where it names none.
pub fn publisher(settings: &Publish, home: &Home) -> Option<Box<dyn Publisher>> {
    (!settings.to.is_empty()).then(|| Box::new(Desk::new(settings, home)) as Box<dyn Publisher>)
}

impl Publisher for Desk {
    fn form(&mut self) -> Form {
        if self.wants_merged(&AtomicBool::new(false)) { Form::Merged } else { Form::Adapter }
    }

    fn publish(&mut self, version: &Version, _: &Home, stop: &Arc<AtomicBool>) -> Publication {
        if let Some(name) = elsewhere(version) {
            return Publication::Published { name };
        }
        if version.tainted {
            let reason = "it was trained on a session that was forgotten since".to_owned();
            return Publication::Failed { reason };
        }
        told(self.publish_where_due(&version.into(), stop))
    }
}

impl Desk {
    /// Publishes the current version where that is due: a server that was away, a version that was promoted by hand.
    /// Asks nobody if nothing is due. Where it is unfit and in use nowhere, the version before is current again. Blocks;
    /// gives up within a second once `stop` is set.
    pub fn catch_up(&self, home: &Home, stop: &AtomicBool) -> Vec<Outcome> {
        if self.is_idle() {
            return Vec::new();
        }
        let versions = Versions::of(home);
        let current = versions.current();
        let Some(version) = current.filter(|version| !version.tainted && elsewhere(version).is_none()) else {
            return Vec::new();
        };
        if !self.has_due(&version.name) {
            return Vec::new();
        }
        let outcomes = self.publish_where_due(&(&version).into(), stop);
        let unfit = outcomes.iter().find_map(|outcome| match &outcome.result {
            Err(error @ PublishError::Unfit { .. }) => Some(error.to_string()),
            _ => None,
        });
        if let Some(reason) = unfit.filter(|_| outcomes.iter().all(|outcome| outcome.result.is_err()))
            && let Err(error) = take_back(&versions, version, &reason)
        {
            warn!(%error, "models/ cannot be written");
        }
        outcomes
    }
}

/// Makes the version before current again.
fn take_back(versions: &Versions, mut version: Version, reason: &str) -> std::io::Result<()> {
    version.metrics.record.decision = Decision::Rejected;
    version.metrics.record.reason = format!("it could not be published: {reason}");
    versions.rewrite_metrics(&version)?;
    let before = versions.before(&version.name).map(|before| before.name);
    warn!(version = version.name, current = before.as_deref().unwrap_or("the base alone"), "taken back");
    versions.set_current(before.as_deref())
}

/// The name of a model that lies on a provider's server, where there is nothing to bring anywhere.
fn elsewhere(version: &Version) -> Option<String> {
    let told = std::fs::read(version.folder.join("elsewhere.json")).ok()?;
    let told: serde_json::Value = serde_json::from_slice(&told).ok()?;
    Some(told.get("model")?.as_str()?.to_owned())
}

/// One answer for all targets: what waits is said before what is done, and a version that is in use somewhere has not
/// failed.
fn told(outcomes: Vec<Outcome>) -> Publication {
    let (mut names, mut later, mut failed) = (Vec::new(), None, None);
    for Outcome { target, result } in outcomes {
        match result {
            Ok(published) => names.push(published.name),
            Err(error @ (PublishError::Later { .. } | PublishError::Stopped)) => {
                later = Some(format!("{target}: {error}"));
            }
            Err(error) => failed = Some(format!("{target}: {error}")),
        }
    }
    match (later, failed) {
        (Some(reason), _) => Publication::Later { reason },
        (None, Some(reason)) if names.is_empty() => Publication::Failed { reason },
        _ => Publication::Published { name: names.join(", ") },
    }
}
