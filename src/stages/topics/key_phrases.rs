//! Phrases of one to three words that stand out in one session, without a background of other texts.
//!
//! As in YAKE, a word is worth more the more often it comes and the more messages it comes in, the fewer different
//! neighbours it has, and if it is written with a capital inside a sentence. Candidates, as in RAKE, are runs of words
//! between stop words and punctuation. What comes only once does not stand out.

mod prose;

use super::Turn;
use crate::session::KeyPhrase;
use crate::text::stop_words::is_stop_word;
use crate::text::word_hash::{WordId, WordMap};
use prose::Words;

/// So many words of a session are looked at.
const MOST_WORDS: usize = 20_000;
/// Longest word, in bytes: longer ones are hashes and the like.
const LONGEST: usize = 32;
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
#[derive(Default)]
struct Reader<'a> {
    /// Each word met, and what it is: the index of a [`Word`], or [`GAP`] where it cannot be part of a phrase.
    known: WordMap<u32>,
    words: Vec<Word<'a>>,
    /// The words that may be part of a phrase, in order; [`GAP`] where something stands between two of them.
    run: Vec<u32>,
    turns: usize,
}

impl<'a> Reader<'a> {
    /// A reader that passes over the names of those who speak.
    fn of(turns: &'a [Turn]) -> Self {
        let mut reader = Reader::default();
        let names = turns.iter().filter_map(|turn| turn.name.as_deref());
        reader.known.extend(names.flat_map(str::split_whitespace).map(|name| (WordId::of(name), GAP)));
        let runs: usize = turns.iter().map(|turn| turn.runs.len()).sum();
        reader.known.reserve((runs / 2).min(4096));
        reader.run.reserve(runs.min(MOST_WORDS));
        reader
    }

    /// Reads a turn, without its code; `false` where enough has been read.
    fn read(&mut self, turn: &Turn<'a>) -> bool {
        for word in Words::of(turn) {
            if !word.follows {
                self.gap();
            }
            let id = self.word(&turn.lower[word.range.clone()], word.id);
            let Some(known) = self.words.get_mut(id as usize) else {
                self.gap();
                continue;
            };
            known.count += 1;
            known.capitals +=
                u32::from(!word.opens && turn.written[word.range.start..].starts_with(char::is_uppercase));
            known.by_user |= turn.by_user;
            known.messages += u32::from(known.last_message != Some(turn.index));
            known.last_message = Some(turn.index);
            self.run.push(id);
        }
        self.gap();
        self.turns += 1;
        self.run.len() < MOST_WORDS
    }

    fn gap(&mut self) {
        if self.run.last() != Some(&GAP) {
            self.run.push(GAP);
        }
    }

    /// The index of a word, or [`GAP`].
    fn word(&mut self, written: &'a str, name: WordId) -> u32 {
        if let Some(id) = self.known.get(&name) {
            return *id;
        }
        let id = match candidate(written) {
            _ if is_stop_word(name) => GAP,
            None => GAP,
            Some(text) if text.len() < written.len() => self.word(text, WordId::of(text)),
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
        let pairs = self.repeated_pairs();
        let longest = self.repeated_triples(&pairs);
        let mut phrases: Vec<Phrase> =
            longest.iter().map(|(words, count)| Phrase::new(words, *count)).collect();
        let mut in_pair = vec![0; self.words.len()];
        for (pair, count) in &pairs {
            for word in pair {
                in_pair[*word as usize] = in_pair[*word as usize].max(*count);
            }
            let holds = |triple: &[u32; 3]| triple[..2] == *pair || triple[1..] == *pair;
            if !longest.iter().any(|(triple, more)| more * 2 >= *count && holds(triple)) {
                phrases.push(Phrase::new(pair, *count));
            }
        }
        for ((id, word), in_pair) in self.words.iter().enumerate().zip(in_pair) {
            if word.count > 1 && in_pair * 2 < word.count {
                phrases.push(Phrase::new(&[id as u32], word.count));
            }
        }
        phrases
    }

    /// The pairs of neighbours that come more than once, in order. Counts each word's different neighbours.
    fn repeated_pairs(&mut self) -> Vec<([u32; 2], u32)> {
        let neighbours = |pair: &[u32]| if let [a, b] = *pair { Some([a, b]) } else { None };
        let mut pairs: Vec<[u32; 2]> =
            self.run.windows(2).filter_map(neighbours).filter(|pair| !pair.contains(&GAP)).collect();
        pairs.sort_unstable();
        for [a, b] in pairs.chunk_by(|a, b| a == b).filter_map(|same| same.first()) {
            self.words[*a as usize].neighbours += 1;
            self.words[*b as usize].neighbours += 1;
        }
        repeated(&pairs)
    }

    /// Three words in a row that come more than once.
    fn repeated_triples(&self, pairs: &[([u32; 2], u32)]) -> Vec<([u32; 3], u32)> {
        let known = |a: u32, b: u32| pairs.binary_search_by_key(&[a, b], |(pair, _)| *pair).is_ok();
        let often = |id: u32| self.words.get(id as usize).is_some_and(|word| word.count > 1);
        let triple = |run: &[u32]| match *run {
            [a, b, c] if often(a) && often(b) && often(c) && known(a, b) && known(b, c) => Some([a, b, c]),
            _ => None,
        };
        let mut triples: Vec<[u32; 3]> = self.run.windows(3).filter_map(triple).collect();
        triples.sort_unstable();
        repeated(&triples)
    }

    /// The phrases with the highest scores, none a variant or a part of one before it.
    fn best(&self, phrases: Vec<Phrase>, most: usize) -> Vec<KeyPhrase> {
        let mut scored: Vec<(f64, Phrase)> =
            phrases.into_iter().map(|phrase| (self.score(&phrase), phrase)).collect();
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

    fn score(&self, phrase: &Phrase) -> f64 {
        let words = || phrase.words().iter().filter_map(|id| self.words.get(*id as usize));
        let length = phrase.length as f64;
        let mean = words().map(|word| self.weight(word)).sum::<f64>() / length;
        // How much these words belong together: 1 if they never come apart.
        let together = f64::from(phrase.count) * length / words().map(|w| f64::from(w.count)).sum::<f64>();
        mean * length.powf(0.7) * (0.4 + 0.6 * together)
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

/// What comes more than once in a sorted list, and how often.
fn repeated<T: Copy + PartialEq>(sorted: &[T]) -> Vec<(T, u32)> {
    let groups = sorted.chunk_by(|a, b| a == b).filter(|same| same.len() > 1);
    groups.filter_map(|same| Some((*same.first()?, same.len() as u32))).collect()
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
