//! A message, read once for all the stages that look at its words.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::prose::{code_ranges, sentences_around};
use super::words::{Run, fold_case, runs};

/// What is found in a message by reading it once. All places are bytes of the message's text.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The text in lower case, every letter at the offset it had.
    pub(crate) lower: String,
    /// The runs of letters and digits in `lower`.
    pub(crate) runs: Vec<Run>,
    /// Where code is.
    pub(crate) code: Vec<Range<usize>>,
    sentences: OnceLock<Vec<Range<usize>>>,
}

impl Reading {
    /// Reads a text.
    pub(crate) fn of(text: &str) -> Self {
        let mut lower = String::with_capacity(text.len());
        fold_case(text, &mut lower);
        Reading { runs: runs(&lower), lower, code: code_ranges(text), sentences: OnceLock::new() }
    }

    /// The [sentences](super::prose::sentences) of the text that was read, which most stages want of users only.
    pub(crate) fn sentences(&self, text: &str) -> &[Range<usize>] {
        self.sentences.get_or_init(|| sentences_around(text, &self.code))
    }
}

/// The readings of a session's messages, made when they are first asked for.
#[derive(Debug, Default)]
pub(crate) struct Readings(Vec<OnceLock<Arc<Reading>>>);

impl Readings {
    /// Room for the readings of so many messages.
    pub(crate) fn new(messages: usize) -> Self {
        Readings(std::iter::repeat_with(OnceLock::new).take(messages).collect())
    }

    /// The reading of a message with this text.
    pub(crate) fn of(&self, message: usize, text: &str) -> Arc<Reading> {
        let fresh = || Arc::new(Reading::of(text));
        match self.0.get(message) {
            Some(slot) => Arc::clone(slot.get_or_init(fresh)),
            None => fresh(),
        }
    }

    /// The reading of a message, if somebody asked for it before.
    pub(crate) fn known(&self, message: usize) -> Option<&Reading> {
        Some(self.0.get(message)?.get()?)
    }
}
