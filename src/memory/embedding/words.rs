//! The file with the vectors of words: what [`super::pull`] makes of the downloaded weights.
//!
//! Little-endian: the mark, the number and the length of the vectors, the bytes of the vocabulary (`u32` each), what it
//! was made from (eight bytes of its BLAKE3 hash); then the pieces of the vocabulary, each behind its length (`u16`);
//! then a row of half-precision numbers for each piece. Rows are read when a word asks for them.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::EmbeddingError;
use super::half::half_to_f32;
use super::tokens::{LONGEST, Vocabulary};
use crate::text::words::beginning;

/// What the file begins with.
pub(super) const MARK: &[u8; 8] = b"ATLESWV1";
/// Bytes before the vocabulary.
pub(super) const HEAD: usize = 28;
/// The longest vector that is read.
const LENGTH_MAX: usize = 4096;
/// The most pieces that are read.
const PIECES_MAX: usize = 1 << 20;
/// Words whose vectors are remembered. A bound, because what is read is hostile.
const KNOWN_MAX: usize = 4096;

/// The vectors of words, read from a file as they are needed.
#[derive(Debug)]
pub struct WordVectors {
    path: PathBuf,
    file: File,
    vocabulary: Vocabulary,
    pieces: usize,
    length: usize,
    rows_at: u64,
    made_from: i64,
    known: HashMap<String, Box<[f32]>>,
}

impl WordVectors {
    /// Opens a file that [`super::pull`] made.
    pub fn open(path: &Path) -> Result<Self, EmbeddingError> {
        let broken = |source| EmbeddingError::File { path: path.to_path_buf(), source };
        let damaged = |what| EmbeddingError::Damaged { path: path.to_path_buf(), what };
        let mut file = File::open(path).map_err(broken)?;
        let bytes = file.metadata().map_err(broken)?.len();
        let mut head = [0; HEAD];
        file.read_exact(&mut head).map_err(|_| damaged("it is too short"))?;
        let Some((MARK, numbers)) = head.split_first_chunk() else {
            return Err(damaged("it does not begin like one"));
        };
        let number = |at: usize| {
            let four = numbers.get(at..at + 4).and_then(|four| four.try_into().ok());
            four.map_or(0, u32::from_le_bytes) as usize
        };
        let (pieces, length, vocabulary_bytes) = (number(0), number(4), number(8));
        let made_from = numbers.last_chunk().map_or(0, |eight| i64::from_le_bytes(*eight));
        let rows_at = (HEAD + vocabulary_bytes) as u64;
        if pieces > PIECES_MAX || length == 0 || length > LENGTH_MAX {
            return Err(damaged("its sizes make no sense"));
        }
        if bytes != rows_at + (pieces * length * 2) as u64 {
            return Err(damaged("it does not have the length that it names"));
        }
        let mut text = vec![0; vocabulary_bytes];
        file.read_exact(&mut text).map_err(broken)?;
        let texts = texts(&text).filter(|texts| texts.len() == pieces);
        let vocabulary = texts.and_then(|texts| Vocabulary::new(texts.into_iter()));
        let vocabulary = vocabulary.ok_or_else(|| damaged("its vocabulary cannot be read"))?;
        let path = path.to_path_buf();
        Ok(WordVectors { path, file, vocabulary, pieces, length, rows_at, made_from, known: HashMap::new() })
    }

    /// Numbers in a vector.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Tells these vectors from others.
    pub(super) fn made_from(&self) -> i64 {
        self.made_from
    }

    /// The sum of the vectors of a word's pieces.
    pub(super) fn word(&mut self, word: &str) -> Result<&[f32], EmbeddingError> {
        let word = beginning(word, LONGEST);
        if !self.known.contains_key(word) {
            if self.known.len() >= KNOWN_MAX {
                self.known.clear();
            }
            let sum =
                self.read(word).map_err(|source| EmbeddingError::File { path: self.path.clone(), source })?;
            self.known.insert(word.to_owned(), sum.into());
        }
        Ok(self.known.get(word).map_or(&[], |vector| &**vector))
    }

    fn read(&mut self, word: &str) -> std::io::Result<Vec<f32>> {
        let mut sum = vec![0.0; self.length];
        let mut row = vec![0; self.length * 2];
        for piece in self.vocabulary.cut(word) {
            if piece as usize >= self.pieces {
                continue;
            }
            let at = self.rows_at + u64::from(piece) * row.len() as u64;
            self.file.seek(SeekFrom::Start(at))?;
            self.file.read_exact(&mut row)?;
            let (halves, _) = row.as_chunks::<2>();
            for (sum, half) in sum.iter_mut().zip(halves) {
                let value = half_to_f32(u16::from_le_bytes(*half));
                *sum += if value.is_finite() { value } else { 0.0 };
            }
        }
        Ok(sum)
    }
}

/// The pieces of a vocabulary; `None` if the lengths do not add up.
fn texts(mut bytes: &[u8]) -> Option<Vec<&str>> {
    let mut texts = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (text, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        texts.push(std::str::from_utf8(text).ok()?);
        bytes = rest;
    }
    bytes.is_empty().then_some(texts)
}
