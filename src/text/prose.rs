//! What a person said in a message, apart from what they pasted.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

pub use super::code::code_ranges;
use super::code::{lines, reads_like_code};
pub use super::normal::{Normal, normal};
use super::paste::{paste_start, repeated_speakers, speaker};
use super::trigger::ascii;

/// Quoted speech of more words than this is somebody else's.
const QUOTED_WORDS: usize = 3;
/// Inline code longer than this many bytes parts a sentence; shorter is part of it, as in "I prefer `rg` to grep".
const INLINE_CODE: usize = 40;
/// The same in words.
const INLINE_WORDS: usize = 3;
/// A sentence of more bytes than this was not typed.
const LONGEST: usize = 1_500;
/// Of prose longer than this many bytes only the beginning and the end are the speaker's own; the rest is a paste.
const OWN_PROSE: usize = 12_000;
/// How much at either end.
const OWN_ENDS: usize = 3_000;
/// A line break behind a line shorter than this many bytes ends a sentence.
const WRAPPED: usize = 50;

/// The sentences and clauses of the speaker's own prose as byte ranges, in order and trimmed of blanks, list marks and
/// emphasis.
///
/// Left out: code and pastes ([`code_ranges`]), lines of logs and stack traces, block quotes, quoted speech, copied
/// dialogue, the text behind "translate this:" and the like, and the middle of very long texts. URLs and short inline
/// code stay inside their sentence. Takes time linear in the text.
pub fn sentences(text: &str) -> Vec<Range<usize>> {
    sentences_around(text, &code_ranges(text))
}

/// The same, where it is known already what of the text is code.
pub(crate) fn sentences_around(text: &str, code: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut reader = Reader { text, found: Vec::new() };
    let paste = paste_start(text, code);
    let speakers = repeated_speakers(text);
    let mut parts = code.iter().filter(|part| stands_apart(&text[(*part).clone()])).peekable();
    // The prose gathered over soft line breaks, not yet split.
    let mut open: Option<Range<usize>> = None;
    for line in lines(&text[..paste]) {
        while parts.next_if(|part| part.end <= line.start).is_some() {}
        let words = &text[line.clone()];
        let cut = parts.peek().is_some_and(|part| part.start < line.end);
        if !cut && (not_said(words) || speaker(words).is_some_and(|name| speakers.contains(name))) {
            reader.flush(&mut open);
            continue;
        }
        if !open.as_ref().is_some_and(|open| goes_on(text, open, words)) {
            reader.flush(&mut open);
        }
        if !cut {
            open = Some(open.map_or(line.start, |open| open.start)..line.end);
            continue;
        }
        let mut from = open.take().map_or(line.start, |open| open.start);
        while let Some(part) = parts.peek().filter(|part| part.start < line.end) {
            reader.split(from..part.start.max(from));
            from = part.end.max(from);
            if part.end > line.end {
                break;
            }
            parts.next();
        }
        reader.split(from..line.end.max(from));
    }
    reader.flush(&mut open);
    let mut found = reader.found;
    drop_the_middle(&mut found);
    found
}

/// Whether a sentence asks something: by its mark, or by how it begins.
pub fn is_question(sentence: &str) -> bool {
    let end = sentence.trim_end_matches(['"', '”', '’', '\'', ')', ']', '*', '_', '!', ' ']);
    end.ends_with(['?', '？']) || begins_as_question(sentence)
}

/// Whether a sentence begins as questions do: "what is", "can you".
pub(crate) fn begins_as_question(sentence: &str) -> bool {
    static ASKING: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(&ascii(concat!(
            r"(?i)^(?:(?:and|so|but|ok|okay|hey|hi|well|also|please|then)[,\s]+)*(?:",
            r"(?:what|why|how|where|who|when|which|whose|whom)\s+",
            r"(?:(?:much|many|long|often|far|old|big|well|kind|type|sort|else|exactly|time|day|way|one|ones|of|the|hell)\s+){0,3}",
            r"(?:do|does|did|is|are|am|was|were|can|could|should|would|will|shall|has|have|had|to|about|come|if)\b|",
            r"(?:what|where|who|how|when)['’](?:s|re)\b|",
            r"(?:do|does|did|can|could|would|will|should|shall|is|are|am|was|were|has|have|had|may|might|",
            r"isn['’]t|aren['’]t|don['’]t|doesn['’]t|didn['’]t|can['’]t|couldn['’]t|won['’]t|wouldn['’]t|shouldn['’]t)\s+",
            r"(?:i|you|u|we|they|he|she|it|there|this|that|these|those|the|my|your|anyone|someone|people)\b)",
        ).to_owned()))
        .ok()
    });
    // The pattern is fixed and tested; were it broken, nothing would be a question.
    ASKING.as_ref().is_some_and(|asking| asking.is_match(sentence))
}

/// Whether a piece of code is more than a word of the sentence it stands in.
fn stands_apart(code: &str) -> bool {
    code.len() > INLINE_CODE
        || code.contains('\n')
        || code.split_ascii_whitespace().nth(INLINE_WORDS).is_some()
}

/// Whether nobody said this line: quotes, code, logs, tables.
fn not_said(line: &str) -> bool {
    let start = line.trim_start();
    start.starts_with(['>', '|']) || reads_like_code(line)
}

/// Whether a line continues the sentence begun before it: wrapped text goes on in lower case.
fn goes_on(text: &str, open: &Range<usize>, line: &str) -> bool {
    let before = &text[open.clone()];
    let last = before.rsplit('\n').next().unwrap_or(before).trim_end();
    last.len() >= WRAPPED
        && !last.ends_with(['.', '!', '?', ':', ';'])
        && line.trim_start().starts_with(char::is_lowercase)
}

/// Of a very long text, keeps the sentences near its beginning and its end.
fn drop_the_middle(found: &mut Vec<Range<usize>>) {
    let prose: usize = found.iter().map(Range::len).sum();
    if prose <= OWN_PROSE {
        return;
    }
    let mut before = 0;
    found.retain(|sentence| {
        before += sentence.len();
        before <= OWN_ENDS || before > prose - OWN_ENDS
    });
}

/// The bytes at which a sentence may end or be parted: stops, quotation marks, and what those beyond ASCII begin with.
const MARKS: [bool; 256] = {
    let mut table = [false; 256];
    let marks = b".!?;\"\xC2\xE2\xE3\xEF";
    let mut i = 0;
    while i < marks.len() {
        table[marks[i] as usize] = true;
        i += 1;
    }
    table
};

struct Reader<'a> {
    text: &'a str,
    found: Vec<Range<usize>>,
}

impl Reader<'_> {
    fn flush(&mut self, open: &mut Option<Range<usize>>) {
        if let Some(range) = open.take() {
            self.split(range);
        }
    }

    /// Splits one stretch of prose at the ends of sentences, at semicolons, and around quoted speech.
    fn split(&mut self, range: Range<usize>) {
        let bytes = &self.text.as_bytes()[..range.end];
        let (mut start, mut at) = (range.start, range.start);
        let mut unclosed = [false; 3];
        while let Some(skip) = bytes[at..].iter().position(|byte| MARKS[usize::from(*byte)]) {
            at += skip;
            let byte = bytes[at];
            at = match byte {
                b'.' | b'!' | b'?' => {
                    let end = behind_the_stop(bytes, at);
                    let stops = bytes.get(end).is_none_or(u8::is_ascii_whitespace);
                    if stops && !(byte == b'.' && end == at + 1 && abbreviates(&self.text[start..at])) {
                        self.push(start..end);
                        start = end;
                    }
                    end
                }
                b';' if bytes.get(at + 1).is_none_or(u8::is_ascii_whitespace) => {
                    self.push(start..at);
                    start = at + 1;
                    start
                }
                b'"' | 0xC2 | 0xE2 => match Quotation::at(bytes, at) {
                    Some(quotation) => self.quoted(quotation, at, &mut start, range.end, &mut unclosed),
                    None if bytes[at..].starts_with("…".as_bytes()) => {
                        self.push(start..at + 3);
                        start = at + 3;
                        start
                    }
                    None => at + 1,
                },
                0xE3 | 0xEF
                    if ["。", "！", "？"].iter().any(|stop| bytes[at..].starts_with(stop.as_bytes())) =>
                {
                    self.push(start..at + 3);
                    start = at + 3;
                    start
                }
                _ => at + 1,
            };
        }
        self.push(start..range.end);
    }

    /// Steps over a quotation, and parts the sentence around it if it is speech; gives where to read on.
    fn quoted(
        &mut self,
        quotation: Quotation,
        at: usize,
        start: &mut usize,
        limit: usize,
        unclosed: &mut [bool; 3],
    ) -> usize {
        let inside = at + quotation.open.len();
        if unclosed[quotation.slot] {
            return inside;
        }
        let Some(length) =
            memchr::memmem::find(&self.text.as_bytes()[inside..limit], quotation.close.as_bytes())
        else {
            unclosed[quotation.slot] = true;
            return inside;
        };
        let close = inside + length;
        let behind = close + quotation.close.len();
        if !is_speech(&self.text[inside..close]) {
            return behind;
        }
        self.push(*start..at);
        *start = behind;
        behind
    }

    fn push(&mut self, range: Range<usize>) {
        let words = &self.text[range.clone()];
        let trimmed = words.trim_end();
        let body = without_marks(trimmed);
        let start = range.start + trimmed.len() - body.len();
        if body.len() <= LONGEST && body.contains(char::is_alphanumeric) {
            self.found.push(start..start + body.len());
        }
    }
}

struct Quotation {
    open: &'static str,
    close: &'static str,
    slot: usize,
}

impl Quotation {
    /// The quotation mark that opens at this byte. A straight one opens only in front of a word: `5"` is a length.
    fn at(bytes: &[u8], at: usize) -> Option<Quotation> {
        let rest = &bytes[at..];
        if rest.starts_with(b"\"") {
            let before = at.checked_sub(1).and_then(|i| bytes.get(i));
            let opens = before.is_none_or(|byte| !byte.is_ascii_alphanumeric())
                && rest.get(1).is_some_and(|byte| !byte.is_ascii_whitespace());
            return opens.then_some(Quotation { open: "\"", close: "\"", slot: 0 });
        }
        if rest.starts_with("“".as_bytes()) {
            return Some(Quotation { open: "“", close: "”", slot: 1 });
        }
        rest.starts_with("«".as_bytes()).then_some(Quotation { open: "«", close: "»", slot: 2 })
    }
}

/// Whether quoted words are somebody's speech rather than a title or a term.
fn is_speech(words: &str) -> bool {
    let mut all = words.split_ascii_whitespace();
    let first = all.next().unwrap_or_default();
    matches!(first, "I" | "I'm" | "I’m" | "i" | "My" | "my" | "We") || all.nth(QUOTED_WORDS - 1).is_some()
}

/// Where the marks that end a sentence, and the brackets and quotes that close with it, end.
fn behind_the_stop(bytes: &[u8], at: usize) -> usize {
    let more = bytes[at..].iter().take_while(|byte| b".!?\"')]*_".contains(byte)).count();
    at + more
}

/// Whether a full stop behind these words belongs to an abbreviation, an initial or a list number.
fn abbreviates(before: &str) -> bool {
    let word = before.rsplit([' ', '\n', '\t', '(']).next().unwrap_or(before);
    if word.len() > 6 {
        return false;
    }
    let only = word.len() == before.trim_start().len();
    let mut letters = word.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) if letter.is_uppercase() && letter != 'I' => true,
        (Some(digit), _) if digit.is_ascii_digit() => only && word.bytes().all(|byte| byte.is_ascii_digit()),
        _ => !only && is_abbreviation(word),
    }
}

fn is_abbreviation(word: &str) -> bool {
    let mut small = [0; 6];
    let Some(small) = small.get_mut(..word.len()) else { return false };
    small.copy_from_slice(word.as_bytes());
    small.make_ascii_lowercase();
    match &*small {
        // "no." is "number" only in front of a figure; far more often it is an answer.
        b"no" => word == "No" || word == "NO",
        b"e.g" | b"i.e" | b"eg" | b"ie" | b"mr" | b"mrs" | b"ms" | b"dr" | b"prof" | b"st" | b"vs"
        | b"etc" => true,
        b"approx" | b"nr" | b"jr" | b"sr" | b"fig" | b"a.m" | b"p.m" | b"u.s" | b"cf" => true,
        _ => false,
    }
}

/// Cuts blanks, bullets, list numbers, heading marks, emphasis and dashes off the front.
fn without_marks(words: &str) -> &str {
    let mut rest = words;
    loop {
        let cut = rest.trim_start_matches(|c: char| {
            c.is_whitespace()
                || matches!(
                    c,
                    '-' | '*' | '_' | '#' | '•' | '–' | '—' | ',' | ')' | '"' | '”' | '»' | '·' | '~'
                )
        });
        let digits = cut.bytes().take_while(u8::is_ascii_digit).count();
        let numbered =
            cut[digits..].strip_prefix(['.', ')']).filter(|more| digits > 0 && more.starts_with(' '));
        match numbered {
            Some(more) => rest = more,
            None => return cut,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(text: &str) -> Vec<&str> {
        sentences(text).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn only_what_the_speaker_says_is_a_sentence() {
        for (text, expected) in [
            ("Hi! I like tea. Do you?", vec!["Hi!", "I like tea.", "Do you?"]),
            ("I use vim; Anna uses emacs", vec!["I use vim", "Anna uses emacs"]),
            (
                "I live in St. Gallen, e.g. near Dr. Wu. Ok.",
                vec!["I live in St. Gallen, e.g. near Dr. Wu.", "Ok."],
            ),
            (
                "v1.2 is out. See https://a.b/c?d=e. Fine",
                vec!["v1.2 is out.", "See https://a.b/c?d=e.", "Fine"],
            ),
            ("> I hate this\nI do not.", vec!["I do not."]),
            ("She said \"I really hate all dogs\" again", vec!["She said", "again"]),
            ("I love “The Office” and 5\" screens", vec!["I love “The Office” and 5\" screens"]),
            ("I prefer `rg` to grep\n```\nI hate code\n```\nThanks", vec!["I prefer `rg` to grep", "Thanks"]),
            ("- I eat fish\n- no meat\n1. First of all", vec!["I eat fish", "no meat", "First of all"]),
            (
                "My long line about what I really prefer is wrapped\nat fifty letters or so.\nnext",
                vec!["My long line about what I really prefer is wrapped\nat fifty letters or so.", "next"],
            ),
            ("Translate to German: I love my dog. I hate cats.", vec!["Translate to German:"]),
            (
                "Please proofread this email:\n\nDear Bob,\nI am a nurse.",
                vec!["Please proofread this email:"],
            ),
            (
                "Follow these rules:\n- always answer in French",
                vec!["Follow these rules:", "always answer in French"],
            ),
            (
                "Anna: I love it\nBob: me too\nAnna: I live in Rome\nWhat do they like?",
                vec!["What do they like?"],
            ),
            ("Note: I prefer tea", vec!["Note: I prefer tea"]),
            ("it fails\nERROR: I do not know\n    at f (x.js:1:2)\nwhy?", vec!["it fails", "why?"]),
            ("私は学生です。東京に住んでいます！", vec!["私は学生です。", "東京に住んでいます！"]),
            ("Well… I love it", vec!["Well…", "I love it"]),
            ("", vec![]),
            ("...\n\n---", vec![]),
        ] {
            assert_eq!(said(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_middle_of_a_very_long_text_is_a_paste() {
        let text =
            format!("I live in Rome. {} I love tea.", "The report goes on and on here. ".repeat(1_000));
        let found = said(&text);
        assert_eq!((found.first(), found.last()), (Some(&"I live in Rome."), Some(&"I love tea.")));
        assert!(found.iter().map(|s| s.len()).sum::<usize>() < 2 * OWN_ENDS + 100);
    }

    #[test]
    fn questions_are_told_by_their_mark_or_their_beginning() {
        for text in [
            "Do you like it?",
            "what is rust",
            "how can i do this",
            "can you help me",
            "so why does it fail",
            "is it?”",
        ] {
            assert!(is_question(text), "{text}");
        }
        for text in [
            "Do not use tabs",
            "What I hate is waiting",
            "Have a nice day",
            "I wonder",
            "When I cook I use salt",
        ] {
            assert!(!is_question(text), "{text}");
        }
    }

    /// Were any of this quadratic, the test would run for hours.
    #[test]
    fn megabytes_of_openers_without_closers_are_read_in_linear_time() {
        for piece in
            ["a\"b “c ", "` `` ``` ", "> x\n", "a: b\n", "x. ", "\n    ", "«", "w", "here is the text "]
        {
            let text = piece.repeat(2_000_000 / piece.len());
            assert!(sentences(&text).into_iter().all(|range| text.get(range).is_some()));
        }
    }

    proptest! {
        #[test]
        fn ranges_are_ordered_trimmed_and_on_char_boundaries(
            text in "([a-zA-Z0-9 .!?;:>`~\"'“”«»…。\n\t#*_-]|```|~~~|    |I’m|here is the text:|é|😀){0,60}"
        ) {
            let mut end = 0;
            for range in sentences(&text) {
                prop_assert!(range.start >= end);
                end = range.end;
                let words = text.get(range);
                prop_assert!(words.is_some_and(|words| !words.is_empty() && words.trim() == words));
            }
            let mut end = 0;
            for range in code_ranges(&text) {
                prop_assert!(range.start >= end && text.get(range.clone()).is_some());
                end = range.end;
            }
        }
    }
}
