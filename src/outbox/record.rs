use std::borrow::Cow;

use crate::session::SessionKey;

/// A file, or a line of one, that a session leaves behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// The session. The output counts only if the ledger says that it was learned.
    pub key: SessionKey,
    /// What to write.
    pub output: Output<'a>,
}

/// What to write, and where. Names are made from ids by [`crate::pipeline`] and are plain file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output<'a> {
    /// `logs/NAME`, whole.
    SessionLog {
        /// File name.
        name: Cow<'a, str>,
        /// Content.
        content: Cow<'a, [u8]>,
    },
    /// `training_data/NAME`, whole; an empty content takes the file away (a revision without examples).
    TrainingData {
        /// File name.
        name: Cow<'a, str>,
        /// Content.
        content: Cow<'a, [u8]>,
    },
    /// One line of `logs/master_log.jsonl`, without its end. It carries the session's key.
    MasterLine(Cow<'a, [u8]>),
    /// One line of the training set, without its end: see [`crate::training::set`].
    SetLine(Cow<'a, [u8]>),
}

impl<'a> Record<'a> {
    fn parts(&self) -> (u8, &str, &[u8]) {
        match &self.output {
            Output::SessionLog { name, content } => (1, name, content),
            Output::TrainingData { name, content } => (2, name, content),
            Output::MasterLine(line) => (3, "", line),
            Output::SetLine(line) => (4, "", line),
        }
    }

    /// Appends the record: kind, key, length and bytes of the name, length and bytes of the content.
    pub(super) fn write_to(&self, out: &mut Vec<u8>) {
        let (kind, name, content) = self.parts();
        out.push(kind);
        out.extend_from_slice(&self.key.0);
        for field in [name.as_bytes(), content] {
            out.extend_from_slice(&(field.len() as u64).to_le_bytes());
            out.extend_from_slice(field);
        }
    }

    /// One record at the front of `bytes`, which it refers to; `None` where there is none that is whole.
    pub(super) fn read_from(bytes: &mut &'a [u8]) -> Option<Self> {
        let kind = take(bytes, 1)?[0];
        let key = SessionKey(take(bytes, 32)?.try_into().ok()?);
        let name = Cow::from(str::from_utf8(take_field(bytes)?).ok()?);
        let content = Cow::from(take_field(bytes)?);
        let output = match kind {
            1 => Output::SessionLog { name, content },
            2 => Output::TrainingData { name, content },
            3 => Output::MasterLine(content),
            4 => Output::SetLine(content),
            _ => return None,
        };
        Some(Record { key, output })
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (front, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(front)
}

fn take_field<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u64::from_le_bytes(take(bytes, 8)?.try_into().ok()?);
    take(bytes, usize::try_from(length).ok()?)
}
