use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use thiserror::Error;

use super::context::{Context, prints};
use super::reading::{News, Reading};
use crate::forget::Forgotten;
use crate::memory::provisional::{Ground, Piece, learned_as};
use crate::memory::{MemoryError, Writer};
use crate::pipeline::{Chain, Opening, Standing, judge};
use crate::platform::Clock;
use crate::session::formats::DecodeError;
use crate::session::{Effect, Envelope, FileFacts, Identity, Keep, Session, opening};
use crate::state::{State, StateError};

/// Sessions brought into the full-text index after a piece was stored.
const INDEXED: usize = 16;

/// What looking at chats needs.
pub(super) struct Desk {
    pub(super) chain: Arc<ArcSwap<Chain>>,
    pub(super) state: State,
    pub(super) memory: Writer,
    pub(super) clock: Clock,
    pub(super) forgotten: Arc<Forgotten>,
    pub(super) runtime: tokio::runtime::Handle,
}

/// Why a look came to nothing.
#[derive(Debug, Error)]
pub(super) enum Trouble {
    #[error("the live file cannot be read: {0}")]
    File(#[from] std::io::Error),
    #[error("the live file cannot be followed: {0}")]
    Foreign(String),
    #[error(transparent)]
    Memory(#[from] MemoryError),
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<DecodeError> for Trouble {
    fn from(error: DecodeError) -> Self {
        Trouble::Foreign(error.kind.as_str().to_owned())
    }
}

/// A running chat: what was read of its live file, and what of it stands in memory.db.
pub(super) struct Chat {
    token: String,
    path: PathBuf,
    reading: Reading,
    context: Context,
    /// What the first line says.
    about: Session,
    basis: Basis,
    pieces: Vec<Stored>,
    /// memory.db may hold pieces of this chat that are not among `pieces`.
    stale: bool,
    /// What was read is not stored yet.
    owed: bool,
    /// Nothing of this file can be followed.
    foreign: bool,
}

/// A piece in memory.db: messages `first..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stored {
    row: i64,
    first: usize,
    end: usize,
}

/// How the chat stands to what was learned before.
#[derive(Debug, Clone)]
enum Basis {
    /// Not looked at yet.
    Unknown,
    /// It has something to add.
    On {
        named: Identity,
        /// The ledger's word on `named` when this was looked at.
        entry: Option<u64>,
        /// As which it will be learned: another than `named` where it reuses the id of another chat.
        identity: Identity,
        session_id: String,
        /// Messages that were learned before.
        learned: usize,
        /// The row they have.
        row: Option<i64>,
    },
    /// All that it says was learned before, or it will take the place of something else.
    Nothing { named: Identity, entry: Option<u64> },
}

impl Chat {
    pub(super) fn new(token: &str, path: PathBuf) -> Self {
        Chat {
            token: token.to_owned(),
            path,
            reading: Reading::default(),
            context: Context::default(),
            about: Session::default(),
            basis: Basis::Unknown,
            pieces: Vec::new(),
            stale: true,
            owed: false,
            foreign: false,
        }
    }

    /// Whether something is left to do that no change of the file will announce.
    pub(super) fn is_owing(&self) -> bool {
        self.owed
    }

    /// Whether another session was learned under the chat's identity since it was last looked at.
    pub(super) fn is_outdated(&self, state: &State) -> bool {
        match &self.basis {
            Basis::Unknown => false,
            Basis::On { named, entry, .. } | Basis::Nothing { named, entry } => {
                state.learned(named).is_ok_and(|learned| learned.map(|record| record.entry) != *entry)
            }
        }
    }

    /// Reads what is new, and stores what it says.
    pub(super) fn look(&mut self, desk: &mut Desk) -> Result<(), Trouble> {
        if self.is_outdated(&desk.state) {
            self.begin_again();
        }
        let mut news = self.reading.news(&self.path)?;
        if matches!(self.basis, Basis::Nothing { .. }) && matches!(news, News::Lines { anew: false, .. }) {
            // Whether it has something to add now can only be told from the whole.
            self.begin_again();
            news = self.reading.news(&self.path)?;
        }
        match news {
            News::Nothing => {}
            News::Foreign(why) => return Err(self.foreign(why.to_owned())),
            News::Lines { lines, anew } => {
                if anew {
                    self.forget_what_was_read();
                }
                self.hear(desk, &lines)?;
            }
        }
        if !self.owed || self.foreign || self.context.count == 0 {
            return Ok(());
        }
        self.store(desk)
    }

    fn begin_again(&mut self) {
        self.reading.begin_again();
        self.forget_what_was_read();
        self.owed = true;
    }

    fn forget_what_was_read(&mut self) {
        self.context = Context::default();
        self.basis = Basis::Unknown;
        self.pieces.clear();
        self.stale = true;
        self.foreign = false;
    }

    fn foreign(&mut self, why: String) -> Trouble {
        self.foreign = true;
        Trouble::Foreign(why)
    }

    /// Takes up new lines.
    fn hear(&mut self, desk: &Desk, lines: &[u8]) -> Result<(), Trouble> {
        if self.foreign || lines.trim_ascii().is_empty() {
            return Ok(());
        }
        let bytes = [self.reading.head.as_slice(), lines].concat();
        let decoded = desk.chain.load().decode.decode(&bytes, "live.jsonl");
        let mut sessions = match decoded {
            Ok(decoded) => decoded.sessions,
            Err(error) => {
                self.foreign = true;
                return Err(error.into());
            }
        };
        let (Some(mut session), true) = (sessions.pop(), sessions.is_empty()) else {
            return Err(self.foreign("it holds several sessions".into()));
        };
        if !desk.forgotten.leave_out(&mut session) {
            return Err(self.foreign("it was forgotten".into()));
        }
        let messages = std::mem::take(&mut session.messages);
        if self.context.count == 0 {
            // That of the last message, and the chat goes on.
            session.end_time = None;
            self.about = session;
        }
        self.context.add(messages);
        self.owed = true;
        Ok(())
    }

    /// Stores what is new, and what the new shows in another light.
    fn store(&mut self, desk: &mut Desk) -> Result<(), Trouble> {
        if matches!(self.basis, Basis::Unknown) && !self.find_basis(desk)? {
            return Ok(());
        }
        let Basis::On { identity, ref session_id, learned, row, .. } = self.basis else {
            return self.store_nothing(desk);
        };
        let mut envelope = self.envelope(session_id.clone());
        envelope.identity = identity;
        let Some(keep) = read(desk, &mut envelope) else { return self.store_nothing(desk) };
        if envelope.session.messages.len() != self.context.said.len() {
            return self.store_nothing(desk);
        }
        let prints = prints(&envelope);
        let changed = self.context.first_changed(&prints).unwrap_or(usize::MAX);
        let (kept, gone): (Vec<Stored>, Vec<Stored>) =
            self.pieces.iter().partition(|piece| piece.end <= changed);
        let from = kept.last().map_or(0, |piece| piece.end).max(learned).max(self.context.unbroken_from());

        let mut batch = desk.memory.begin()?;
        if self.stale {
            batch.remove_live(&self.token)?;
        } else {
            batch.remove_pieces(&gone.iter().map(|piece| piece.row).collect::<Vec<_>>())?;
        }
        let mut pieces = kept;
        if from < self.context.count {
            let first = self.context.index_of(from);
            let piece = Piece {
                token: &self.token,
                envelope: &envelope,
                keep: &keep,
                first,
                before: from.saturating_sub(first),
            };
            let ground = Ground { learned: row, pieces: pieces.len() };
            let Some(row) = batch.store_piece(&piece, ground, desk.clock.now())? else {
                batch.rollback()?;
                self.begin_again();
                return Ok(());
            };
            pieces.push(Stored { row, first: from, end: self.context.count });
        }
        batch.commit()?;
        (self.pieces, self.stale, self.owed) = (pieces, false, false);
        self.context.note(&envelope, &prints, from);
        desk.memory.index_some(INDEXED)?;
        Ok(())
    }

    fn store_nothing(&mut self, desk: &mut Desk) -> Result<(), Trouble> {
        if self.stale || !self.pieces.is_empty() {
            remove(desk, &self.token)?;
        }
        self.pieces.clear();
        (self.stale, self.owed) = (false, false);
        Ok(())
    }

    /// Sees how the chat stands to what was learned before. `false` if that is just changing.
    fn find_basis(&mut self, desk: &Desk) -> Result<bool, Trouble> {
        let mut envelope = self.envelope(self.about.session_id.clone());
        let named = envelope.identity;
        let entry = desk.state.learned(&named)?.map(|record| record.entry);
        let opened = Opening::of(&envelope);
        let (learned, key) = match judge(&desk.state, &mut envelope, opened)? {
            Standing::New => (0, None),
            Standing::Revision(record) if opening(&envelope.session, record.messages) == record.all => {
                (record.messages, Some(record.key))
            }
            Standing::Revision(_) | Standing::Duplicate(_) | Standing::Older(_) => {
                self.basis = Basis::Nothing { named, entry };
                return Ok(true);
            }
        };
        let stored = learned_as(desk.memory.connection(), &envelope.identity)?;
        // Memory is written before the ledger: where it knows more, the ledger will in a moment.
        if stored.is_some_and(|(_, stored)| key.as_deref() != Some(stored.to_string().as_str())) {
            return Ok(false);
        }
        self.basis = Basis::On {
            named,
            entry,
            identity: envelope.identity,
            session_id: envelope.session.session_id,
            learned,
            row: stored.map(|(row, _)| row),
        };
        Ok(true)
    }

    /// The chat as far as it is at hand.
    fn envelope(&self, session_id: String) -> Envelope {
        let session = Session { session_id, messages: self.context.messages(), ..self.about.clone() };
        let name = self.path.file_name().map_or_else(String::new, crate::spool::shown);
        let file = FileFacts { name, size: 0, format: "jsonl", index: 0, sessions: 1 };
        Envelope::new(session, file)
    }
}

/// Takes a chat through the chain as if it ended now; what the `memory` stage would keep, if it would keep anything.
fn read(desk: &Desk, envelope: &mut Envelope) -> Option<Keep> {
    let chain = desk.chain.load_full();
    if !desk.runtime.block_on(chain.rehearse(envelope, |_, _| ())) {
        return None;
    }
    let keep = envelope.effects.iter().find_map(|effect| match effect {
        Effect::Memory(keep) => Some(keep.clone()),
        _ => None,
    })?;
    Some(Keep { metadata: false, key_phrases: false, ..keep })
}

/// Removes what memory.db holds of a chat that is over.
pub(super) fn remove(desk: &mut Desk, token: &str) -> Result<usize, MemoryError> {
    let mut batch = desk.memory.begin()?;
    let pieces = batch.remove_live(token)?;
    batch.commit()?;
    Ok(pieces)
}
