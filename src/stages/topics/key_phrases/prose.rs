//! The words of a turn that were said, rather than pasted, quoted from a screen, or put in place of something.

use std::iter::Peekable;
use std::ops::Range;
use std::slice::Iter;

use super::super::Turn;
use crate::text::word_hash::WordId;
use crate::text::words::Run;

/// So many bytes of one message are looked at; the rest of a longer one is a paste.
const MOST_BYTES: usize = 40_000;
/// A mark such as `[image]` is no longer than this many bytes.
const LONGEST_MARK: usize = 200;

/// A word in a turn.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) range: Range<usize>,
    pub(super) id: WordId,
    /// Whether only a blank stands between it and the word before it.
    pub(super) follows: bool,
    /// Whether it opens a sentence.
    pub(super) opens: bool,
}

/// The words of a turn, in order: without code, addresses, paths, identifiers, numbers and marks in brackets.
pub(super) struct Words<'a> {
    lower: &'a str,
    /// As much of it as is looked at.
    text: &'a [u8],
    runs: Peekable<Iter<'a, Run>>,
    code: Peekable<Iter<'a, Range<usize>>>,
    /// Where the last word ended.
    end: usize,
    /// Nothing before this offset is read.
    free: usize,
    opens: bool,
    /// Whether something was passed over since the last word.
    passed: bool,
}

impl<'a> Words<'a> {
    pub(super) fn of(turn: &'a Turn) -> Self {
        Words {
            lower: turn.lower,
            text: &turn.lower.as_bytes()[..turn.lower.len().min(MOST_BYTES)],
            runs: turn.runs.iter().peekable(),
            code: turn.code.iter().peekable(),
            end: 0,
            free: 0,
            opens: true,
            passed: false,
        }
    }

    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(b'\n')
    }

    /// Looks at what stands between the last word and the next run.
    fn cross(&mut self, start: usize) {
        for at in self.end..start {
            match self.byte(at) {
                b'.' | b'!' | b'?' | b':' | b'\n' => self.opens = true,
                b'[' => self.pass_mark(at, b']'),
                b'<' => self.pass_mark(at, b'>'),
                _ => {}
            }
        }
        if matches!(self.byte(start.wrapping_sub(1)), b'/' | b'\\' | b'@' | b'#' | b'$' | b'=' | b'~') {
            self.pass_chunk(start);
        }
        while let Some(code) = self.code.next_if(|code| code.start <= start) {
            self.free = self.free.max(code.end);
        }
    }

    /// Passes over a bracketed mark or placeholder; a link's text, `[text](address)`, is read.
    fn pass_mark(&mut self, at: usize, close: u8) {
        let within = &self.text[at + 1..self.text.len().min(at + LONGEST_MARK)];
        if let Some(length) = memchr::memchr2(close, b'\n', within)
            && within[length] == close
            && self.byte(at + length + 2) != b'('
        {
            self.free = self.free.max(at + length + 2);
        }
    }

    /// Passes over everything up to the next blank.
    fn pass_chunk(&mut self, at: usize) {
        let rest = &self.text[at..];
        let end = at + rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
        self.opens |= matches!(self.byte(end - 1), b'.' | b'!' | b'?' | b':');
        self.free = self.free.max(end);
    }

    /// The end of a word that begins with a run: apostrophes and hyphens join it to the next one.
    fn join(&mut self, mut end: usize) -> usize {
        loop {
            let joint = match self.byte(end) {
                b'\'' | b'-' => 1,
                0xE2 if self.text[end..].starts_with("’".as_bytes()) => 3,
                _ => return end,
            };
            let next = |run: &&Run| run.range().start == end + joint && run.range().end <= self.text.len();
            match self.runs.next_if(next) {
                Some(run) => end = run.range().end,
                None => return end,
            }
        }
    }

    /// Whether an address, a path or an identifier goes on behind a word.
    fn goes_on(&self, end: usize) -> bool {
        match self.byte(end) {
            b'/' | b'\\' | b'@' | b'=' | b'(' | b'{' | b'<' | b'$' => true,
            b'.' | b':' => !self.byte(end + 1).is_ascii_whitespace(),
            _ => false,
        }
    }
}

impl Words<'_> {
    /// Calls back with each word.
    #[inline]
    pub(super) fn each(mut self, mut found: impl FnMut(Word)) {
        while let Some(next) = self.runs.next() {
            let run = next.range();
            if run.end > self.text.len() {
                return;
            }
            let near = run.start == self.end + 1 && self.byte(self.end) == b' ';
            if !near || self.code.peek().is_some_and(|code| code.start <= run.start) {
                self.passed = true;
                if run.start >= self.free {
                    self.cross(run.start);
                }
            }
            self.end = run.end;
            if run.start < self.free {
                continue;
            }
            // Most words are followed by a blank, and nothing else need be looked at.
            if self.byte(run.end) != b' ' && self.is_cut_short(run.end) {
                continue;
            }
            let range = run.start..self.end;
            found(Word {
                id: if self.end == run.end { next.id } else { WordId::within(self.lower, &range) },
                range,
                follows: !std::mem::take(&mut self.passed),
                opens: std::mem::take(&mut self.opens),
            });
        }
    }

    /// Reads on behind a run to the end of its word. Whether it is no word, but an address, a path or an identifier,
    /// which is passed over.
    fn is_cut_short(&mut self, end: usize) -> bool {
        self.end = self.join(end);
        let goes_on = self.goes_on(self.end);
        if goes_on {
            self.pass_chunk(self.end);
            self.passed = true;
        }
        goes_on
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{read, turns};
    use crate::session::{Message, Role, Session};
    use crate::text::reading::Readings;

    use super::*;

    /// The words that follow each other with nothing but blanks between them.
    fn phrases(text: &str) -> Vec<String> {
        let session = Session { messages: vec![Message::new(Role::User, text)], ..Session::default() };
        let readings = read(&session, &Readings::default());
        let mut phrases: Vec<String> = Vec::new();
        Words::of(&turns(&session, &readings)[0]).each(|word| {
            let word_text = &readings[0].lower[word.range];
            match phrases.last_mut().filter(|_| word.follows) {
                Some(phrase) => *phrase = format!("{phrase} {word_text}"),
                None => phrases.push(word_text.to_owned()),
            }
        });
        phrases
    }

    #[test]
    fn words_are_parted_by_punctuation_and_what_was_not_said_is_left_out() {
        for (text, expected) in [
            ("the follow-up, don’t wait", vec!["the follow-up", "don’t wait"]),
            ("see https://example.com/a-b?c=d now", vec!["see", "now"]),
            ("mail bob.b@example.com or call", vec!["mail", "or call"]),
            ("mail <EMAIL_1> or [image] here", vec!["mail", "or", "here"]),
            ("in src/main.rs and f(x) too", vec!["in", "and", "too"]),
            ("a [link text](http://x.y/z) b", vec!["a", "link text", "b"]),
            ("**bold words** and #tag it", vec!["bold words", "and", "it"]),
            ("run `let x = 1` twice\n```\ncode here\n```\nend", vec!["run", "twice", "end"]),
            ("Über Straße. Next\nline", vec!["über straße", "next", "line"]),
            ("[ [ < < unclosed", vec!["unclosed"]),
            ("ends with path/", vec!["ends with"]),
        ] {
            assert_eq!(phrases(text), expected, "{text}");
        }
    }

    #[test]
    fn a_capital_counts_only_inside_a_sentence_so_its_first_word_is_told_apart() {
        let session = Session {
            messages: vec![Message::new(Role::User, "One two. Three (see x.y) four? Five")],
            ..Session::default()
        };
        let readings = read(&session, &Readings::default());
        let turns = turns(&session, &readings);
        let mut first = Vec::new();
        Words::of(&turns[0]).each(|word| first.extend(word.opens.then(|| &readings[0].lower[word.range])));
        assert_eq!(first, ["one", "three", "five"]);
    }
}
