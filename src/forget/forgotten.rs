use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;

use super::originals::{Fate, Rewritten, emptied, left, rewrite};
use super::receipt::{TurnHash, hex_identity, hex_key, receipts};
use crate::session::formats::Decoded;
use crate::session::{Identity, Message, Session, SessionKey, opening, own_id};
use crate::spool::Home;
use crate::stages::decode::Decode;

/// What was forgotten and shall not come back: read from the receipts, whatever else of the home was lost.
#[derive(Debug)]
pub struct Forgotten {
    keys: HashSet<SessionKey>,
    /// By identity the hashes of the first messages; `None` where any chat of that identity is meant.
    identities: HashMap<Identity, Vec<Option<String>>>,
    turns: HashMap<Identity, HashSet<String>>,
    hash: TurnHash,
}

/// What was found in a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Recognised {
    /// Nothing in it was forgotten.
    Nothing,
    /// Some of it was; this is left of it.
    Some(Vec<u8>),
    /// All of it was; this may stand in its place.
    All(Vec<u8>),
}

/// The one field of a stub.
const STUB: &str = "atles_forgotten_sessions";

impl Forgotten {
    /// Reads the receipts of a home.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn read(home: &Home, home_key: [u8; 32]) -> io::Result<Self> {
        let mut forgotten = Forgotten {
            keys: HashSet::new(),
            identities: HashMap::new(),
            turns: HashMap::new(),
            hash: TurnHash::new(home_key),
        };
        for (_, receipt) in receipts(home)? {
            if receipt.allowed_at.is_some() {
                continue;
            }
            for session in receipt.sessions {
                let Some(identity) = hex_identity(&session.identity) else { continue };
                if session.whole {
                    forgotten.keys.extend(session.keys.iter().filter_map(|key| hex_key(key)));
                    forgotten.identities.entry(identity).or_default().push(session.first);
                } else {
                    forgotten.turns.entry(identity).or_default().extend(session.turns);
                }
            }
        }
        Ok(forgotten)
    }

    /// Whether nothing was ever forgotten.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.identities.is_empty() && self.turns.is_empty()
    }

    /// What becomes of a decoded session.
    fn fate(&self, session: &Session) -> Fate {
        let identities = identities_of(session);
        let first = first_of(session);
        let is_meant =
            |known: &Vec<Option<String>>| known.iter().any(|it| it.as_ref().is_none_or(|it| *it == first));
        if self.keys.contains(&SessionKey::of(session))
            || identities.iter().any(|identity| self.identities.get(identity).is_some_and(is_meant))
        {
            return Fate::Goes;
        }
        let mut emptied = BTreeSet::new();
        for identity in identities {
            let Some(turns) = self.turns.get(&identity) else { continue };
            let goes = |message: &Message| {
                !message.text.is_empty() && turns.contains(&self.hash.of_message(&identity, message))
            };
            let messages = session.messages.iter().enumerate();
            emptied.extend(messages.filter(|(_, message)| goes(message)).map(|(turn, _)| turn));
        }
        if emptied.is_empty() { Fate::Stays } else { Fate::Emptied(emptied) }
    }

    /// Looks whether something in a file was forgotten before.
    pub fn recognise(&self, bytes: &[u8], name: &str, decode: &Decode, decoded: &Decoded) -> Recognised {
        if self.is_empty() {
            return Recognised::Nothing;
        }
        let fates: Vec<Fate> = decoded.sessions.iter().map(|session| self.fate(session)).collect();
        if fates.is_empty() {
            return Recognised::Nothing;
        }
        match rewrite(bytes, name, decode, decoded, &fates, &|_| false) {
            Rewritten::Unchanged => Recognised::Nothing,
            Rewritten::Gone => Recognised::All(stub(decoded)),
            Rewritten::As(left) if left == bytes => Recognised::Nothing,
            Rewritten::As(left) => Recognised::Some(left),
        }
    }

    /// Takes what was forgotten out of a session, or a piece of one. `false` if nothing of it may be known.
    pub fn leave_out(&self, session: &mut Session) -> bool {
        if self.is_empty() {
            return true;
        }
        match self.fate(session) {
            Fate::Stays => true,
            Fate::Goes => false,
            Fate::Emptied(turns) => {
                *session = emptied(session, &turns, &|_| false);
                true
            }
        }
    }

    /// Takes what was forgotten out of a file's sessions; how many sessions went.
    pub fn strip(&self, decoded: &mut Decoded) -> usize {
        if self.is_empty() {
            return 0;
        }
        let fates: Vec<Fate> = decoded.sessions.iter().map(|session| self.fate(session)).collect();
        let before = decoded.sessions.len();
        decoded.sessions = left(decoded, &fates, &|_| false);
        before - decoded.sessions.len()
    }
}

/// What stands in `done/` in place of a file of which everything was forgotten before it came again.
fn stub(decoded: &Decoded) -> Vec<u8> {
    let keys: Vec<String> =
        decoded.sessions.iter().map(|session| SessionKey::of(session).to_string()).collect();
    let stub = serde_json::json!({ STUB: keys });
    [stub.to_string().into_bytes(), b"\n".to_vec()].concat()
}

/// Whether a file is what is left of one that was forgotten.
pub fn is_stub(bytes: &[u8]) -> bool {
    bytes.starts_with(format!("{{\"{STUB}\":").as_bytes())
}

/// Takes everything said out of a message; its place, speaker and time stay.
pub(super) fn empty(message: &mut Message) {
    message.text.clear();
    message.name = None;
    message.metadata.clear();
}

/// Who a session is: as its file says, and as it is called where its id was taken by another chat.
pub(super) fn identities_of(session: &Session) -> [Identity; 2] {
    let own = Session {
        session_id: own_id(&session.session_id, opening(session, 1)),
        user_id: session.user_id.clone(),
        app: session.app.clone(),
        ..Session::default()
    };
    [Identity::of(session), Identity::of(&own)]
}

/// The hash of the first message, in hexadecimal.
pub(super) fn first_of(session: &Session) -> String {
    format!("{:016x}", opening(session, 1))
}
