//! The tools that people use, from the list of known ones and from what is written like one.

use super::value::{ENDING, Read, Written};
use super::words::TOOLS;
use crate::text::phrase::listed;

/// What is believed to be a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Belief {
    /// Those of the list, and what is written with a capital.
    Capital,
    /// Those of the list.
    Known,
    /// Phones and computers of the list.
    Device,
}

impl Written<'_> {
    /// The tools that an enumeration begins with.
    pub(super) fn tools(&self, belief: Belief, switched: bool) -> Vec<Read> {
        let mut found = Vec::new();
        let mut at = 0;
        loop {
            let rest = &self.even[at..];
            let lead = ["an ", "a ", "the ", "my ", "both ", "mostly ", "mainly ", "plain ", "my trusty "]
                .iter()
                .find(|lead| rest.starts_with(**lead))
                .map_or(0, |lead| lead.len());
            let Some((length, category)) =
                self.tool(at + lead, belief != Belief::Capital || lead > 0, switched)
            else {
                break;
            };
            let start = at + lead;
            let held = category.is_some_and(|category| matches!(category, "phone" | "computer"));
            // "a Python script" is no Python, "an Android phone" is one.
            if (lead > 1 && !closes_a_thing(&self.even[start + length..]))
                || (belief == Belief::Device && !held)
            {
                break;
            }
            found.push(Read {
                class: Some(category.map(|category| format!(".{category}")).unwrap_or_default()),
                ..Read::plain(self.at + start..self.at + start + length)
            });
            let behind = &self.even[start + length..];
            let joint = [", and ", ", ", " and ", " + ", " with ", " & "]
                .iter()
                .find(|joint| behind.starts_with(**joint));
            match joint {
                Some(joint) => at = start + length + joint.len(),
                None => break,
            }
        }
        found
    }

    /// The tool at an offset: its length with a version behind it, and its category if it is known.
    fn tool(&self, at: usize, only_known: bool, surely: bool) -> Option<(usize, Option<&'static str>)> {
        let rest = self.even.get(at..)?;
        let known = TOOLS
            .iter()
            .flat_map(|(category, tools)| tools.split_ascii_whitespace().map(move |tool| (*category, tool)))
            .filter(|(_, tool)| names(rest, tool))
            // A lower-case word of one or two letters, or an everyday word, is a tool only where it is written as one.
            .filter(|(_, tool)| {
                (tool.len() > 2 && !listed(EVERYDAY, tool)) || surely || self.capital(at) || self.casual()
            })
            .max_by_key(|(_, tool)| tool.len());
        let first = rest.split_whitespace().next()?;
        let core = first.trim_end_matches(|c: char| !(c.is_alphanumeric() || matches!(c, '+' | '#')));
        let (length, category) = match known {
            Some((category, tool)) => (tool.len(), Some(category)),
            None if only_known
                || !self.capital(at)
                || core.len() < 2
                || listed(NO_TOOLS, core)
                || core.contains(['<', '{', '(', '`']) =>
            {
                return None;
            }
            None => (core.len(), None),
        };
        // "PostgreSQL 15", "Fedora 40", "Pixel 8 Pro".
        let behind = &rest[length..];
        let version =
            behind.strip_prefix(' ').and_then(|more| more.split_whitespace().next()).map_or(0, |word| {
                let word = word.trim_end_matches([',', '.', '!', ';', ')']);
                let numeric = word.starts_with(|c: char| c.is_ascii_digit()) && word.len() < 8;
                if numeric || matches!(word, "pro" | "max" | "lts") { word.len() + 1 } else { 0 }
            });
        Some((length + version, category))
    }
}

/// Whether a text begins with what can be nothing but a tool.
pub(super) fn is_a_tool(text: &str) -> bool {
    let all = TOOLS.iter().flat_map(|(_, tools)| tools.split_ascii_whitespace());
    all.into_iter().any(|tool| tool.len() > 2 && !listed(EVERYDAY, tool) && names(text, tool))
}

/// Whether a text begins with a tool of the list, as a word of its own.
fn names(text: &str, tool: &str) -> bool {
    let same = text.len() >= tool.len()
        && text.bytes().zip(tool.bytes()).all(|(a, b)| a == b || (b == b'_' && matches!(a, b' ' | b'-')));
    same && text[tool.len()..]
        .chars()
        .next()
        .is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '_' | '+' | '#' | '/' | '(' | '=')))
        && !text[tool.len()..].starts_with("-")
}

/// Tools whose names are everyday words.
const EVERYDAY: &str = "\
    go rust swift ruby scala julia dart word edge opera brave arc fish express spring rocket phoenix electron node \
    jest linear signal teams zoom slack canva surface pixel galaxy rider clion cursor zed nano eclipse helix atom \
    alpine mint nix nim zig sketch reaper premiere safari chrome bash caddy bun deno rails unity unreal flask react \
    vue angular android windows git mac excel access outlook discord";

/// Capitalised words behind "I use" that are no tools.
const NO_TOOLS: &str = "\
    i it this that these those them my your the a an to for when if what which all both some any one two english german \
    french spanish he she they we you monday tuesday wednesday thursday friday saturday sunday json api apis ui css html \
    ai id ids url urls csv xml pdf ok";

/// Whether nothing follows that an article could belong to instead.
fn closes_a_thing(behind: &str) -> bool {
    let word = behind.split_whitespace().next().unwrap_or_default();
    let core = word.trim_end_matches(|c: char| !c.is_alphanumeric());
    !behind.starts_with(' ')
        || listed(ENDING, core)
        || listed(
            "phone tablet laptop computer machine desktop device distro editor shell to as in of now",
            core,
        )
}
