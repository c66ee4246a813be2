//! Words to pieces of the vocabulary, as the Llama 2 tokenizer cuts them: byte-pair merges in the order of the
//! vocabulary.

use std::collections::HashMap;

/// What stands before a word instead of a space.
const SPACE: char = '▁';
/// Bytes of a word that are read. Merging takes time that grows with the square of it.
pub(super) const LONGEST: usize = 96;

/// The pieces by their text.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    ids: HashMap<Box<str>, u32>,
    /// The pieces for single bytes, by which characters are spelt that have none of their own.
    bytes: Vec<u32>,
}

impl Vocabulary {
    /// The pieces in the order of their numbers. `None` if the pieces for single bytes are not among them.
    pub(super) fn new<'a>(pieces: impl Iterator<Item = &'a str>) -> Option<Self> {
        let ids: HashMap<Box<str>, u32> = pieces.zip(0..).map(|(piece, id)| (piece.into(), id)).collect();
        let bytes =
            (0..256).map(|byte| ids.get(&*format!("<0x{byte:02X}>")).copied()).collect::<Option<_>>()?;
        Some(Vocabulary { ids, bytes })
    }

    /// The numbers of the pieces of one word.
    pub(super) fn cut(&self, word: &str) -> Vec<u32> {
        let marked: String = std::iter::once(SPACE).chain(word.chars()).collect();
        let mut ends: Vec<usize> = marked.char_indices().map(|(at, c)| at + c.len_utf8()).collect();
        // Of all neighbours that make a piece together, those with the lowest number are joined first.
        loop {
            let mut best: Option<(u32, usize)> = None;
            for at in 0..ends.len().saturating_sub(1) {
                let start = if at == 0 { 0 } else { ends[at - 1] };
                let joined = marked.get(start..ends[at + 1]).and_then(|text| self.ids.get(text));
                if let Some(id) = joined
                    && best.is_none_or(|(lowest, _)| *id < lowest)
                {
                    best = Some((*id, at));
                }
            }
            match best {
                Some((_, at)) => drop(ends.remove(at)),
                None => break,
            }
        }
        let mut cut = Vec::with_capacity(ends.len());
        let mut start = 0;
        for end in ends {
            let piece = &marked[start..end];
            match self.ids.get(piece) {
                Some(id) => cut.push(*id),
                None => cut.extend(piece.bytes().filter_map(|byte| self.bytes.get(usize::from(byte)))),
            }
            start = end;
        }
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary(pieces: &[&str]) -> Vocabulary {
        let bytes: Vec<String> = (0..256).map(|byte| format!("<0x{byte:02X}>")).collect();
        Vocabulary::new(bytes.iter().map(String::as_str).chain(pieces.iter().copied())).unwrap()
    }

    #[test]
    fn the_lowest_numbered_pair_is_joined_first_and_what_is_unknown_is_spelt_in_bytes() {
        let pieces = ["▁", "h", "e", "l", "o", "he", "ll", "▁he", "llo", "▁hello"];
        let names = |word: &str| -> Vec<String> {
            let name = |id: u32| match id.checked_sub(256) {
                Some(piece) => pieces[piece as usize].to_owned(),
                None => format!("{id}"),
            };
            vocabulary(&pieces).cut(word).into_iter().map(name).collect()
        };
        assert_eq!(names("hello"), ["▁hello"]);
        assert_eq!(names("hell"), ["▁he", "ll"]);
        assert_eq!(names("oé"), ["▁", "o", "195", "169"]);
        assert_eq!(names(""), ["▁"]);
        assert!(Vocabulary::new(pieces.into_iter()).is_none());
    }

    /// Words cut by the package's own tokenizer, with as much of its vocabulary as they could be cut into.
    #[test]
    fn words_are_cut_as_the_package_cuts_them() {
        let made: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/data/wordllama_pieces.json")).unwrap();
        let texts =
            |list: &serde_json::Value| -> Vec<String> { serde_json::from_value(list.clone()).unwrap() };
        let pieces = texts(&made["pieces"]);
        let vocabulary = Vocabulary::new(pieces.iter().map(String::as_str)).unwrap();
        let words = made["cut"].as_object().unwrap();
        for (word, expected) in words {
            let cut: Vec<String> =
                vocabulary.cut(word).into_iter().map(|id| pieces[id as usize].clone()).collect();
            assert_eq!(cut, texts(expected), "{word}");
        }
        assert!(words.len() > 70);
    }
}
