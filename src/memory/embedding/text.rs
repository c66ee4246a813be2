//! Texts to vectors.

use super::{EmbeddingError, WordVectors};
use crate::memory::index::terms::Terms;
use crate::text::words::{beginning, words};

/// Bytes of a text that count. The mean over more says nothing any more.
const READ: usize = 8 << 10;
/// Terms that are looked at in one word.
const TERMS_OF_A_WORD: usize = 4;

/// Reads texts into vectors of length 1. Words that only bear the grammar do not count.
#[derive(Debug)]
pub struct Reader {
    vectors: WordVectors,
    terms: Terms,
}

impl Reader {
    /// A reader over these vectors.
    pub fn new(vectors: WordVectors) -> Self {
        Reader { vectors, terms: Terms::default() }
    }

    /// Numbers in a vector.
    pub fn length(&self) -> usize {
        self.vectors.length()
    }

    /// Tells these vectors from others.
    pub(in crate::memory) fn made_from(&self) -> i64 {
        self.vectors.made_from()
    }

    /// The vector of a text in which all words count alike; `None` if it has no words.
    pub fn text(&mut self, text: &str) -> Result<Option<Vec<f32>>, EmbeddingError> {
        self.weighed(text, |_| Some(1.0))
    }

    /// The vector of a text whose words count as much as the weight of their terms; those without one do not count.
    pub(in crate::memory) fn weighed(
        &mut self,
        text: &str,
        weight: impl Fn(&str) -> Option<f32>,
    ) -> Result<Option<Vec<f32>>, EmbeddingError> {
        let mut sum = vec![0.0; self.vectors.length()];
        let text = beginning(text, READ);
        for range in words(text) {
            let word = &text[range];
            let terms = self.terms.distinct(word, TERMS_OF_A_WORD);
            let Some(weight) = terms.iter().filter_map(|term| weight(term)).reduce(f32::max) else {
                continue;
            };
            let bare = word.strip_suffix("'s").or(word.strip_suffix("’s")).unwrap_or(word);
            for (sum, value) in sum.iter_mut().zip(self.vectors.word(bare)?) {
                *sum += weight * value;
            }
        }
        let length = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
        if length <= f32::EPSILON {
            return Ok(None);
        }
        sum.iter_mut().for_each(|value| *value /= length);
        Ok(Some(sum))
    }
}
