//! Copied dialogue, and pastes that the speaker announces.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::{memchr, memchr_iter};
use regex::Regex;

use super::code::lines;
use super::trigger::ascii;

/// The speaker of a line of copied dialogue (`Anna: hello`), which must be short and at the start.
pub(super) fn speaker(line: &str) -> Option<&str> {
    let line = line.trim_start_matches([' ', '\t', '*', '_']);
    let colon = memchr(b':', line.as_bytes().get(..30.min(line.len()))?)?;
    let name = line[..colon].trim_end_matches(['*', '_']);
    let spoken = line.as_bytes().get(colon + 1).is_none_or(|byte| matches!(byte, b' ' | b'*' | b'_' | b'\r'));
    (spoken && !name.is_empty() && name.split(' ').count() <= 3).then_some(name)
}

/// Labels that name a speaker even when they stand only once.
const ROLES: &str = "\
    user assistant human ai bot system customer agent interviewer interviewee teacher student doctor \
    patient her him chatgpt q";

/// The labels of the lines of a message.
pub(super) struct Speakers<'a> {
    /// Labels that stand more than once, sorted.
    repeated: Vec<&'a str>,
}

impl Speakers<'_> {
    pub(super) fn contains(&self, name: &str) -> bool {
        // Where somebody speaks twice, every label is a speaker.
        let dialogue = !self.repeated.is_empty() && name.starts_with(char::is_uppercase);
        dialogue
            || self.repeated.binary_search(&name).is_ok()
            || ROLES.split(' ').any(|role| role.eq_ignore_ascii_case(name))
    }
}

pub(super) fn repeated_speakers(text: &str) -> Speakers<'_> {
    let mut names: Vec<&str> = Vec::new();
    if memchr(b':', text.as_bytes()).is_some() {
        names.extend(lines(text).filter_map(|line| speaker(&text[line])));
    }
    names.sort_unstable();
    let mut repeated: Vec<&str> =
        names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    repeated.dedup();
    Speakers { repeated }
}

/// Longest announcement of a paste, in bytes.
const ANNOUNCEMENT: usize = 160;

/// Where a pasted text begins that the speaker announces ("Translate to German: …", "Here is the e-mail:"), or the end
/// of the text.
pub(super) fn paste_start(text: &str, code: &[Range<usize>]) -> usize {
    let bytes = text.as_bytes();
    for colon in memchr_iter(b':', bytes) {
        let behind = bytes.get(colon + 1);
        if behind.is_some_and(|byte| !byte.is_ascii_whitespace() && *byte != b'"' && *byte != 0xE2) {
            continue;
        }
        let mut from = colon.saturating_sub(ANNOUNCEMENT);
        while !text.is_char_boundary(from) {
            from += 1;
        }
        let clause = text[from..colon].rsplit(['.', '!', '?', '\n', ':']).next().unwrap_or_default();
        let place = code.partition_point(|part| part.end <= colon);
        if announces(clause) && code.get(place).is_none_or(|part| part.start > colon) {
            return colon + 1;
        }
    }
    text.len()
}

fn announces(clause: &str) -> bool {
    static ANNOUNCED: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let pattern = concat!(
            r"(?i)\b(?:translat|summari[sz]|proofread|paraphras|rephras|reword|rewrit|spell-?check)",
            r"|\bhow (?:do|can|would|should) (?:you|i|we|one) (?:say|write|pronounce|translate)\b",
            r"|\b(?:edit|fix|correct|improve|review|check|analy[sz]e|explain|shorten|polish|grade|classify|extract|read|",
            r"look at|reply to|respond to|answer|here(?:['’]?s| is| are)|this is|continue|finish|complete|what do you think)\b",
            r".*\b(?:texts?|articles?|e-?mails?|essays?|letters?|story|stories|paragraphs?|messages?|reviews?|passages?|",
            r"transcripts?|posts?|poems?|lyrics|abstract|drafts?|logs?|errors?|output|conversations?|chats?|documents?|",
            r"snippets?|sentences?|bio|resume|cv|paper|speech|tweets?|captions?|monologue|dialogue|script|comments?|",
            r"description|excerpt|quote|prompt|input|tickets?)\b",
        );
        Regex::new(&ascii(pattern.to_owned())).ok()
    });
    ANNOUNCED.as_ref().is_some_and(|announced| announced.is_match(clause))
}
