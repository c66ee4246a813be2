//! How demanding the user's writing is.
//!
//! Three measures, each brought to 0..1, are added: terms in a hundred words (weight 0.5), the share of words of eight
//! letters or more (0.3), and words in a sentence (0.2). Every sentence that says the user is new to the matter takes
//! off 0.25, two at most. Below 0.1 the level is `beginner`, from 0.5 on `advanced`, between them `intermediate`.

use super::Prose;

const BEGINNER_BELOW: f64 = 0.1;
const ADVANCED_FROM: f64 = 0.5;

/// What complexity is told from, summed over a session.
#[derive(Default)]
pub(super) struct Complexity {
    words: u32,
    long: u32,
    terms: u32,
    novice: u32,
    sentences: usize,
}

impl Complexity {
    /// Adds a message.
    pub(super) fn add(&mut self, prose: &Prose, sentences: usize) {
        self.words += prose.words;
        self.long += prose.long;
        self.terms += prose.terms;
        self.novice += prose.novice;
        self.sentences += sentences;
    }

    /// The level, where anything was said.
    pub(super) fn level(&self) -> Option<&'static str> {
        if self.words == 0 {
            return None;
        }
        let words = f64::from(self.words);
        let terms = between(f64::from(self.terms) / words, 0.0, 0.06);
        let long = between(f64::from(self.long) / words, 0.08, 0.28);
        let length = between(words / self.sentences.max(1) as f64, 6.0, 24.0);
        let score = 0.5 * terms + 0.3 * long + 0.2 * length - 0.25 * f64::from(self.novice.min(2));
        Some(match score {
            score if score < BEGINNER_BELOW => "beginner",
            score if score < ADVANCED_FROM => "intermediate",
            _ => "advanced",
        })
    }
}

/// Where a value lies between two others: 0 at the lower or below, 1 at the upper or above.
fn between(value: f64, lower: f64, upper: f64) -> f64 {
    ((value - lower) / (upper - lower)).clamp(0.0, 1.0)
}
