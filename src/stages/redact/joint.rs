//! Values that were split over messages: looked for across the joint of a speaker's consecutive messages.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::rules::RULES;
use super::scan::{Given, Hit, Redactor};
use super::scope::{Half, Scope};
use super::shape::{first_bytes, last_bytes};
use super::structural::key_body;
use crate::session::{Message, Role};

/// Bytes looked at on either side of a joint, where no single token is longer.
const NEAR: usize = 96;
/// Bytes looked at on either side at most.
const FAR: usize = 4096;
/// Messages one value may be spread over.
const PIECES: usize = 8;

static HEADER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"PRIVATE KEY"));

/// A piece of a message that stands in the joined text.
struct Piece {
    message: usize,
    /// Where the piece begins in its message.
    start: usize,
    /// Its bytes in the joined text.
    joined: Range<usize>,
}

/// The hits that no message holds whole, by message; their placeholders are given, and their halves kept in the scope.
pub(super) fn across(redactor: &Redactor, scope: &mut Scope, messages: &[Message]) -> Vec<Vec<Hit>> {
    let mut hits: Vec<Vec<Hit>> = messages.iter().map(|_| Vec::new()).collect();
    let next = next_of_speaker(messages);
    let mut found = Vec::new();
    for first in 0..messages.len() {
        key_block(redactor, scope, messages, &next, first, &mut hits);
        let Some((text, pieces)) = join(messages, &next, first) else { continue };
        found.clear();
        redactor.scan(&text, &mut found);
        for hit in &found {
            if spans(redactor, messages, &text, &pieces, hit) {
                spread(redactor, scope, messages, &text, &pieces, hit, &mut hits);
            }
        }
    }
    hits
}

/// For each message the next one of the same speaker.
fn next_of_speaker(messages: &[Message]) -> Vec<Option<usize>> {
    let mut last: Vec<(Role, Option<&str>, usize)> = Vec::new();
    let mut next = vec![None; messages.len()];
    for (index, message) in messages.iter().enumerate() {
        let name = message.name.as_deref();
        // A group chat may have many names; one that spoke long ago continues nothing.
        match last.iter_mut().rev().take(16).find(|(role, known, _)| *role == message.role && *known == name)
        {
            Some((_, _, before)) => {
                if let Some(slot) = next.get_mut(*before) {
                    *slot = Some(index);
                }
                *before = index;
            }
            None => last.push((message.role, name, index)),
        }
    }
    next
}

/// Joins the end of a message with the beginning of the next, and so on while a whole message is one token.
fn join(messages: &[Message], next: &[Option<usize>], first: usize) -> Option<(String, Vec<Piece>)> {
    let tail = messages.get(first)?.text.trim_end();
    let mut at = (*next.get(first)?)?;
    if tail.is_empty() {
        return None;
    }
    let token = tail.len() - tail.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let mut text = last_bytes(tail, token.saturating_add(32).clamp(NEAR, FAR)).to_owned();
    let start = tail.len() - text.len();
    let mut pieces = vec![Piece { message: first, start, joined: 0..text.len() }];
    if [" is", " was"].iter().any(|verb| tail.ends_with(verb)) {
        text.push(' ');
    }
    loop {
        let message = &messages.get(at)?.text;
        let head = message.trim();
        let token = head.find(char::is_whitespace).unwrap_or(head.len());
        let head = first_bytes(head, token.clamp(NEAR, FAR));
        let start = message.len() - message.trim_start().len();
        let from = text.len();
        text.push_str(head);
        pieces.push(Piece { message: at, start, joined: from..text.len() });
        let whole = token == message.trim().len() && token <= 512 && !head.is_empty();
        match next.get(at).copied().flatten() {
            Some(further) if whole && pieces.len() < PIECES => at = further,
            _ => return Some((text, pieces)),
        }
    }
}

/// Whether a hit in the joined text needs the joint: it, or the words that gave it away, stand on both sides, and no
/// message gives the value away alone.
fn spans(redactor: &Redactor, messages: &[Message], text: &str, pieces: &[Piece], hit: &Hit) -> bool {
    let (Some(first), Some(second)) = (pieces.first(), pieces.get(1)) else { return false };
    let Some(rule) = RULES.get(hit.rule) else { return false };
    let joint = second.joined.start;
    if hit.from >= first.joined.end || hit.range.end <= joint || matches!(rule.name, "phone" | "ip" | "ssn") {
        return false;
    }
    if hit.range.start >= joint {
        // Only the name of the secret stands before the joint: the answer must be nothing but the secret.
        let whole = messages.get(second.message).map(|message| message.text.trim());
        return hit.range.start == joint && whole == text.get(hit.range.clone());
    }
    let beside = |at: usize, c: char| {
        text.get(..at).is_some_and(|t| t.ends_with(c)) || text.get(at..).is_some_and(|t| t.starts_with(c))
    };
    if rule.name == "email" && !beside(joint, '@') {
        return false;
    }
    // A value that is whole before the joint takes in what follows only if that is no word.
    let Some(before) = text.get(..first.joined.end) else { return false };
    let mut alone = Vec::new();
    redactor.scan(before, &mut alone);
    let whole = alone.iter().any(|own| own.range.start <= hit.range.start && own.range.end == before.len());
    let more = text.get(joint..hit.range.end).unwrap_or_default();
    !whole || (more.len() >= 4 && !plain_word(more))
}

/// A word of prose: letters of one case but for the first, perhaps with a hyphen.
fn plain_word(text: &str) -> bool {
    text.split('-').all(|word| {
        let rest = word.get(1..).unwrap_or_default();
        let lower = rest.bytes().all(|b| b.is_ascii_lowercase());
        word.starts_with(|c: char| c.is_ascii_alphabetic())
            && (lower || word.bytes().all(|b| b.is_ascii_uppercase()))
    })
}

/// Gives a hit of the joined text to the messages it lies in.
fn spread(
    redactor: &Redactor,
    scope: &mut Scope,
    messages: &[Message],
    text: &str,
    pieces: &[Piece],
    hit: &Hit,
    hits: &mut [Vec<Hit>],
) {
    let Some(value) = text.get(hit.range.clone()) else { return };
    let placeholder = scope.placeholder(redactor.named(hit.rule).1, value);
    let mut counts = true;
    for piece in pieces {
        let start = hit.range.start.max(piece.joined.start);
        let end = hit.range.end.min(piece.joined.end);
        if start >= end {
            continue;
        }
        let range = piece.start + start - piece.joined.start..piece.start + end - piece.joined.start;
        give(scope, messages, piece.message, range, hit.rule, &placeholder, counts, hits);
        counts = false;
    }
}

/// A key block that begins in one message and goes on in the next ones of its speaker.
fn key_block(
    redactor: &Redactor,
    scope: &mut Scope,
    messages: &[Message],
    next: &[Option<usize>],
    first: usize,
    hits: &mut [Vec<Hit>],
) {
    let Some(text) = messages.get(first).map(|message| message.text.as_str()) else { return };
    let Some(header) = HEADER.find_iter(text.as_bytes()).last() else { return };
    let Some(rule) = super::rules::position("private_key") else { return };
    let opened = text.get(..header).and_then(|before| before.rfind("-----BEGIN"));
    let opened = opened.filter(|at| text.get(*at..).is_some_and(|block| !block.contains("-----END")));
    let (Some(opened), true) = (opened, redactor.is_on(rule)) else { return };
    let placeholder = scope.placeholder("PRIVATE_KEY", text.get(opened..).unwrap_or_default());
    let mut at = next.get(first).copied().flatten();
    let mut going = false;
    while let Some(message) = at.and_then(|at| messages.get(at)) {
        let here = at.unwrap_or_default();
        let body = message.text.as_str();
        let end = body.find("-----END").and_then(|end| {
            let close = body.get(end + 8..)?.find("-----").map_or(0, |at| at + 5);
            Some(end + 8 + close)
        });
        if end.is_none() && !key_body(body) {
            break;
        }
        going = true;
        let until = end.unwrap_or(body.trim_end().len());
        give(scope, messages, here, 0..until, rule, &placeholder, false, hits);
        if end.is_some() {
            break;
        }
        at = next.get(here).copied().flatten();
    }
    if going {
        give(scope, messages, first, opened..text.trim_end().len(), rule, &placeholder, true, hits);
    }
}

#[expect(clippy::too_many_arguments, reason = "the one place where a half is written down, called from two")]
fn give(
    scope: &mut Scope,
    messages: &[Message],
    message: usize,
    range: Range<usize>,
    rule: usize,
    placeholder: &str,
    counts: bool,
    hits: &mut [Vec<Hit>],
) {
    let (Some(text), Some(hits)) = (messages.get(message).map(|m| m.text.as_str()), hits.get_mut(message))
    else {
        return;
    };
    if let Some(half) = text.get(range.clone()) {
        scope.halves.push(Half {
            text: half.trim().to_owned(),
            ends: text.trim_end().len() <= range.end && range.start > 0,
            of: text.trim().len(),
            placeholder: placeholder.to_owned(),
        });
    }
    let given = Some(Given { placeholder: placeholder.to_owned(), counts });
    hits.push(Hit { from: range.start, range, rule, given });
}
