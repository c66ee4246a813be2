//! Rotary positions, together with the change from rows of tokens to heads of tokens and back.

use rayon::prelude::*;

use super::shape::{Architecture, Shape};

/// Cosines and sines of every position.
#[derive(Debug)]
pub(super) struct Rope {
    neighbours: bool,
    head: usize,
    half: usize,
    /// Angle per position, one for each pair.
    frequencies: Vec<f64>,
    /// For each row: the cosines, then the sines.
    table: Vec<f32>,
}

impl Rope {
    pub(super) fn new(shape: &Shape, factors: &[f32]) -> Self {
        let half = shape.rope_width / 2;
        let frequencies = (0..half)
            .map(|pair| {
                let exponent = -2.0 * pair as f64 / shape.rope_width as f64;
                let factor = factors.get(pair).map_or(1.0, |factor| f64::from(*factor));
                f64::from(shape.rope_base).powf(exponent) / factor / f64::from(shape.rope_stretch)
            })
            .collect();
        let neighbours = shape.architecture == Architecture::Llama;
        Rope { neighbours, head: shape.head, half, frequencies, table: Vec::new() }
    }

    /// Prepares for rows at these positions.
    pub(super) fn prepare(&mut self, positions: impl Iterator<Item = usize>) {
        self.table.clear();
        for position in positions {
            let angles = self.frequencies.iter().map(|frequency| frequency * position as f64);
            self.table.extend(angles.clone().map(|angle| angle.cos() as f32));
            self.table.extend(angles.map(|angle| angle.sin() as f32));
        }
    }

    /// Rows of all heads to heads of all rows, rotated.
    pub(super) fn to_heads(&self, rows: &[f32], heads: usize, out: &mut [f32]) {
        let count = rows.len() / (heads * self.head);
        out.par_chunks_mut(count * self.head).enumerate().for_each(|(head, out)| {
            for (row, out) in out.chunks_exact_mut(self.head).enumerate() {
                let from = (row * heads + head) * self.head;
                out.copy_from_slice(&rows[from..from + self.head]);
                self.turn(row, out, 1.0);
            }
        });
    }

    /// The way back, for gradients: heads of all rows to rows of all heads, rotated the other way.
    pub(super) fn to_rows(&self, by_head: &[f32], heads: usize, rows: &mut [f32]) {
        let count = rows.len() / (heads * self.head);
        rows.par_chunks_mut(heads * self.head).enumerate().for_each(|(row, out)| {
            for (head, out) in out.chunks_exact_mut(self.head).enumerate() {
                let from = (head * count + row) * self.head;
                out.copy_from_slice(&by_head[from..from + self.head]);
                self.turn(row, out, -1.0);
            }
        });
    }

    fn turn(&self, row: usize, values: &mut [f32], sign: f32) {
        let half = self.half;
        let angles = &self.table[row * 2 * half..(row + 1) * 2 * half];
        let (cosines, sines) = angles.split_at(half);
        for pair in 0..half {
            let (one, two) = if self.neighbours { (2 * pair, 2 * pair + 1) } else { (pair, pair + half) };
            let (x, y, cosine, sine) = (values[one], values[two], cosines[pair], sines[pair] * sign);
            values[one] = x * cosine - y * sine;
            values[two] = x * sine + y * cosine;
        }
    }
}

/// Rows of all heads to heads of all rows, unchanged.
pub(super) fn split_heads(rows: &[f32], heads: usize, head: usize, out: &mut [f32]) {
    let count = rows.len() / (heads * head);
    out.par_chunks_mut(count * head).enumerate().for_each(|(index, out)| {
        for (row, out) in out.chunks_exact_mut(head).enumerate() {
            let from = (row * heads + index) * head;
            out.copy_from_slice(&rows[from..from + head]);
        }
    });
}

/// Heads of all rows to rows of all heads, unchanged.
pub(super) fn join_heads(by_head: &[f32], heads: usize, head: usize, rows: &mut [f32]) {
    let count = rows.len() / (heads * head);
    rows.par_chunks_mut(heads * head).enumerate().for_each(|(row, out)| {
        for (index, out) in out.chunks_exact_mut(head).enumerate() {
            let from = (index * count + row) * head;
            out.copy_from_slice(&by_head[from..from + head]);
        }
    });
}
