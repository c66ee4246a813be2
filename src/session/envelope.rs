use serde::Serialize;
use serde_json::Value;

use super::{Identity, Learned, Session, SessionKey};

/// A session on its way through the chain.
#[derive(Debug)]
pub struct Envelope {
    /// Names the content; every effect is keyed by it.
    pub key: SessionKey,
    /// Names the session across its revisions.
    pub identity: Identity,
    /// The file it came in.
    pub file: FileFacts,
    /// The chat. Stages before the effects may rewrite its texts (redaction does).
    pub session: Session,
    /// What was found so far.
    pub learned: Learned,
    /// What shall be stored if the whole chain succeeds. Nothing is written before that.
    pub effects: Vec<Effect>,
    /// What the stage that just ran says of its work, in a few words with counts and never the chat's text; the
    /// runner moves it to the session log.
    pub note: Option<String>,
    /// The patch that the `exec` or `http` stage that just ran answered with and that was applied; the runner takes
    /// it into the stage's checkpoint, so that a retry need not ask the program again.
    pub patch: Option<Value>,
}

impl Envelope {
    /// A fresh envelope around a decoded session.
    pub fn new(session: Session, file: FileFacts) -> Self {
        Envelope {
            key: SessionKey::of(&session),
            identity: Identity::of(&session),
            file,
            session,
            learned: Learned::default(),
            effects: Vec::new(),
            note: None,
            patch: None,
        }
    }
}

/// What is known of the file a session came in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FileFacts {
    /// Its name in the spool, as text (bytes that are not UTF-8 are replaced).
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// The format it was read as.
    pub format: &'static str,
    /// Position of this session in the file, from 0.
    pub index: usize,
    /// Sessions in the file.
    pub sessions: usize,
}

/// Something a stage promises to store. All effects of a session become durable together, or none does.
#[derive(Debug)]
pub enum Effect {
    /// The session, its turns and what was learned, into memory.db.
    Memory,
    /// Lines of training data, for one file in `training_data/`.
    TrainingData {
        /// The file's content. Empty when the session has no example: those of an earlier revision go all the same.
        lines: String,
        /// How many examples it holds.
        examples: usize,
        /// Hashes by which later near-duplicates are recognised, one an example.
        signatures: Vec<u64>,
    },
    /// A session log, a line in the master log, and the statistics.
    SessionLog,
}
