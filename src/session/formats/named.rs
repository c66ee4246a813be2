use serde_json::{Map, Value};

use super::doc::Doc;

/// A field that programs write under one of several names.
pub(super) struct Named<'a> {
    names: &'static [&'static str],
    found: [Option<Doc<'a>>; 4],
}

impl<'a> Named<'a> {
    /// At most four names, the weightiest first.
    pub(super) fn new(names: &'static [&'static str]) -> Self {
        Named { names, found: [None; 4] }
    }

    /// Takes the value if the key is one of the names. The last of two equal keys stays.
    pub(super) fn take(&mut self, key: &str, value: Doc<'a>) -> bool {
        let Some(at) = self.names.iter().position(|name| *name == key) else { return false };
        match self.found.get_mut(at) {
            Some(slot) => *slot = Some(value),
            None => return false,
        }
        true
    }

    /// The value that counts: under the first name that has one, and null only where all are.
    pub(super) fn first(&self) -> Option<Doc<'a>> {
        self.at().and_then(|at| self.found.get(at).copied().flatten())
    }

    fn at(&self) -> Option<usize> {
        let set = |found: &Option<Doc<'_>>| found.is_some_and(|doc| !doc.is_null());
        self.found.iter().position(set).or_else(|| self.found.iter().position(Option::is_some))
    }

    /// Keeps the values that do not count, under their own names; also the first one, unless it was `used`.
    pub(super) fn keep_rest(&self, extra: &mut Map<String, Value>, used: bool) {
        let first = self.at();
        for (at, (name, found)) in self.names.iter().zip(&self.found).enumerate() {
            let Some(doc) = found else { continue };
            if !doc.is_null() && (Some(at) != first || !used) {
                doc.keep_in(extra, name);
            }
        }
    }
}
