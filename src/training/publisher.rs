//! What a run needs of whoever brings a version to those who chat with it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::spool::Home;
use crate::training::versions::Version;

/// The form in which a version is published, and so the one that the gate measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// The adapter beside the base.
    #[default]
    Adapter,
    /// One whole model.
    Merged,
}

/// What became of a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Publication {
    /// It is there and answers.
    Published {
        /// Under which name, as in `atles-smollm2:v0007`.
        name: String,
    },
    /// Not now, as when a server cannot be reached: it is tried again.
    Later {
        /// Why.
        reason: String,
    },
    /// It cannot be published, or did not answer as it should: the version before stays current.
    Failed {
        /// Why.
        reason: String,
    },
}

/// Someone who publishes. Called after a version was promoted, on the thread of the runs, which may block.
pub trait Publisher: Send {
    /// The form it will want. Asked before the gate; whoever cannot tell (a server that does not answer) says what
    /// it wanted last, or the adapter.
    fn form(&mut self) -> Form;

    /// Publishes a version. The same version may come again; then nothing changes. Gives up soon once `stop` is set.
    fn publish(&mut self, version: &Version, home: &Home, stop: &Arc<AtomicBool>) -> Publication;
}
