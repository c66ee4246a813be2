//! The engine: one pass over what announces values, one over the digits, and the replacing.

use std::borrow::Cow;
use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};
use regex::Regex;

use super::assign;
use super::numbers::{self, Wanted};
use super::rules::{Find, Group, RULES};
use super::scope::{Scope, placeholders};
use super::shape::past_escape;
use crate::text::literals::Literals;

/// Finds and replaces secrets and personal data; built once from the settings, shared by all sessions.
pub struct Redactor {
    anchors: Literals,
    /// For each anchor the rules it belongs to, and whether its case counts.
    owners: Vec<Vec<(usize, bool)>>,
    anchor_texts: Vec<&'static str>,
    wanted: Wanted,
    on: Vec<bool>,
    pub(super) own: Vec<OwnRule>,
    pub(super) allow: Vec<Regex>,
    key: [u8; 32],
}

/// A rule of the user: a `[[stage.rule]]`, or the list of names.
pub(super) struct OwnRule {
    pub name: String,
    pub label: String,
    pub regex: Regex,
}

/// A value to replace.
#[derive(Debug, Clone)]
pub(super) struct Hit {
    pub range: Range<usize>,
    /// Position in [`RULES`]; behind them come the user's.
    pub rule: usize,
    /// Where the words that gave it away begin.
    pub from: usize,
    /// The placeholder, where it is given already: for a value found in two halves, or found before.
    pub given: Option<Given>,
}

/// A placeholder that was given before.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub placeholder: String,
    pub counts: bool,
}

impl Redactor {
    /// Gathers what announces the rules that are on.
    pub(super) fn new(
        on: impl Fn(&str, Group) -> bool,
        own: Vec<OwnRule>,
        allow: Vec<Regex>,
        key: [u8; 32],
    ) -> Self {
        let on: Vec<bool> = RULES.iter().map(|rule| on(rule.name, rule.group)).collect();
        let mut anchor_texts: Vec<&'static str> = Vec::new();
        let mut owners: Vec<Vec<(usize, bool)>> = Vec::new();
        for (position, rule) in
            RULES.iter().enumerate().filter(|(position, _)| on.get(*position) == Some(&true))
        {
            let exact = matches!(rule.find, Find::Token(..));
            for anchor in rule.anchors {
                match anchor_texts.iter().position(|known| known == anchor) {
                    Some(known) => owners[known].push((position, exact)),
                    None => {
                        anchor_texts.push(anchor);
                        owners.push(vec![(position, exact)]);
                    }
                }
            }
        }
        let anchors = Literals::new(&anchor_texts);
        let wanted = Wanted::new(|name| RULES.iter().zip(&on).any(|(rule, on)| *on && rule.name == name));
        Redactor { anchors, owners, anchor_texts, wanted, on, own, allow, key }
    }

    /// What to carry from text to text of one session.
    pub fn scope(&self) -> Scope {
        Scope::new(self.key)
    }

    /// A text with its values replaced by placeholders; borrowed where there is nothing to replace.
    pub fn text<'t>(&self, scope: &mut Scope, text: &'t str) -> Cow<'t, str> {
        scope.reserve(text);
        let mut hits = Vec::new();
        self.scan(text, &mut hits);
        self.replace(scope, text, hits)
    }

    /// The text of a field of structured data, whose name may say that all of it is secret.
    pub fn field<'t>(&self, scope: &mut Scope, name: &str, text: &'t str) -> Cow<'t, str> {
        scope.reserve(text);
        let mut hits = Vec::new();
        self.scan(text, &mut hits);
        if let Some(rule) = assign::field(name, text).and_then(super::rules::position)
            && self.on.get(rule) == Some(&true)
        {
            let start = text.len() - text.trim_start().len();
            hits.push(Hit { range: start..text.trim_end().len(), rule, from: start, given: None });
        }
        self.replace(scope, text, hits)
    }

    /// The placeholder and rule for a number of structured data, told by the field's name to be a person's.
    pub(super) fn number(&self, scope: &mut Scope, name: &str, number: &str) -> Option<String> {
        const NAMES: [&str; 7] = ["phone", "mobile", "card", "ssn", "tel", "fax", "iban"];
        let lower = name.to_ascii_lowercase();
        let told = NAMES.iter().find(|word| lower.contains(**word))?;
        let text = format!("{told}: {number}");
        let redacted = self.text(scope, &text);
        redacted
            .strip_prefix(told)
            .and_then(|rest| rest.strip_prefix(": "))
            .filter(|rest| *rest != number)
            .map(str::to_owned)
    }

    /// Finds everything in a text.
    pub(super) fn scan(&self, text: &str, hits: &mut Vec<Hit>) {
        // Behind these a rule looks on: what it has taken already it is not asked about again.
        let mut spent = [0_usize; RULES.len()];
        let mut seen = Vec::new();
        self.anchors.each(text, |anchor, place| seen.push((anchor, place)));
        // Of two that overlap the first to end is asked first, and of those that end together the longer.
        seen.sort_unstable_by_key(|(_, place)| (place.end, place.start));
        for (number, place) in seen {
            let (Some(owners), Some(anchor)) = (self.owners.get(number), self.anchor_texts.get(number))
            else {
                continue;
            };
            for (position, exact) in owners {
                let (Some(rule), Some(spent)) = (RULES.get(*position), spent.get_mut(*position)) else {
                    continue;
                };
                let as_written = !exact || text.get(place.clone()) == Some(*anchor);
                if as_written
                    && place.start >= *spent
                    && let Some(found) = rule.at(text, place.clone())
                {
                    *spent = found.value.end;
                    hits.push(Hit { range: found.value, rule: *position, from: found.from, given: None });
                }
            }
        }
        numbers::scan(text, &self.wanted, &mut |rule, range| {
            hits.push(Hit { from: range.start, range, rule, given: None });
        });
        for (position, own) in self.own.iter().enumerate() {
            for found in own.regex.captures_iter(text) {
                let Some(value) = found.get(1).or_else(|| found.get(0)).filter(|value| !value.is_empty())
                else {
                    continue;
                };
                let rule = RULES.len() + position;
                hits.push(Hit { range: value.range(), rule, from: value.start(), given: None });
            }
        }
        if !self.allow.is_empty() {
            hits.retain(|hit| {
                text.get(hit.range.clone()).is_some_and(|v| !self.allow.iter().any(|r| r.is_match(v)))
            });
        }
    }

    /// Replaces the hits in a text, and what shows itself only once they are gone.
    pub(super) fn replace<'t>(&self, scope: &mut Scope, text: &'t str, mut hits: Vec<Hit>) -> Cow<'t, str> {
        const ROUNDS: usize = 4;
        let mut out = Cow::Borrowed(text);
        for _ in 0..ROUNDS {
            if !hits.is_empty() {
                keep_placeholders(&out, &mut hits);
            }
            if hits.is_empty() {
                break;
            }
            out = Cow::Owned(self.replace_once(scope, &out, std::mem::take(&mut hits)));
            self.scan(&out, &mut hits);
        }
        out
    }

    fn replace_once(&self, scope: &mut Scope, text: &str, hits: Vec<Hit>) -> String {
        let mut out = String::with_capacity(text.len());
        let mut copied = 0;
        for hit in merge(hits) {
            let (Some(between), Some(value)) =
                (text.get(copied..hit.range.start), text.get(hit.range.clone()))
            else {
                continue;
            };
            let (name, label) = self.named(hit.rule);
            let placeholder = match hit.given {
                Some(ref given) => given.placeholder.clone(),
                None => scope.placeholder(label, value),
            };
            if hit.given.as_ref().is_none_or(|given| given.counts) {
                scope.count(name);
            }
            let by_context = RULES.get(hit.rule).is_some_and(|rule| rule.by_context) && hit.given.is_none();
            if by_context && worth_looking_for(value) {
                scope.echoes.insert(value.to_owned(), (hit.rule, placeholder.clone()));
            }
            out.push_str(between);
            if bare_number(text, &hit.range) {
                out.extend(["\"", &placeholder, "\""]);
            } else {
                out.push_str(&placeholder);
            }
            copied = hit.range.end;
        }
        out.push_str(text.get(copied..).unwrap_or_default());
        out
    }

    /// A rule's name and label.
    pub(super) fn named(&self, rule: usize) -> (&str, &str) {
        match (RULES.get(rule), self.own.get(rule.wrapping_sub(RULES.len()))) {
            (Some(rule), _) => (rule.name, rule.label),
            (None, Some(own)) => (&own.name, &own.label),
            (None, None) => ("redacted", "REDACTED"),
        }
    }

    /// Whether a built-in rule is on.
    pub(super) fn is_on(&self, rule: usize) -> bool {
        self.on.get(rule) == Some(&true)
    }

    /// Replaces secrets that were given away elsewhere in the session where they stand alone.
    pub(super) fn echoes<'t>(&self, scope: &mut Scope, echoes: &Echoes, text: &'t str) -> Cow<'t, str> {
        let bytes = text.as_bytes();
        let word = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_alphanumeric);
        let mut hits = Vec::new();
        for found in echoes.finder.find_iter(text) {
            let Some((rule, placeholder)) = echoes.given.get(found.pattern().as_usize()) else { continue };
            let (start, end) = (found.start(), found.end());
            let joined_left =
                word(start.checked_sub(1)) && word(Some(start)) && past_escape(bytes, start - 1) != start;
            let joined_right = word(end.checked_sub(1)) && word(Some(end));
            if !joined_left && !joined_right {
                let given = Some(Given { placeholder: placeholder.clone(), counts: true });
                hits.push(Hit { range: start..end, rule: *rule, from: start, given });
            }
        }
        self.replace(scope, text, hits)
    }
}

/// Secrets of a session to be looked for wherever they stand.
pub(super) struct Echoes {
    finder: AhoCorasick,
    given: Vec<(usize, String)>,
}

impl Echoes {
    /// Those of a scope; `None` where there are none.
    pub(super) fn of(scope: &Scope) -> Option<Self> {
        if scope.echoes.is_empty() {
            return None;
        }
        let finder =
            AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(scope.echoes.keys()).ok()?;
        Some(Echoes { finder, given: scope.echoes.values().cloned().collect() })
    }
}

/// Whether a secret that its context gave away can be told from ordinary words where it stands alone.
fn worth_looking_for(value: &str) -> bool {
    let odd = value.bytes().any(|b| !b.is_ascii_alphabetic()) && value.bytes().any(|b| !b.is_ascii_digit());
    odd && value.len() >= 6 && value.len() <= 512
}

/// Drops hits that touch a placeholder already in the text, but those that take in much more than it.
fn keep_placeholders(text: &str, hits: &mut Vec<Hit>) {
    let taken: Vec<Range<usize>> = placeholders(text).collect();
    if taken.is_empty() {
        return;
    }
    hits.retain(|hit| {
        let first = taken.partition_point(|placeholder| placeholder.end <= hit.range.start);
        let touches = taken.get(first).is_some_and(|placeholder| placeholder.start < hit.range.end);
        // The label of a placeholder may read like the name of a password.
        let first = taken.partition_point(|placeholder| placeholder.end <= hit.from);
        let named = taken.get(first).is_some_and(|placeholder| placeholder.start <= hit.from);
        let block = RULES.get(hit.rule).is_some_and(|rule| rule.name == "private_key");
        !(touches || named) || block
    });
}

/// Joins hits that overlap, so that nothing of either stays behind; the longest names the whole, and among equals the
/// more specific rule, which stands earlier in the table.
fn merge(mut hits: Vec<Hit>) -> Vec<Hit> {
    hits.sort_by_key(|hit| (hit.range.start, hit.range.end));
    let mut merged: Vec<(Hit, usize)> = Vec::with_capacity(hits.len());
    for hit in hits {
        let length = hit.range.len();
        match merged.last_mut() {
            Some((last, longest)) if hit.range.start < last.range.end => {
                let end = last.range.end.max(hit.range.end);
                let own = |rule: usize| (rule >= RULES.len(), std::cmp::Reverse(rule));
                let rank = |given: bool, length, rule| (given, length, own(rule));
                if rank(hit.given.is_some(), length, hit.rule)
                    > rank(last.given.is_some(), *longest, last.rule)
                {
                    (last.rule, last.given, *longest) = (hit.rule, hit.given, length);
                }
                last.range.end = end;
            }
            _ => merged.push((hit, length)),
        }
    }
    merged.into_iter().map(|(hit, _)| hit).collect()
}

/// Whether the value is a number of JSON or code, which a placeholder without quotes would break.
fn bare_number(text: &str, range: &Range<usize>) -> bool {
    let digits = text.get(range.clone()).is_some_and(|value| value.bytes().all(|b| b.is_ascii_digit()));
    if !digits {
        return false;
    }
    let before = text.get(..range.start).unwrap_or_default();
    let after = text.get(range.end..).unwrap_or_default();
    let lead = before.trim_end_matches([' ', '\t']);
    let tail = after.trim_start_matches([' ', '\t']);
    let json = lead.ends_with("\":") || lead.ends_with("':");
    let code = lead.ends_with('=') && lead.len() < before.len();
    let list = lead.ends_with('[') || (lead.ends_with(',') && tail.starts_with(']'));
    (json || code || list)
        && (tail.is_empty() || tail.starts_with([',', '}', ']', ')', ';', '\n', '\r', '#']))
}
