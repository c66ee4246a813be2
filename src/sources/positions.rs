use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::tree::key_of;
use crate::platform::Signature;
use crate::session::{Identity, SessionKey};
use crate::state::{State, StateBatch, StateError};

/// What is known of a file of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FilePosition {
    /// The file as it was when it was read.
    pub(super) signature: Signature,
    /// Bytes of it that were read: up to the end of its last whole line.
    pub(super) offset: u64,
    /// Of a database: the time of the last row that was read, as the program writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<String>,
    /// What was odd about it.
    #[serde(default, skip_serializing_if = "Oddity::is_none")]
    pub(super) oddity: Oddity,
}

/// What was odd about a file that was read all the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Oddity {
    /// Lines or rows that were left out.
    pub(super) left_out: u64,
    /// Nothing in it was a conversation that is known.
    pub(super) empty: bool,
}

impl Oddity {
    pub(super) fn is_none(&self) -> bool {
        *self == Oddity::default()
    }
}

/// What was handed over of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Handed {
    key: String,
    /// The source it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
}

/// Who said something first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    session: String,
}

/// A short name of a session or a message.
pub(super) type Name = [u8; 16];

/// The records of the sources in the state store, and those that are to be written next.
pub(super) struct Positions {
    state: State,
    batch: StateBatch,
    owners: HashMap<Name, String>,
    handed: HashMap<Identity, String>,
}

fn hex(name: &Name) -> String {
    name.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn record_key(kind: u8, name: &[u8]) -> Vec<u8> {
    [&[kind], name].concat()
}

impl Positions {
    pub(super) fn new(state: State) -> Self {
        Positions { state, batch: StateBatch::default(), owners: HashMap::new(), handed: HashMap::new() }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn file(&self, path: &Path) -> Result<Option<FilePosition>, StateError> {
        self.state.source(&record_key(b'f', &key_of(path)))
    }

    pub(super) fn put_file(&mut self, path: &Path, position: &FilePosition) {
        self.batch.put_source(&record_key(b'f', &key_of(path)), position);
    }

    /// Whether exactly this was handed over last under the session's identity.
    pub(super) fn is_handed(&self, identity: &Identity, key: &SessionKey) -> Result<bool, StateError> {
        if let Some(handed) = self.handed.get(identity) {
            return Ok(*handed == key.to_string());
        }
        let handed: Option<Handed> = self.state.source(&record_key(b's', &identity.0))?;
        Ok(handed.is_some_and(|handed| handed.key == key.to_string()))
    }

    pub(super) fn put_handed(&mut self, identity: &Identity, key: &SessionKey, source: &Name) {
        self.handed.insert(*identity, key.to_string());
        let record = Handed { key: key.to_string(), source: Some(hex(source)) };
        self.batch.put_source(&record_key(b's', &identity.0), &record);
    }

    /// What was ever handed over from a source, and under which key last.
    pub(super) fn handed_from(&self, source: &Name) -> Result<Vec<(Identity, String)>, StateError> {
        let (own, mut found) = (hex(source), Vec::new());
        self.state.sources(b"s", &mut |name, record: Handed| {
            if let (Ok(identity), true) = (name.try_into(), record.source.as_ref() == Some(&own)) {
                found.push((Identity(identity), record.key));
            }
        })?;
        Ok(found)
    }

    /// Whether something was first said in another session than this.
    pub(super) fn is_of_another(&self, said: &Name, session: &Name) -> Result<bool, StateError> {
        Ok(self.owner(said)?.is_some_and(|owner| owner != hex(session)))
    }

    /// Notes who said something, if nobody did before.
    pub(super) fn claim(&mut self, said: &Name, session: &Name) -> Result<(), StateError> {
        if self.owner(said)?.is_none() {
            self.owners.insert(*said, hex(session));
            self.batch.put_source(&record_key(b'c', said), &Owner { session: hex(session) });
        }
        Ok(())
    }

    fn owner(&self, said: &Name) -> Result<Option<String>, StateError> {
        if let Some(owner) = self.owners.get(said) {
            return Ok(Some(owner.clone()));
        }
        let owner: Option<Owner> = self.state.source(&record_key(b'c', said))?;
        Ok(owner.map(|owner| owner.session))
    }

    /// Writes what was put; durable when this returns.
    pub(super) fn write(&mut self) -> Result<(), StateError> {
        self.owners.clear();
        self.handed.clear();
        self.state.apply(std::mem::take(&mut self.batch))
    }

    /// Forgets what was put and not written.
    pub(super) fn forget(&mut self) {
        self.owners.clear();
        self.handed.clear();
        self.batch = StateBatch::default();
    }
}
