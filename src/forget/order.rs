use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::needle::Needle;
use crate::session::Session;

/// Fewer letters would match almost every turn.
const SHORTEST: usize = 3;
/// More would not fit into a request to the daemon.
const LONGEST: usize = 16 << 10;

/// What shall be forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// What.
    pub what: What,
    /// Only of this user; an empty name is the user of apps that know only one.
    #[serde(default)]
    pub user: Option<String>,
    /// Only tell what would go.
    #[serde(default)]
    pub dry_run: bool,
}

/// The ways to name something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// All revisions of a session, by the chat app's id.
    Session(String),
    /// Every session of a user; an empty name is the user of apps that know only one.
    User(String),
    /// A fact by its number in memory.db, with every turn that states it.
    Fact(i64),
    /// Every turn that holds these words, in whatever case.
    Matching(String),
}

impl What {
    /// The name in receipts.
    pub fn kind(&self) -> &'static str {
        match self {
            What::Session(_) => "session",
            What::User(_) => "user",
            What::Fact(_) => "fact",
            What::Matching(_) => "matching",
        }
    }
}

/// Why an order cannot be carried out as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OrderError {
    /// It would match almost everything.
    #[error("words to match need at least {SHORTEST} letters")]
    TooShort,
    /// It is no passage of a chat.
    #[error("words to match may have at most {LONGEST} bytes")]
    TooLong,
}

impl Order {
    /// Checks what can be checked without looking at the home.
    ///
    /// # Errors
    /// See [`OrderError`].
    pub fn check(&self) -> Result<(), OrderError> {
        let What::Matching(text) = &self.what else { return Ok(()) };
        if text.chars().filter(|letter| !letter.is_whitespace()).count() < SHORTEST {
            return Err(OrderError::TooShort);
        }
        if text.len() > LONGEST { Err(OrderError::TooLong) } else { self.needle().map(drop) }
    }

    /// The words that must stand nowhere afterwards.
    pub(super) fn needle(&self) -> Result<Option<Needle>, OrderError> {
        match &self.what {
            What::Matching(text) => Needle::new(text).map(Some).map_err(|_| OrderError::TooLong),
            _ => Ok(None),
        }
    }

    /// Whether a user's sessions are meant at all.
    pub(super) fn concerns(&self, user_id: Option<&str>) -> bool {
        let is = |name: &str| user_id.unwrap_or_default() == name;
        match &self.what {
            What::User(name) => is(name),
            _ => self.user.as_deref().is_none_or(is),
        }
    }

    /// Whether a session is meant as a whole, by its id and its user.
    pub(super) fn names(&self, session_id: &str, user_id: Option<&str>) -> bool {
        self.concerns(user_id)
            && match &self.what {
                What::User(_) => true,
                What::Session(id) => is_id(session_id, id),
                What::Matching(_) | What::Fact(_) => false,
            }
    }

    /// As [`Order::names`], for a session in a file.
    pub(super) fn means(&self, session: &Session) -> bool {
        self.names(&session.session_id, session.user_id.as_deref())
    }
}

/// Whether an id is the one that is wanted, or that of a chat that reused it and was given one of its own.
fn is_id(id: &str, wanted: &str) -> bool {
    let own = |rest: &str| rest.len() == 9 && rest.starts_with('~') && is_hex(&rest[1..]);
    id == wanted || id.strip_prefix(wanted).is_some_and(own)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_named_by_its_id_also_where_it_reused_another_ones() {
        let order = Order { what: What::Session("s".into()), user: Some("ada".into()), dry_run: false };
        let names = |id: &str| order.names(id, Some("ada"));
        assert!(names("s") && names("s~0012abff"));
        assert!(!names("s2") && !names("s~0012abfg") && !names("s~0012abf") && !names("s~0012äff"));
        assert!(!order.names("s", Some("bob")) && !order.names("s", None));
    }

    #[test]
    fn words_that_would_match_almost_everything_are_refused() {
        let order = |text: &str| Order { what: What::Matching(text.into()), user: None, dry_run: false };
        assert_eq!(order(" a \n").check(), Err(OrderError::TooShort));
        assert_eq!(order("gin").check(), Ok(()));
        assert_eq!(order(&"x".repeat(LONGEST + 1)).check(), Err(OrderError::TooLong));
    }
}
