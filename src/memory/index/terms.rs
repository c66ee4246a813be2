//! From text to the terms of the index: the same for what is stored and for what is asked.

use std::collections::HashMap;

use rust_stemmers::{Algorithm, Stemmer};

use crate::text::stop_words::is_english_function_word;

/// Bytes of a word that count; what is longer is no word (hashes, encoded data) and is told apart by its beginning.
const LONGEST: usize = 40;

/// Reads text into terms: words in lower case without diacritics, by their stem, without the words that only bear the
/// grammar. Scripts that are written without spaces are read as pairs of letters.
pub(crate) struct Terms {
    english: Stemmer,
    russian: Stemmer,
    /// Stems of words seen before. Words are few, and stemming is the dear part.
    known: HashMap<String, Box<str>>,
    word: String,
}

/// Stems that are remembered. A bound, because what is read is hostile.
const KNOWN_MAX: usize = 50_000;

impl std::fmt::Debug for Terms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terms").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

impl Default for Terms {
    fn default() -> Self {
        Terms {
            english: Stemmer::create(Algorithm::English),
            russian: Stemmer::create(Algorithm::Russian),
            known: HashMap::new(),
            word: String::new(),
        }
    }
}

impl Terms {
    /// Hands out the terms of a text, in order.
    pub(crate) fn read(&mut self, text: &str, mut each: impl FnMut(&str)) {
        let mut word = std::mem::take(&mut self.word);
        word.clear();
        let mut before: Option<char> = None;
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            if is_unspaced(letter) {
                self.word(&mut word, &mut each);
                // A lone letter is a term of its own; a run of them is its pairs.
                let mut encoded = [0; 8];
                match before {
                    Some(first) => each(pair(first, letter, &mut encoded)),
                    None if !letters.peek().is_some_and(|next| is_unspaced(*next)) => {
                        each(letter.encode_utf8(&mut encoded));
                    }
                    None => {}
                }
                before = Some(letter);
                continue;
            }
            before = None;
            if letter.is_ascii_alphanumeric() {
                word.push(letter.to_ascii_lowercase());
            } else if letter.is_ascii() {
                let joins = letter == '\'' && letters.peek().is_some_and(|next| next.is_alphanumeric());
                if joins && !word.is_empty() {
                    word.push('\'');
                } else {
                    self.word(&mut word, &mut each);
                }
            } else if letter == '’' && letters.peek().is_some_and(|next| next.is_alphanumeric()) {
                if !word.is_empty() {
                    word.push('\'');
                }
            } else if letter.is_alphanumeric() || is_mark(letter) {
                fold(letter, &mut word);
            } else {
                self.word(&mut word, &mut each);
                // A symbol such as an emoji is something one can look for.
                if is_symbol(letter) {
                    each(letter.encode_utf8(&mut [0; 4]));
                }
            }
        }
        self.word(&mut word, &mut each);
        self.word = word;
    }

    /// The terms of a text, each once, in the order they first come; at most `limit`.
    pub(crate) fn distinct(&mut self, text: &str, limit: usize) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        self.read(text, |term| {
            if found.len() < limit && !found.iter().any(|known| known == term) {
                found.push(term.to_owned());
            }
        });
        found
    }

    fn word(&mut self, word: &mut String, each: &mut impl FnMut(&str)) {
        if word.is_empty() {
            return;
        }
        if !is_english_function_word(word) {
            // `Caroline's` is Caroline; of `l'homme` both halves count.
            let whole = word.strip_suffix("'s").unwrap_or(word);
            for part in whole.split('\'').filter(|part| !part.is_empty()) {
                if part.len() == whole.len() || !is_english_function_word(part) {
                    each(self.stem(part));
                }
            }
        }
        word.clear();
    }

    fn stem<'a>(&'a mut self, word: &'a str) -> &'a str {
        let word = crate::text::words::beginning(word, LONGEST);
        let stemmer = if word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            &self.english
        } else if word.chars().all(|letter| ('а'..='ё').contains(&letter)) {
            &self.russian
        } else {
            return word;
        };
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        if !self.known.contains_key(word) {
            self.known.insert(word.to_owned(), stemmer.stem(word).into());
        }
        self.known.get(word).map_or(word, |stem| &**stem)
    }
}

fn pair(first: char, second: char, buffer: &mut [u8; 8]) -> &str {
    let at = first.encode_utf8(buffer).len();
    let end = at + second.encode_utf8(&mut buffer[at..]).len();
    std::str::from_utf8(&buffer[..end]).unwrap_or_default()
}

/// Letters of scripts that put no space between words: Chinese, Japanese, Thai, Lao, Khmer, Burmese.
fn is_unspaced(letter: char) -> bool {
    matches!(letter, '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}'
        | '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}'
        | '\u{20000}'..='\u{3FFFF}')
}

/// Vowel signs and other marks that stand inside words of Indic scripts, Hebrew and Arabic.
fn is_mark(letter: char) -> bool {
    matches!(letter, '\u{0300}'..='\u{036F}' | '\u{0591}'..='\u{05C7}' | '\u{064B}'..='\u{065F}'
        | '\u{0900}'..='\u{0DFF}')
}

fn is_symbol(letter: char) -> bool {
    matches!(letter, '\u{2600}'..='\u{27BF}' | '\u{1F300}'..='\u{1FAFF}')
}

/// Lower case, and Latin letters without their diacritics.
fn fold(letter: char, into: &mut String) {
    for letter in letter.to_lowercase() {
        match letter {
            '\u{0300}'..='\u{036F}' => {}
            'à'..='å' | 'ā' | 'ă' | 'ą' | 'ǎ' | 'ạ'..='ặ' => into.push('a'),
            'æ' => into.push_str("ae"),
            'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => into.push('c'),
            'ď' | 'đ' | 'ð' => into.push('d'),
            'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' | 'ẹ'..='ệ' => into.push('e'),
            'ĝ' | 'ğ' | 'ġ' | 'ģ' => into.push('g'),
            'ĥ' | 'ħ' => into.push('h'),
            'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' | 'ỉ' | 'ị' => into.push('i'),
            'ĵ' => into.push('j'),
            'ķ' => into.push('k'),
            'ĺ' | 'ļ' | 'ľ' | 'ł' => into.push('l'),
            'ñ' | 'ń' | 'ņ' | 'ň' => into.push('n'),
            'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' | 'ơ' | 'ọ'..='ợ' => into.push('o'),
            'œ' => into.push_str("oe"),
            'ŕ' | 'ŗ' | 'ř' => into.push('r'),
            'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => into.push('s'),
            'ß' => into.push_str("ss"),
            'ţ' | 'ť' | 'ŧ' | 'ț' => into.push('t'),
            'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' | 'ư' | 'ụ'..='ự' => into.push('u'),
            'ŵ' => into.push('w'),
            'ý' | 'ÿ' | 'ŷ' | 'ỳ'..='ỹ' => into.push('y'),
            'ź' | 'ż' | 'ž' => into.push('z'),
            other => into.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn terms(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        Terms::default().read(text, |term| found.push(term.to_owned()));
        found
    }

    #[test]
    fn words_become_stems_without_grammar_case_or_diacritics() {
        for (text, expected) in [
            ("What did Caroline's friends research?", vec!["carolin", "friend", "research"]),
            ("I don’t like Málaga’s CAFÉS", vec!["like", "malaga", "cafe"]),
            ("l'homme rock'n'roll", vec!["l", "homm", "rock", "n", "roll"]),
            ("follow-up x_1 v2.0", vec!["follow", "x", "1", "v2", "0"]),
            ("я люблю кошек", vec!["я", "любл", "кошек"]),
            ("我喜欢猫 猫", vec!["我喜", "喜欢", "欢猫", "猫"]),
            ("great 😀!", vec!["great", "😀"]),
            ("naïve Straße", vec!["naiv", "strass"]),
            ("हिन्दी", vec!["हिन्दी"]),
            ("' '' \0 \u{FFFD}", vec![]),
        ] {
            assert_eq!(terms(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_word_counts_by_its_beginning() {
        assert_eq!(terms(&"ab1".repeat(1000))[0].len(), LONGEST);
        assert_eq!(terms(&"ü1漢é".repeat(1000)).iter().map(String::len).max(), Some(3));
    }

    proptest! {
        #[test]
        fn every_term_of_a_text_is_found_by_asking_for_the_text(text in "\\PC{0,60}") {
            let all = terms(&text);
            let mut reader = Terms::default();
            let once = reader.distinct(&text, usize::MAX);
            prop_assert!(all.iter().all(|term| once.contains(term) && !term.is_empty()));
            prop_assert!(all.iter().all(|term| term.len() <= LONGEST));
        }
    }
}
