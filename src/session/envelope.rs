use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::{Identity, Learned, Role, Session, SessionKey, SpokenTurn};
use crate::text::reading::Readings;

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
    /// The messages as they were read for the stages so far.
    pub(crate) readings: Readings,
}

impl Envelope {
    /// A fresh envelope around a decoded session.
    pub fn new(session: Session, file: FileFacts) -> Self {
        Envelope {
            key: SessionKey::of(&session),
            identity: Identity::of(&session),
            readings: Readings::new(session.messages.len()),
            file,
            session,
            learned: Learned::default(),
            effects: Vec::new(),
            note: None,
            patch: None,
        }
    }

    /// Forgets how the messages read: a stage has rewritten their texts, or none will look at them any more.
    pub(crate) fn forget_readings(&mut self) {
        self.readings = Readings::new(self.session.messages.len());
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

/// Gives the redacted form of a file's content; `None` if it can be read neither as JSON nor as JSON lines.
pub type Rewrite = Arc<dyn Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync>;

/// Something a stage promises to store. All effects of a session become durable together, or none does.
pub enum Effect {
    /// The session, its turns and what was learned, into memory.db.
    Memory(Keep),
    /// Lines of training data, for one file in `training_data/`.
    TrainingData {
        /// The file's content. Empty when the session has no example: those of an earlier revision go all the same.
        lines: String,
        /// How many examples it holds.
        examples: usize,
        /// Hashes by which later near-duplicates are recognised, one an example.
        signatures: Vec<u64>,
        /// Where in the session the answers of the examples stand, one an example.
        answers: Vec<Range<usize>>,
    },
    /// The session in the training set, in the place of an earlier revision.
    TrainingSet {
        /// The chat, with the answers marked that are worth learning.
        chat: Vec<SpokenTurn>,
    },
    /// A session log, a line in the master log, and the statistics.
    SessionLog(LogFiles),
    /// The file in `done/` shall be what this makes of the dropped one. Of a file with many sessions each asks for
    /// it; the rewrites are applied one after the other.
    RedactedOriginal(Rewrite),
}

/// Which parts of a session memory.db keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// Whose messages keep their text; those of other roles keep only their place and time.
    pub roles: Vec<Role>,
    /// The chat app's notes about the session and its messages.
    pub metadata: bool,
    /// The phrases that stand out.
    pub key_phrases: bool,
}

impl Default for Keep {
    fn default() -> Self {
        Keep { roles: Role::ALL.to_vec(), metadata: true, key_phrases: true }
    }
}

/// Which files tell of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogFiles {
    /// `logs/session_log_<session>_<time>.json`.
    pub per_session: bool,
    /// A line in `logs/master_log.jsonl`.
    pub master: bool,
}

impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::Memory(_) => f.write_str("Memory"),
            Effect::TrainingData { examples, .. } => write!(f, "TrainingData({examples} examples)"),
            Effect::TrainingSet { chat } => write!(f, "TrainingSet({} turns)", chat.len()),
            Effect::SessionLog(_) => f.write_str("SessionLog"),
            Effect::RedactedOriginal(_) => f.write_str("RedactedOriginal"),
        }
    }
}
