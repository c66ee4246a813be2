//! A line of the set without its chat: what counting and choosing need.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Deserialize;

/// The fields of a [`SetLine`](super::SetLine) that tell it from others.
#[derive(Debug, Deserialize)]
pub(crate) struct Outline<'a> {
    #[serde(borrow)]
    pub(crate) identity: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) key: Cow<'a, str>,
    #[cfg_attr(not(feature = "trainer"), expect(dead_code, reason = "only runs are timed by it"))]
    pub(crate) at: i64,
    pub(crate) answers: usize,
}

impl<'a> Outline<'a> {
    /// Reads a line; `None` if it is none of the set's.
    pub(crate) fn of(line: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

/// Enough of a name to tell a million of them apart.
pub(crate) fn short(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}
