//! What the small files of a session are called.

use std::collections::{HashSet, VecDeque};

use crate::session::Envelope;
use crate::state::State;

/// Names given to outputs that may not have reached the ledger yet.
const RECENT_STEMS: usize = 4096;

/// Gives names to the small files of a session.
#[derive(Debug, Default)]
pub(super) struct Stems {
    recent: HashSet<String>,
    order: VecDeque<String>,
}

impl Stems {
    /// `<session>_<yyyymmdd_hhmmss>`, with a piece of the identity where the session's id cannot stand in a file name
    /// as it is, or where the name is taken.
    pub(super) fn give(&mut self, envelope: &Envelope, now: jiff::Timestamp, state: &State) -> String {
        let (id, verbatim) = plain(&envelope.session.session_id);
        let time = now.strftime("%Y%m%d_%H%M%S");
        let identity = &envelope.identity.to_string()[..8];
        let simple = format!("{id}_{time}");
        let taken =
            !verbatim || self.recent.contains(&simple) || state.stem_is_taken(&simple).unwrap_or(true);
        let stem = if taken { format!("{id}-{identity}_{time}") } else { simple };
        self.remember(&stem);
        stem
    }

    fn remember(&mut self, stem: &str) {
        if self.recent.insert(stem.to_owned()) {
            self.order.push_back(stem.to_owned());
        }
        if self.order.len() > RECENT_STEMS
            && let Some(oldest) = self.order.pop_front()
        {
            self.recent.remove(&oldest);
        }
    }
}

/// An id as a plain piece of a file name, and whether it is still the same. It comes from outside, so nothing in it
/// may name a folder or hide the file, and it is cut to 80 bytes.
pub(super) fn plain(id: &str) -> (String, bool) {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut name: String = id.chars().take(80).map(|c| if safe(c) { c } else { '_' }).collect();
    if name.starts_with(['.', '-']) {
        name.replace_range(..1, "_");
    }
    if name.is_empty() {
        name.push_str("session");
    }
    let verbatim = name == id;
    (name, verbatim)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::platform::Clock;
    use crate::session::{FileFacts, Session};
    use crate::state::InMemoryStore;

    #[test]
    fn an_id_never_leads_out_of_its_folder_and_two_sessions_never_share_a_name() {
        let state = State::new(Arc::new(InMemoryStore::default()));
        let mut stems = Stems::default();
        let now = Clock::manual(1_700_000_000_000).0.now();
        let mut give = |id: &str, user: &str| {
            let session = Session { session_id: id.into(), user_id: Some(user.into()), ..Session::default() };
            stems.give(&Envelope::new(session, FileFacts::default()), now, &state)
        };
        assert_eq!(give("chat-7", "a"), "chat-7_20231114_221320");
        let second = give("chat-7", "b");
        assert!(second.starts_with("chat-7-") && second != "chat-7_20231114_221320", "{second}");
        let mut seen = HashSet::new();
        for id in [
            "../../etc/passwd",
            "..\\x",
            ".hidden",
            "-rf",
            "a\0b",
            "a\nb",
            "",
            "ä",
            "~",
            "con:",
            &"x".repeat(10_000),
        ] {
            let stem = give(id, "a");
            assert!(stem.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)), "{stem}");
            assert!(!stem.starts_with(['.', '-']) && stem.len() < 120, "{stem}");
            assert!(seen.insert(stem));
        }
    }
}
