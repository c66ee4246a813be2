use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Order;
use crate::memory::forget::Removed;
use crate::platform;
use crate::session::{Identity, Message, SessionKey};
use crate::spool::Home;

/// What was forgotten, where and when: counts and hashes, never words, ids or names.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Receipt {
    /// `forget-<time>-<hash>`, also the name of its file.
    pub id: String,
    /// `session`, `user`, `fact` or `matching`.
    pub what: String,
    /// Hash of what was named, keyed with the home's key: whoever has the home can tell whether it was this.
    pub hash: String,
    /// When it was asked for, RFC 3339.
    pub asked_at: String,
    /// When the last step was done.
    pub completed_at: Option<String>,
    /// Whether every part of the home was cleaned, and the words were looked for in vain.
    pub complete: bool,
    /// When somebody allowed what was forgotten to be learned again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_at: Option<String>,
    /// The sessions, or what is known of those that lost turns.
    pub sessions: Vec<SessionGone>,
    /// What went from memory.db.
    pub memory: Removed,
    /// What else went, by place: `done deleted`, `training lines`, `log lines`, …
    pub elsewhere: BTreeMap<String, u64>,
    /// The files that were deleted or written anew, as they were.
    pub files: Vec<FileGone>,
    /// Model versions that were trained on a forgotten session.
    pub tainted: Vec<String>,
    /// Files in which the words still stand; paths below the home.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
}

/// A session of which something was forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionGone {
    /// Its identity in hexadecimal.
    pub identity: String,
    /// Keys it had, in hexadecimal.
    pub keys: Vec<String>,
    /// Hash of its first message, by which another chat under the same id is told from it; absent where its file was
    /// gone already.
    pub first: Option<String>,
    /// Whether all of it is forgotten.
    pub whole: bool,
    /// Keyed hashes of the turns that are forgotten, where the session stays.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub turns: Vec<String>,
}

/// A file that was deleted or written anew.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileGone {
    /// `done`, `failed`, `work`, `spool`, `training_data`, …
    pub folder: String,
    /// BLAKE3 of its content before, hexadecimal.
    pub blake3: String,
    /// Bytes it had.
    pub bytes: u64,
    /// Whether something of it is left.
    pub rewritten: bool,
}

impl FileGone {
    pub(super) fn of(folder: &str, content: &[u8], rewritten: bool) -> Self {
        let blake3 = blake3::hash(content).to_hex().to_string();
        FileGone { folder: folder.to_owned(), blake3, bytes: content.len() as u64, rewritten }
    }
}

/// A line of [`Receipt::elsewhere`].
pub type Count<'a> = (&'a str, u64);

impl Receipt {
    /// A receipt for an order, before anything is done.
    pub(super) fn begin(order: &Order, key: &[u8; 32], now: jiff::Timestamp) -> Self {
        let hash =
            keyed(key, "order", &[&serde_json::to_string(&(&order.what, &order.user)).unwrap_or_default()]);
        Receipt {
            id: format!("forget-{}-{}", now.strftime("%Y%m%dT%H%M%SZ"), &hash[..8]),
            what: order.what.kind().to_owned(),
            hash,
            asked_at: now.to_string(),
            ..Receipt::default()
        }
    }

    pub(super) fn count(&mut self, what: &str, number: u64) {
        if number > 0 {
            *self.elsewhere.entry(what.to_owned()).or_default() += number;
        }
    }

    /// Writes it durably to `receipts/`.
    pub(super) fn write(&self, home: &Home) -> io::Result<()> {
        platform::make_private_dir(&home.receipts())?;
        replace(&home.receipts().join(format!("{}.json", self.id)), &serde_json::to_vec_pretty(self)?)
    }
}

/// Writes a small file so that a reader sees the old content or the new, and it is on stable storage.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".tmp");
    let aside = dir.join(name);
    let mut file = platform::create_private(&aside)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&aside, path)?;
    platform::sync_dir(dir)
}

/// The receipts of a home, oldest first. One that cannot be read is an error: it may be what keeps a chat forgotten.
///
/// # Errors
/// A folder or file that cannot be read.
pub fn receipts(home: &Home) -> io::Result<Vec<(PathBuf, Receipt)>> {
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(home.receipts()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with("forget-") || !name.ends_with(".json") {
            continue;
        }
        let receipt = serde_json::from_slice(&std::fs::read(&path)?)
            .map_err(|error| io::Error::other(format!("{name}: {error}")))?;
        found.push((path, receipt));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

/// A keyed hash of some fields, in 32 hexadecimal digits.
fn keyed(key: &[u8; 32], domain: &str, fields: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for field in std::iter::once(&domain).chain(fields) {
        hasher.update(&(field.len() as u64).to_le_bytes());
        hasher.update(field.as_bytes());
    }
    hasher.finalize().to_hex().as_str()[..32].to_owned()
}

/// The hash by which a forgotten turn is known again.
#[derive(Debug, Clone, Copy)]
pub struct TurnHash([u8; 32]);

impl TurnHash {
    /// With the home's key: words that many people say cannot be guessed from it elsewhere.
    pub fn new(home_key: [u8; 32]) -> Self {
        TurnHash(home_key)
    }

    pub(super) fn of(&self, identity: &Identity, role: &str, text: &str) -> String {
        keyed(&self.0, "turn", &[&identity.to_string(), role, text])
    }

    pub(super) fn of_message(&self, identity: &Identity, message: &Message) -> String {
        self.of(identity, message.role.as_str(), &message.text)
    }
}

pub(super) fn hex_key(text: &str) -> Option<SessionKey> {
    hex32(text).map(SessionKey)
}

pub(super) fn hex_identity(text: &str) -> Option<Identity> {
    hex32(text).map(Identity)
}

fn hex32(text: &str) -> Option<[u8; 32]> {
    Some(*blake3::Hash::from_hex(text).ok()?.as_bytes())
}
