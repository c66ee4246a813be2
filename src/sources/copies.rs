//! Messages that stand in several files: forks, resumed chats and subagents carry the history of another.

use super::positions::{Name, Positions};
use crate::session::{Identity, Message, Role, Session};
use crate::state::StateError;

/// Takes out of a session what another session said before it, and notes the rest as its own.
///
/// A copied history is a beginning: it is known by the chain of its messages, at least a question and an answer. Where
/// ids are unique across files (`global_ids`) a copy is known by its id as well, wherever it stands.
pub(super) fn leave_out(
    session: &mut Session,
    positions: &mut Positions,
    global_ids: bool,
) -> Result<(), StateError> {
    let own = name_of(&Identity::of(session).0);
    let chain = chain(session);
    let mut copied = 0;
    for (index, said) in chain.iter().enumerate().skip(1) {
        if !positions.is_of_another(said, &own)? {
            break;
        }
        copied = index + 1;
    }
    let answered = |messages: &[Message]| messages.iter().any(|message| message.role == Role::Assistant);
    if !answered(session.messages.get(..copied).unwrap_or_default()) {
        copied = 0;
    }
    for said in chain.iter().skip(copied) {
        positions.claim(said, &own)?;
    }
    session.messages.drain(..copied.min(session.messages.len()));
    if global_ids {
        let mut kept = Vec::with_capacity(session.messages.len());
        for message in session.messages.drain(..) {
            let id = message.id.as_deref().map(|id| name(&[b"id", id.as_bytes()]));
            match id {
                Some(id) if positions.is_of_another(&id, &own)? => {}
                Some(id) => {
                    positions.claim(&id, &own)?;
                    kept.push(message);
                }
                None => kept.push(message),
            }
        }
        session.messages = kept;
    }
    Ok(())
}

/// For each message a name of all that was said up to it. The program counts, the session does not.
fn chain(session: &Session) -> Vec<Name> {
    let app = session.app.as_deref().unwrap_or_default();
    let user = session.user_id.as_deref().unwrap_or_default();
    let mut before = name(&[b"chain", app.as_bytes(), user.as_bytes()]);
    let mut chain = Vec::with_capacity(session.messages.len());
    for message in &session.messages {
        before = name(&[&before, message.role.as_str().as_bytes(), message.text.as_bytes()]);
        chain.push(before);
    }
    chain
}

fn name(fields: &[&[u8]]) -> Name {
    let mut hash = blake3::Hasher::new();
    for field in fields {
        hash.update(&(field.len() as u64).to_le_bytes());
        hash.update(field);
    }
    name_of(hash.finalize().as_bytes())
}

fn name_of(hash: &[u8; 32]) -> Name {
    hash.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::state::{InMemoryStore, State};

    fn session(id: &str, texts: &[&str]) -> Session {
        let roles = [Role::User, Role::Assistant].into_iter().cycle();
        let messages = roles.zip(texts).map(|(role, text)| Message::new(role, *text)).collect();
        Session { session_id: id.into(), app: Some("codex".into()), messages, ..Session::default() }
    }

    fn left(session: &mut Session, positions: &mut Positions, ids: bool) -> Vec<String> {
        leave_out(session, positions, ids).unwrap();
        session.messages.iter().map(|message| message.text.clone()).collect()
    }

    #[test]
    fn a_copied_history_is_left_out_also_later_and_a_common_greeting_is_not() {
        let mut positions = Positions::new(State::new(Arc::new(InMemoryStore::default())));
        let parent = ["hi", "hello", "I live in Lisbon", "ok"];
        assert_eq!(left(&mut session("parent", &parent), &mut positions, false), parent);
        let forked = ["hi", "hello", "I live in Lisbon", "ok", "and I bake", "nice"];
        assert_eq!(left(&mut session("fork", &forked), &mut positions, false), forked[4..]);
        positions.write().unwrap();
        let grown = [&forked[..], &["bread"]].concat();
        assert_eq!(left(&mut session("fork", &grown), &mut positions, false), grown[4..]);
        let longer = [&parent[..], &["thanks"]].concat();
        assert_eq!(left(&mut session("parent", &longer), &mut positions, false), longer);
        let other = ["hi", "good morning"];
        assert_eq!(left(&mut session("other", &other), &mut positions, false), other);
    }

    #[test]
    fn a_copy_in_the_middle_is_known_by_its_id() {
        let mut positions = Positions::new(State::new(Arc::new(InMemoryStore::default())));
        let with_ids = |id: &str, texts: &[&str]| {
            let mut session = session(id, texts);
            for message in &mut session.messages {
                message.id = Some(format!("id of {}", message.text));
            }
            session
        };
        left(&mut with_ids("first", &["a", "b"]), &mut positions, true);
        assert_eq!(
            left(&mut with_ids("resumed", &["new", "b", "a", "c"]), &mut positions, true),
            ["new", "c"]
        );
    }
}
