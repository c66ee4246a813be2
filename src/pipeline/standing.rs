use crate::session::{Envelope, Identity, SessionKey, opening, own_id};
use crate::state::{LearnedRecord, State, StateError};

/// What the ledger says of a decoded session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Never seen.
    New,
    /// Continues, or changes, a session that was learned; takes its place.
    Revision(Box<LearnedRecord>),
    /// Exactly this content was learned, from the named file.
    Duplicate(String),
    /// A longer version of this session was learned, from the named file.
    Older(String),
}

/// How a session begins, by which revisions are told from other chats. Taken before any stage rewrites a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(super) messages: usize,
    pub(super) first: u64,
    pub(super) all: u64,
}

impl Opening {
    pub(crate) fn of(envelope: &Envelope) -> Self {
        let messages = envelope.session.messages.len();
        Opening { messages, first: opening(&envelope.session, 1), all: opening(&envelope.session, messages) }
    }
}

/// Judges a session against what was learned before. A chat that merely reuses another one's id is given an id of
/// its own, so that neither takes the other's place.
///
/// The caller holds the reservation of the session's identity.
pub(crate) fn judge(
    state: &State,
    envelope: &mut Envelope,
    opening: Opening,
) -> Result<Standing, StateError> {
    // The second round is for the id given to a chat that reuses one.
    for _ in 0..2 {
        if let Some(entry) = state.learned_by(&envelope.key)? {
            let file = state.entry(entry)?.map_or_else(String::new, |entry| entry.file);
            if let Some(now) = state.learned(&envelope.identity)?
                && now.key != envelope.key.to_string()
            {
                return Ok(Standing::Older(now.file));
            }
            return Ok(Standing::Duplicate(file));
        }
        let Some(learned) = state.learned(&envelope.identity)? else { return Ok(Standing::New) };
        if [0, opening.first].contains(&learned.first) || learned.messages == 0 {
            return Ok(compare(envelope, learned, opening));
        }
        give_own_id(envelope, opening);
    }
    Ok(Standing::New)
}

/// Gives a chat that reuses the id of another one an id of its own.
pub(super) fn give_own_id(envelope: &mut Envelope, opening: Opening) {
    envelope.session.session_id = own_id(&envelope.session.session_id, opening.first);
    envelope.key = SessionKey::of(&envelope.session);
    envelope.identity = Identity::of(&envelope.session);
}

fn compare(envelope: &Envelope, learned: LearnedRecord, new: Opening) -> Standing {
    let continues =
        new.messages >= learned.messages && opening(&envelope.session, learned.messages) == learned.all;
    if continues || new.messages >= learned.messages {
        Standing::Revision(Box::new(learned))
    } else {
        Standing::Older(learned.file)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::session::{FileFacts, Message, Role, Session};
    use crate::state::{InMemoryStore, LedgerEntry, Outcome, StateBatch};

    fn envelope(texts: &[&str]) -> Envelope {
        let messages = texts.iter().map(|text| Message::new(Role::User, *text)).collect();
        let session = Session { session_id: "s".into(), messages, ..Session::default() };
        Envelope::new(session, FileFacts::default())
    }

    fn judge(state: &State, envelope: &mut Envelope) -> Result<Standing, StateError> {
        let opening = Opening::of(envelope);
        super::judge(state, envelope, opening)
    }

    fn learn(state: &State, envelope: &Envelope, number: u64, file: &str) {
        let opening = Opening::of(envelope);
        let mut batch = StateBatch::default();
        let record = LearnedRecord {
            key: envelope.key.to_string(),
            file: file.into(),
            messages: opening.messages,
            examples: 0,
            first: opening.first,
            all: opening.all,
            stem: "s".into(),
            entry: number,
        };
        batch.put_learned(&envelope.identity, &record);
        let entry = LedgerEntry {
            file: file.into(),
            outcome: Outcome::Learned,
            at: 0,
            note: String::new(),
            sessions: vec![],
            messages: 0,
        };
        batch.put_entry(number, &entry);
        state.apply(batch).unwrap();
    }

    #[test]
    fn the_same_content_a_continuation_a_shorter_version_and_another_chat_are_told_apart() {
        let state = State::new(Arc::new(InMemoryStore::default()));
        let mut first = envelope(&["a", "b"]);
        assert_eq!(judge(&state, &mut first).unwrap(), Standing::New);
        learn(&state, &first, 1, "one.json");

        assert_eq!(
            judge(&state, &mut envelope(&["a", "b"])).unwrap(),
            Standing::Duplicate("one.json".into())
        );
        assert_eq!(judge(&state, &mut envelope(&["a"])).unwrap(), Standing::Older("one.json".into()));
        assert!(matches!(judge(&state, &mut envelope(&["a", "changed"])).unwrap(), Standing::Revision(_)));
        let mut longer = envelope(&["a", "b", "c"]);
        assert!(matches!(judge(&state, &mut longer).unwrap(), Standing::Revision(_)));
        learn(&state, &longer, 2, "two.json");
        assert_eq!(judge(&state, &mut envelope(&["a", "b"])).unwrap(), Standing::Older("two.json".into()));

        let mut other = envelope(&["x", "y"]);
        assert_eq!(judge(&state, &mut other).unwrap(), Standing::New);
        assert_ne!(other.identity, first.identity);
        assert!(other.session.session_id.starts_with("s~"));
        learn(&state, &other, 3, "three.json");
        assert_eq!(
            judge(&state, &mut envelope(&["x", "y"])).unwrap(),
            Standing::Duplicate("three.json".into())
        );
    }
}
