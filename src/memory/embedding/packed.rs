//! The vectors of a session's turns as bytes, and how close they come to a question.
//!
//! Turn after turn: its ordinal (`u32`), a step (`f32`), then half a byte a number, `u` from 0 to 15 standing for
//! `(u - 7.5) × step`; all little-endian. The first half of the numbers lies in the lower halves of the bytes, the
//! second in the upper ones, so that both are read in one run. Finer steps found nothing more.

/// Bytes before the numbers of a turn.
const HEAD: usize = 8;
/// The highest number a half byte holds, and what stands for nothing.
const MOST: f32 = 15.0;
const MIDDLE: f32 = 7.5;
/// The highest whole number that a number of the question becomes.
const FINEST: f32 = 2047.0;

/// Adds a turn.
pub(super) fn append(turns: &mut Vec<u8>, ordinal: u32, vector: &[f32]) {
    let step = largest(vector) / MIDDLE;
    let packed = |value: &f32| (value / step + MIDDLE + 0.5).floor().clamp(0.0, MOST) as u8;
    turns.extend(ordinal.to_le_bytes());
    turns.extend(step.to_le_bytes());
    let (lower, upper) = vector.split_at(vector.len().div_ceil(2));
    let upper = upper.iter().map(packed).chain(std::iter::repeat(0));
    turns.extend(lower.iter().map(packed).zip(upper).map(|(lower, upper)| lower | upper << 4));
}

fn largest(vector: &[f32]) -> f32 {
    vector.iter().fold(f32::MIN_POSITIVE, |largest, value| largest.max(value.abs()))
}

/// A question's vector in whole numbers, so that comparing needs nothing but whole numbers.
#[derive(Debug)]
pub(in crate::memory) struct Asked {
    lower: Vec<i16>,
    upper: Vec<i16>,
    step: f32,
    /// What the numbers of a turn have too much together, for standing above nothing by 7.5.
    excess: f32,
}

impl Asked {
    pub(in crate::memory) fn new(vector: &[f32]) -> Self {
        let step = largest(vector) / FINEST;
        let whole: Vec<i16> = vector.iter().map(|value| (value / step).round() as i16).collect();
        let excess = MIDDLE * whole.iter().map(|number| i32::from(*number)).sum::<i32>() as f32;
        let (lower, upper) = whole.split_at(whole.len().div_ceil(2));
        let mut upper = upper.to_vec();
        upper.resize(lower.len(), 0);
        Asked { lower: lower.to_vec(), upper, step, excess }
    }

    /// Hands out each turn's ordinal, and the cosine between it and the question.
    pub(in crate::memory) fn compare(&self, turns: &[u8], mut each: impl FnMut(u32, f32)) {
        for turn in turns.chunks_exact(HEAD + self.lower.len()) {
            let Some((ordinal, rest)) = turn.split_first_chunk() else { return };
            let Some((step, numbers)) = rest.split_first_chunk() else { return };
            let both = numbers.iter().zip(&self.lower).zip(&self.upper);
            let product = |((number, lower), upper): ((&u8, &i16), &i16)| {
                i32::from(*lower) * i32::from(number & 15) + i32::from(*upper) * i32::from(number >> 4)
            };
            let sum = both.map(product).sum::<i32>() as f32 - self.excess;
            each(u32::from_le_bytes(*ordinal), sum * self.step * f32::from_le_bytes(*step));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_turns_stand_as_close_as_their_vectors() {
        for length in [256, 7, 1] {
            let mut random = fastrand::Rng::with_seed(3);
            let mut vector = || {
                let mut vector: Vec<f32> = (0..length).map(|_| random.f32() - 0.5).collect();
                let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
                vector.iter_mut().for_each(|value| *value /= norm);
                vector
            };
            let (question, turns) = (vector(), [vector(), vector(), vector()]);
            let mut packed = Vec::new();
            for (ordinal, turn) in turns.iter().enumerate() {
                append(&mut packed, ordinal as u32 * 7, turn);
            }
            let mut seen = Vec::new();
            // A row that was cut short loses its last turn and nothing else.
            packed.pop();
            Asked::new(&question).compare(&packed, |ordinal, close| seen.push((ordinal, close)));
            assert_eq!(seen.len(), 2);
            for ((ordinal, close), (number, turn)) in seen.iter().zip(turns.iter().enumerate()) {
                let exact: f32 = question.iter().zip(turn).map(|(a, b)| a * b).sum();
                assert_eq!(*ordinal, number as u32 * 7);
                assert!((close - exact).abs() < 0.1, "{close} is not {exact}");
            }
        }
    }
}
