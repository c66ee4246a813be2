//! Byte-level byte-pair encoding.

use std::borrow::Cow;

use aho_corasick::{AhoCorasick, MatchKind};

use super::TokenizerError;
use super::split::Splitter;
use super::vocabulary::Vocabulary;
use crate::training::gguf::Gguf;

/// A base model's tokenizer.
#[derive(Debug)]
pub struct Tokenizer {
    splitter: Splitter,
    vocabulary: Vocabulary,
    /// Byte to the id of its one-letter token.
    letters: Vec<Option<u32>>,
    texts: Vec<String>,
    specials: Option<AhoCorasick>,
}

impl Tokenizer {
    /// The tokenizer of a GGUF file.
    pub fn from_gguf(file: &Gguf) -> Result<Self, TokenizerError> {
        let (splitter, pre) = splitter(file)?;
        let vocabulary = Vocabulary::read(file, pre)?;
        let letters = (0..=255u8)
            .map(|byte| vocabulary.ids.get(letter(byte).encode_utf8(&mut [0; 4]) as &str).copied())
            .collect();
        let mut texts = vec![String::new(); vocabulary.size];
        for (text, id) in &vocabulary.ids {
            if let Some(place) = texts.get_mut(*id as usize) {
                text.clone_into(place);
            }
        }
        let specials = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(vocabulary.specials.iter().map(|special| &special.0))
            .map_err(|error| TokenizerError::Damaged(error.to_string()))?;
        let specials = (!vocabulary.specials.is_empty()).then_some(specials);
        Ok(Tokenizer { splitter, vocabulary, letters, texts, specials })
    }

    /// Whether a file's tokenizer is of a kind that is built in; its vocabulary is not looked at.
    pub fn check(file: &Gguf) -> Result<(), TokenizerError> {
        splitter(file).map(drop)
    }

    /// Tokens in the vocabulary.
    pub fn size(&self) -> usize {
        self.vocabulary.size
    }

    /// The token that begins every text, where the model wants one.
    pub fn bos(&self) -> Option<u32> {
        self.vocabulary.bos.filter(|_| self.vocabulary.adds_bos)
    }

    /// The text of the begin token, for templates.
    pub fn bos_text(&self) -> &str {
        self.vocabulary.bos.map_or("", |id| self.text(id))
    }

    /// The text of the end token, for templates.
    pub fn eos_text(&self) -> &str {
        self.vocabulary.eos.map_or("", |id| self.text(id))
    }

    /// Whether a token ends a turn or the text.
    pub fn ends_turn(&self, id: u32) -> bool {
        self.vocabulary.ends.contains(&id)
    }

    /// Whether the vocabulary has a special token of this text.
    pub fn has_special(&self, text: &str) -> bool {
        self.vocabulary.specials.iter().any(|special| special.0 == text)
    }

    /// The text with a zero-width space inside whatever would read as a token that steers the model.
    pub fn defuse<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut safe = Cow::Borrowed(text);
        let steers = |found: &aho_corasick::Match| {
            self.vocabulary.specials.get(found.pattern().as_usize()).is_some_and(|special| special.2)
        };
        let Some(specials) = &self.specials else { return safe };
        // Breaking one sign may lay bare another that it hid; a few rounds reach the end of that.
        for _ in 0..8 {
            let mut out = String::new();
            let mut from = 0;
            for found in specials.find_iter(&*safe).filter(steers) {
                let first = safe[found.start()..].chars().next().map_or(0, char::len_utf8);
                out.push_str(&safe[from..found.start() + first]);
                out.push('\u{200b}');
                from = found.start() + first;
            }
            if from == 0 {
                break;
            }
            out.push_str(&safe[from..]);
            safe = Cow::Owned(out);
        }
        safe
    }

    fn text(&self, id: u32) -> &str {
        self.texts.get(id as usize).map_or("", String::as_str)
    }

    /// The ids of a text that is nothing but text: what looks like a special token is spelled out.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 3);
        self.plain(text, &mut ids);
        ids
    }

    /// The ids of a rendered template: special tokens are what they say.
    pub fn encode_rendered(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 3);
        let mut from = 0;
        for found in self.specials.iter().flat_map(|specials| specials.find_iter(text)) {
            self.plain(&text[from..found.start()], &mut ids);
            ids.extend(self.vocabulary.specials.get(found.pattern().as_usize()).map(|special| special.1));
            from = found.end();
        }
        self.plain(&text[from..], &mut ids);
        ids
    }

    fn plain(&self, text: &str, ids: &mut Vec<u32>) {
        let mut word = Vec::new();
        self.splitter.pieces(text, |piece| {
            if self.vocabulary.whole_words {
                let spelled: String = piece.bytes().map(letter).collect();
                if let Some(id) = self.vocabulary.ids.get(&spelled) {
                    ids.push(*id);
                    return;
                }
            }
            word.clear();
            word.extend(piece.bytes().filter_map(|byte| self.letters[usize::from(byte)]));
            self.merge(&mut word);
            ids.extend_from_slice(&word);
        });
    }

    /// Merges the pair of lowest rank until none is left. A queue of candidates keeps long pieces linear-logarithmic.
    fn merge(&self, word: &mut Vec<u32>) {
        const GONE: u32 = u32::MAX;
        let length = word.len();
        let merges = &self.vocabulary.merges;
        let mut next: Vec<usize> = (1..=length).collect();
        let mut before: Vec<usize> = (0..length).map(|i| i.wrapping_sub(1)).collect();
        let mut queue = std::collections::BinaryHeap::new();
        let offer = |queue: &mut std::collections::BinaryHeap<_>, word: &[u32], at: usize, right: usize| {
            if let Some((rank, whole)) = word.get(right).and_then(|r| merges.get(&(word[at], *r))) {
                queue.push(std::cmp::Reverse((*rank, at, word[at], word[right], *whole)));
            }
        };
        for at in 0..length {
            offer(&mut queue, word, at, at + 1);
        }
        while let Some(std::cmp::Reverse((_, at, left, right, whole))) = queue.pop() {
            let second = next[at];
            // Stale where either half has been merged away since.
            if word[at] != left || word.get(second) != Some(&right) {
                continue;
            }
            word[at] = whole;
            word[second] = GONE;
            next[at] = next[second];
            if let Some(link) = before.get_mut(next[at]) {
                *link = at;
            }
            offer(&mut queue, word, at, next[at]);
            if let Some(previous) = Some(before[at]).filter(|p| *p < length) {
                offer(&mut queue, word, previous, at);
            }
        }
        word.retain(|id| *id != GONE);
    }
}

fn splitter(file: &Gguf) -> Result<(Splitter, &str), TokenizerError> {
    let model = file.text("tokenizer.ggml.model")?;
    let pre = file.text("tokenizer.ggml.pre").unwrap_or("default");
    let unsupported = || TokenizerError::Unsupported { model: model.to_owned(), pre: pre.to_owned() };
    let splitter = Splitter::named(pre).filter(|_| model == "gpt2").ok_or_else(unsupported)?;
    Ok((splitter, pre))
}

/// Byte-level BPE's letter for a byte: printable Latin-1 as it is, the rest from U+0100 on.
fn letter(byte: u8) -> char {
    match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
        0..=b' ' => char::from_u32(0x100 + u32::from(byte)).unwrap_or(' '),
        0x7f..=0xa0 => char::from_u32(0x121 + u32::from(byte) - 0x7f).unwrap_or(' '),
        0xad => '\u{143}',
    }
}
