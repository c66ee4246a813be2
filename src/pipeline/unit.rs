use tokio::sync::oneshot;

use super::original::RewriteOriginal;
use super::standing::Opening;
use crate::memory::Stored;
use crate::outbox::Place;
use crate::platform::Signature;
use crate::session::{Envelope, SessionKey};
use crate::spool::{Claimed, Sidecar};
use crate::stages::session_log::StageRun;
use crate::state::{LearnedRecord, Outcome};

/// A file whose way through the chain is over, to be settled.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) file: Claimed,
    /// The file as it was read; one that was written to since is judged anew.
    pub(super) signature: Signature,
    pub(super) judged: Judged,
    pub(super) reply: oneshot::Sender<Reply>,
}

/// What becomes of a file.
#[derive(Debug)]
pub(super) enum Judged {
    /// Something was learned.
    Learned { sessions: Vec<LearnedSession>, note: String, original: Option<RewriteOriginal> },
    /// It rests in `done/`, and nothing was learned.
    Nothing { outcome: Outcome, note: String, sessions: Vec<SessionKey> },
    /// A dead letter.
    Failed { sidecar: Box<Sidecar>, sessions: Vec<SessionKey> },
}

/// A session that passed the whole chain.
#[derive(Debug)]
pub(super) struct LearnedSession {
    pub(super) envelope: Envelope,
    pub(super) opening: Opening,
    pub(super) replaces: Option<Box<LearnedRecord>>,
    pub(super) stages: Vec<StageRun>,
    /// Filled in by the recorder.
    pub(super) recorded: Recorded,
}

/// What the recorder adds.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    pub(super) stored: Stored,
    pub(super) stem: String,
}

/// What the settler answers.
#[derive(Debug)]
pub(super) enum Reply {
    /// Durable, and moved.
    Settled(Outcome),
    /// The file was written to after it was read; nothing was settled.
    Changed,
    /// Our own storage is in trouble; the file is not to blame.
    Stalled(String),
    /// This file's effects could not be stored.
    Refused { message: String, hint: Option<&'static str> },
}

/// Units whose effects are durable, in the order of the journal.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) units: Vec<Unit>,
    pub(super) batch: Option<Place>,
}
