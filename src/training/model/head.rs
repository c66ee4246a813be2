//! The last step: scores of all tokens, for the supervised rows only, and their loss.

use super::base::Matrix;
use super::gemm::{Out, multiply_packed};
use super::linear::Desk;
use super::maths::{exponentials, largest, scale};
use super::packing::View;
use super::simd::widest;
use rayon::prelude::*;

/// Bytes of the part of the matrix that is packed at once.
const PANEL: usize = 4 << 20;

/// Scores of some rows.
#[derive(Debug, Default)]
pub(super) struct Scores {
    values: Vec<f32>,
}

/// Rows of scores begin this far apart: not a multiple of 4 KiB, or they would crowd the same cache lines.
fn stride(vocabulary: usize) -> usize {
    vocabulary.next_multiple_of(16) + 16
}

fn panels(head: &Matrix) -> impl Iterator<Item = (usize, usize)> {
    let rows = (PANEL / 4 / head.inputs).clamp(16, head.outputs.max(16));
    let outputs = head.outputs;
    (0..outputs).step_by(rows).map(move |from| (from, rows.min(outputs - from)))
}

impl Scores {
    /// The loss of each row of `x` (already normed), whose next token is in `targets`. Where `dx` is given, it is
    /// filled with the gradient of the losses' sum times `weight`.
    pub(super) fn losses(
        &mut self,
        desk: &mut Desk<'_>,
        head: &Matrix,
        x: &[f32],
        targets: &[u32],
        backward: Option<(f32, &mut [f32])>,
    ) -> Vec<f32> {
        let (rows, width, stride) = (targets.len(), head.inputs, stride(head.outputs));
        self.values.resize((rows * stride).max(self.values.len()), 0.0);
        let values = &mut self.values[..rows * stride];
        for (from, count) in panels(head) {
            let out = Out { data: &mut values[from..], columns: count, stride, add: false };
            desk.apply(out, head, from, x);
        }
        let weight = backward.as_ref().map(|(weight, _)| *weight);
        let losses = values
            .par_chunks_mut(stride)
            .zip(targets)
            .map(|(row, target)| {
                let row = &mut row[..head.outputs];
                widest(
                    #[inline(always)]
                    || row_loss(row, *target as usize, weight),
                )
            })
            .collect();
        if let Some((_, dx)) = backward {
            for (from, count) in panels(head) {
                head.pack(from, count, desk.packed, desk.pairs, desk.threads);
                let part = View::strided(&values[from..], rows, count, stride);
                let out = Out { data: &mut *dx, columns: width, stride: width, add: from > 0 };
                multiply_packed(out, part, desk.packed, 1.0, desk.threads);
            }
        }
        losses
    }
}

/// Cross-entropy; with a weight, the scores become its gradient.
#[inline(always)]
fn row_loss(row: &mut [f32], target: usize, weight: Option<f32>) -> f32 {
    let Some(score) = row.get(target).copied() else { return f32::NAN };
    let most = largest(row);
    let sum = exponentials(row, most);
    if let Some(weight) = weight {
        scale(row, weight / sum);
        if let Some(right) = row.get_mut(target) {
            *right -= weight;
        }
    }
    sum.ln() + most - score
}
