use std::collections::BTreeMap;

use serde::Serialize;

/// Problems that are listed one by one; of more only their number is known.
const LISTED: usize = 1000;

/// What an import came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Files and zip entries that were read.
    pub files: u64,
    /// Conversations found in them.
    pub conversations: u64,
    /// Messages in those that were handed over.
    pub messages: u64,
    /// Conversations handed to the spool; of a dry run those that would be.
    pub imported: u64,
    /// Conversations that an earlier import handed over.
    pub already: u64,
    /// Conversations that ended before `--since`.
    pub older: u64,
    /// What was left out on purpose, and how often.
    pub skipped: BTreeMap<String, u64>,
    /// What could not be read.
    pub problems: Vec<Problem>,
    /// How many problems there were; the first thousand are listed.
    pub problems_total: u64,
}

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file; for a zip with the entry in it.
    pub file: String,
    /// Which conversation of the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<u64>,
    /// Why. Names fields and places, never what was said.
    pub why: String,
}

impl Report {
    pub(super) fn problem(&mut self, file: &str, conversation: Option<u64>, why: impl Into<String>) {
        self.problems_total += 1;
        if self.problems.len() < LISTED {
            self.problems.push(Problem { file: file.to_owned(), conversation, why: why.into() });
        }
    }

    /// Adds a count as decoders write it: `2 conversations without messages`.
    pub(super) fn skip(&mut self, note: &str) {
        let (count, what) = note.split_once(' ').unwrap_or(("1", note));
        let plural = |one: &str| what.strip_prefix(one).map(|rest| format!("{}s {rest}", one.trim_end()));
        let what =
            plural("conversation ").or_else(|| plural("message ")).or_else(|| plural("unknown field "));
        let what = what.unwrap_or_else(|| note.split_once(' ').map_or(note, |(_, what)| what).to_owned());
        *self.skipped.entry(what).or_default() += count.parse::<u64>().unwrap_or(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_and_many_are_counted_together() {
        let mut report = Report::default();
        for note in [
            "1 conversation without messages",
            "2 conversations without messages",
            "1 message that cannot be read",
        ] {
            report.skip(note);
        }
        assert_eq!(report.skipped["conversations without messages"], 3);
        assert_eq!(report.skipped["messages that cannot be read"], 1);
    }
}
