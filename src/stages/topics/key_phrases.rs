//! Phrases of one to three words that stand out in one session, without a background of other texts.
//!
//! As in YAKE, a word is worth more the more often it comes and the more messages it comes in, the fewer different
//! neighbours it has, and if it is written with a capital inside a sentence. Candidates, as in RAKE, are runs of words
//! between stop words and punctuation. What comes only once does not stand out.

mod prose;

use std::ops::Range;

use super::Turn;
use crate::session::KeyPhrase;
use crate::text::stop_words::is_stop_word;
use crate::text::word_hash::{WordId, WordMap};
use prose::Words;

/// So many words of a session are looked at.
const MOST_WORDS: usize = 20_000;
/// Longest word, in bytes: longer ones are hashes and the like.
const LONGEST: usize = 32;
/// Words that are found again without a search.
const RECENT: usize = 512;
/// Stands between two words that are not neighbours.
const GAP: u32 = u32::MAX;

/// The phrases that stand out, best first; the best has the score 1.
pub(super) fn key_phrases(turns: &[Turn], most: usize) -> Vec<KeyPhrase> {
    let mut reader = Reader::of(turns);
    turns.iter().take_while(|turn| reader.read(turn)).for_each(drop);
    let phrases = reader.phrases();
    reader.best(phrases, most)
}

/// A different word of the session.
struct Word<'a> {
    text: &'a str,
    count: u32,
    /// Times it had a capital inside a sentence.
    capitals: u32,
    messages: u32,
    last_message: Option<usize>,
    by_user: bool,
    /// Different words right before it and right behind it.
    neighbours: u32,
}

/// Up to three words that follow each other, as indices of [`Word`]s.
struct Phrase {
    words: [u32; 3],
    length: usize,
    count: u32,
}

impl Phrase {
    fn new(words: &[u32], count: u32) -> Self {
        let mut all = [GAP; 3];
        all.iter_mut().zip(words).for_each(|(slot, word)| *slot = *word);
        Phrase { words: all, length: words.len().min(3), count }
    }

    fn words(&self) -> &[u32] {
        &self.words[..self.length]
    }
}

/// Reads the turns word by word.
struct Reader<'a> {
    /// Each word met, and what it is: the index of a [`Word`], or [`GAP`] where it cannot be part of a phrase.
    known: WordMap<u32>,
    /// Those met last, by some bits of their names: most words of a text come again soon, and need no search.
    recent: Vec<(WordId, u32)>,
    words: Vec<Word<'a>>,
    /// The words that may be part of a phrase, in order; [`GAP`] where something stands between two of them.
    run: Vec<u32>,
    turns: usize,
}

impl<'a> Reader<'a> {
    /// A reader that passes over the names of those who speak.
    fn of(turns: &'a [Turn]) -> Self {
        let mut reader = Reader {
            known: WordMap::default(),
            recent: vec![(WordId::of(""), GAP); RECENT],
            words: Vec::new(),
            run: Vec::new(),
            turns: 0,
        };
        let names = turns.iter().filter_map(|turn| turn.name.as_deref());
        reader.known.extend(names.flat_map(str::split_whitespace).map(|name| (WordId::of(name), GAP)));
        let runs: usize = turns.iter().map(|turn| turn.runs.len()).sum();
        reader.known.reserve((runs / 2).min(4096));
        reader.run.reserve(runs.min(MOST_WORDS));
        reader
    }

    /// Reads a turn, without its code; `false` where enough has been read.
    fn read(&mut self, turn: &Turn<'a>) -> bool {
        Words::of(turn).each(|word| {
            if !word.follows {
                self.gap();
            }
            let id = self.word(turn.lower, &word.range, word.id);
            let Some(known) = self.words.get_mut(id as usize) else {
                return self.gap();
            };
            known.count += 1;
            known.capitals += u32::from(!word.opens && has_capital(turn.written, word.range.start));
            known.by_user |= turn.by_user;
            known.messages += u32::from(known.last_message != Some(turn.index));
            known.last_message = Some(turn.index);
            self.run.push(id);
        });
        self.gap();
        self.turns += 1;
        self.run.len() < MOST_WORDS
    }

    fn gap(&mut self) {
        if self.run.last() != Some(&GAP) {
            self.run.push(GAP);
        }
    }

    /// The index of a word of a text, or [`GAP`].
    #[inline]
    fn word(&mut self, text: &'a str, range: &Range<usize>, name: WordId) -> u32 {
        let slot = name.bits() % RECENT;
        let (recent, id) = self.recent[slot];
        if recent == name {
            return id;
        }
        let id = self.find(text, range, name);
        self.recent[slot] = (name, id);
        id
    }

    /// The same for a word that was not met lately.
    #[inline(never)]
    fn find(&mut self, text: &'a str, range: &Range<usize>, name: WordId) -> u32 {
        if let Some(id) = self.known.get(&name) {
            return *id;
        }
        let written = &text[range.clone()];
        let id = match candidate(written).filter(|_| !is_stop_word(name)) {
            None => GAP,
            Some(text) if text.len() < written.len() => self.find(text, &(0..text.len()), WordId::of(text)),
            Some(text) => {
                let word = Word {
                    text,
                    count: 0,
                    capitals: 0,
                    messages: 0,
                    last_message: None,
                    by_user: false,
                    neighbours: 0,
                };
                self.words.push(word);
                self.words.len() as u32 - 1
            }
        };
        self.known.insert(name, id);
        id
    }

    /// Everything said at least twice; a word or pair that mostly comes as part of something longer is left to that.
    fn phrases(&mut self) -> Vec<Phrase> {
        let mut pairs = self.repeated_pairs();
        let mut phrases = Vec::new();
        for triple in pairs.triples() {
            let [[a, b], [_, c]] = triple.pairs.map(|pair| pairs.found[pair as usize].words);
            phrases.push(Phrase::new(&[a, b, c], triple.count));
            for pair in triple.pairs {
                let within = &mut pairs.found[pair as usize].within;
                *within = triple.count.max(*within);
            }
        }
        let mut in_pair = vec![0; self.words.len()];
        for pair in &pairs.found {
            for word in pair.words {
                in_pair[word as usize] = pair.count.max(in_pair[word as usize]);
            }
            if pair.within * 2 < pair.count {
                phrases.push(Phrase::new(&pair.words, pair.count));
            }
        }
        for ((id, word), in_pair) in self.words.iter().enumerate().zip(in_pair) {
            if word.count > 1 && in_pair * 2 < word.count {
                phrases.push(Phrase::new(&[id as u32], word.count));
            }
        }
        phrases
    }

    /// The pairs of neighbours that come more than once. Counts each word's different neighbours.
    fn repeated_pairs(&mut self) -> Pairs {
        let mut all: Vec<(u64, u32)> = Vec::with_capacity(self.run.len());
        for (place, pair) in self.run.windows(2).enumerate() {
            if !pair.contains(&GAP) {
                all.push((joined(pair[0], pair[1]), place as u32));
            }
        }
        all.sort_unstable();
        let mut pairs = Pairs { found: Vec::new(), at: vec![GAP; self.run.len()] };
        for same in all.chunk_by(|(a, _), (b, _)| a == b) {
            let words = parted(same[0].0);
            words.iter().for_each(|word| self.words[*word as usize].neighbours += 1);
            if same.len() > 1 {
                same.iter().for_each(|(_, place)| pairs.at[*place as usize] = pairs.found.len() as u32);
                pairs.found.push(Pair { words, count: same.len() as u32, within: 0 });
            }
        }
        pairs
    }

    /// The phrases with the highest scores, none a variant or a part of one before it.
    fn best(&self, phrases: Vec<Phrase>, most: usize) -> Vec<KeyPhrase> {
        let weights: Vec<f64> = self.words.iter().map(|word| self.weight(word)).collect();
        let mut scored: Vec<(f64, Phrase)> =
            phrases.into_iter().map(|phrase| (self.score(&phrase, &weights), phrase)).collect();
        scored.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let top = scored.first().map_or(1.0, |(score, _)| *score);
        let mut chosen: Vec<KeyPhrase> = Vec::new();
        let mut stems: Vec<Vec<&str>> = Vec::new();
        for (score, phrase) in scored {
            if chosen.len() == most {
                break;
            }
            let words: Vec<&str> = phrase.words().iter().map(|id| self.words[*id as usize].text).collect();
            let stem: Vec<&str> = words.iter().map(|word| stem(word)).collect();
            let covers = |a: &[&str], b: &[&str]| b.iter().all(|word| a.contains(word));
            if !stems.iter().any(|other| covers(other, &stem) || covers(&stem, other)) {
                stems.push(stem);
                chosen.push(KeyPhrase { text: words.join(" "), score: score / top });
            }
        }
        chosen
    }

    fn score(&self, phrase: &Phrase, weights: &[f64]) -> f64 {
        // A phrase of `n` words counts `n` to the power of 0.7.
        const LENGTHS: [f64; 4] = [0.0, 1.0, 1.624_504_792_712_471, 2.157_669_279_974_592_8];
        let words = || phrase.words().iter().map(|id| *id as usize);
        let length = phrase.length as f64;
        let mean = words().map(|id| weights[id]).sum::<f64>() / length;
        // How much these words belong together: 1 if they never come apart.
        let counted: u32 = words().map(|id| self.words[id].count).sum();
        let together = f64::from(phrase.count) * length / f64::from(counted);
        mean * LENGTHS[phrase.length] * (0.4 + 0.6 * together)
    }

    fn weight(&self, word: &Word) -> f64 {
        let count = f64::from(word.count);
        let spread = f64::from(word.messages) / self.turns.max(1) as f64;
        let capital = 1.0 + 0.5 * f64::from(word.capitals) / count;
        let company = 1.0 + 0.5 * f64::from(word.neighbours) / count;
        let length = (word.text.len() as f64 / 6.0).clamp(0.6, 1.6);
        let user = if word.by_user { 1.2 } else { 1.0 };
        count.ln_1p() * (0.5 + spread.sqrt()) * capital * length * user / company
    }
}

/// The pairs of neighbours that come more than once, in the order of their words.
struct Pairs {
    found: Vec<Pair>,
    /// For each place of the run, the pair that begins there, or [`GAP`].
    at: Vec<u32>,
}

struct Pair {
    words: [u32; 2],
    count: u32,
    /// How often the triple comes that holds it most often.
    within: u32,
}

/// Two pairs of which the second begins with the word that the first one ends with.
struct Triple {
    pairs: [u32; 2],
    count: u32,
}

impl Pairs {
    /// Three words in a row that come more than once.
    fn triples(&self) -> Vec<Triple> {
        let neighbours = self.at.windows(2).filter(|pairs| !pairs.contains(&GAP));
        let mut all: Vec<u64> = neighbours.map(|pairs| joined(pairs[0], pairs[1])).collect();
        all.sort_unstable();
        let repeated = all.chunk_by(|a, b| a == b).filter(|same| same.len() > 1);
        repeated.map(|same| Triple { pairs: parted(same[0]), count: same.len() as u32 }).collect()
    }
}

/// Whether the letter at this place is a capital.
fn has_capital(text: &str, at: usize) -> bool {
    match text.as_bytes().get(at) {
        Some(byte) if byte.is_ascii() => byte.is_ascii_uppercase(),
        _ => text.get(at..).is_some_and(|rest| rest.starts_with(char::is_uppercase)),
    }
}

/// Two numbers as one, in the order of the first, then of the second.
fn joined(first: u32, second: u32) -> u64 {
    u64::from(first) << 32 | u64::from(second)
}

fn parted(both: u64) -> [u32; 2] {
    [(both >> 32) as u32, both as u32]
}

/// The part of a lower-case word that may stand in a phrase, if any may.
fn candidate(word: &str) -> Option<&str> {
    let ascii = word.is_ascii();
    let apostrophe =
        if ascii && !word.as_bytes().contains(&b'\'') { None } else { word.rsplit_once(['\'', '’']) };
    let word = match apostrophe {
        None => word,
        Some((_, "t" | "ll" | "re" | "ve" | "d" | "m")) => return None,
        Some((owner, "s")) => owner,
        // French and Italian: l'hôtel, dell'acqua.
        Some((_, rest)) => rest,
    };
    let short = if ascii { 3 } else { 4 };
    let fits = (short..=LONGEST).contains(&word.len()) && word.starts_with(char::is_alphabetic);
    let whole = if ascii { !word.as_bytes().contains(&b'_') } else { !word.contains(is_apart) };
    (fits && whole).then_some(word)
}

/// Whether a character has no place in a word of a phrase: part of an identifier, or of a script that is written
/// without blanks, whose words cannot be told apart here.
fn is_apart(c: char) -> bool {
    matches!(c, '_'
        | '\u{0E00}'..='\u{0EFF}'
        | '\u{1000}'..='\u{109F}'
        | '\u{1780}'..='\u{17FF}'
        | '\u{2E80}'..='\u{A4CF}'
        | '\u{F900}'..='\u{FAFF}'
        | '\u{FF00}'..='\u{FFEF}'
        | '\u{20000}'..)
}

/// A word without the `s` of its plural.
fn stem(word: &str) -> &str {
    word.strip_suffix('s').filter(|stem| stem.len() > 2 && !stem.ends_with('s')).unwrap_or(word)
}
