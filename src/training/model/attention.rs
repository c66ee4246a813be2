//! Causal attention within each sequence of a batch, in blocks of query rows so that the half above the
//! diagonal is never computed, and without ever holding all of the probabilities.

use std::ops::Range;

use rayon::prelude::*;

use super::gemm::{Out, multiply};
use super::maths::{dot, exp, exponentials, largest, scale};
use super::packing::{Packed, View};
use super::shape::Shape;
use super::simd::widest;

/// Query rows taken at once.
const BLOCK: usize = 64;

/// Queries, keys and values, head after head, each of all rows.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub(super) q: &'a [f32],
    pub(super) k: &'a [f32],
    pub(super) v: &'a [f32],
}

/// The sizes that attention needs.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    heads: usize,
    kv_heads: usize,
    head: usize,
    rows: usize,
}

impl Sizes {
    pub(super) fn new(shape: &Shape, rows: usize) -> Self {
        Sizes { heads: shape.heads, kv_heads: shape.kv_heads, head: shape.head, rows }
    }

    fn scale(self) -> f32 {
        1.0 / (self.head as f32).sqrt()
    }

    /// One query head and the keys and values it looks at.
    fn of<'a>(self, inputs: Inputs<'a>, head: usize) -> Inputs<'a> {
        let size = self.rows * self.head;
        let group = head / (self.heads / self.kv_heads) * size;
        Inputs {
            q: &inputs.q[head * size..(head + 1) * size],
            k: &inputs.k[group..group + size],
            v: &inputs.v[group..group + size],
        }
    }
}

fn blocks(sequence: &Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = sequence.end;
    sequence.clone().step_by(BLOCK).map(move |from| from..(from + BLOCK).min(end))
}

/// Fills `out` (head after head) and the log of every row's sum of exponentials.
pub(super) fn forward(
    sizes: Sizes,
    sequences: &[Range<usize>],
    inputs: Inputs<'_>,
    out: &mut [f32],
    sums: &mut [f32],
) {
    let size = sizes.rows * sizes.head;
    out.par_chunks_mut(size).zip(sums.par_chunks_mut(sizes.rows)).enumerate().for_each(
        |(head, (out, sums))| {
            let Inputs { q, k, v } = sizes.of(inputs, head);
            let width = sizes.head;
            let (mut scores, mut packed) = (Vec::new(), Packed::default());
            for sequence in sequences {
                for block in blocks(sequence) {
                    let (rows, keys) = (block.len(), block.end - sequence.start);
                    let seen = sequence.start * width..block.end * width;
                    let mine = block.start * width..block.end * width;
                    scores.resize(rows * keys, 0.0);
                    let k = View::new(&k[seen.clone()], keys, width);
                    let q = View::new(&q[mine.clone()], rows, width);
                    multiply(
                        Out::replace(&mut scores, keys),
                        q,
                        k.transposed(),
                        sizes.scale(),
                        &mut packed,
                        1,
                    );
                    let first = block.start - sequence.start + 1;
                    let (scores, sums) = (&mut scores[..], &mut sums[block]);
                    widest(
                        #[inline(always)]
                        || softmax(scores, keys, first, sums),
                    );
                    let v = View::new(&v[seen], keys, width);
                    let scores = View::new(scores, rows, keys);
                    multiply(Out::replace(&mut out[mine], width), scores, v, 1.0, &mut packed, 1);
                }
            }
        },
    );
}

/// Row `i` looks at its first `first + i` scores; the rest becomes zero.
#[inline(always)]
fn softmax(scores: &mut [f32], keys: usize, first: usize, sums: &mut [f32]) {
    for (row, (scores, total)) in scores.chunks_exact_mut(keys).zip(sums).enumerate() {
        let (seen, hidden) = scores.split_at_mut(first + row);
        let most = largest(seen);
        let sum = exponentials(seen, most);
        scale(seen, 1.0 / sum);
        hidden.fill(0.0);
        *total = most + sum.ln();
    }
}

/// What the backward pass starts from.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) inputs: Inputs<'a>,
    /// The forward pass's output and row sums.
    pub(super) out: &'a [f32],
    pub(super) sums: &'a [f32],
    /// The output's gradient, head after head.
    pub(super) dout: &'a [f32],
}

/// Fills the gradients of queries (head after head), and of keys and values **for each query head**; heads that
/// share keys are summed by [`sum_groups`].
pub(super) fn backward(
    sizes: Sizes,
    sequences: &[Range<usize>],
    given: Given<'_>,
    dq: &mut [f32],
    dk: &mut [f32],
    dv: &mut [f32],
) {
    let size = sizes.rows * sizes.head;
    let gradients = dq.par_chunks_mut(size).zip(dk.par_chunks_mut(size)).zip(dv.par_chunks_mut(size));
    gradients.enumerate().for_each(|(head, ((dq, dk), dv))| {
        let Inputs { q, k, v } = sizes.of(given.inputs, head);
        let out = &given.out[head * size..(head + 1) * size];
        let dout = &given.dout[head * size..(head + 1) * size];
        let sums = &given.sums[head * sizes.rows..(head + 1) * sizes.rows];
        let width = sizes.head;
        let factor = sizes.scale();
        let (mut scores, mut pulls, mut packed) = (Vec::new(), Vec::new(), Packed::default());
        dk.fill(0.0);
        dv.fill(0.0);
        for sequence in sequences {
            for block in blocks(sequence) {
                let (rows, keys) = (block.len(), block.end - sequence.start);
                let seen = sequence.start * width..block.end * width;
                let mine = block.start * width..block.end * width;
                scores.resize(rows * keys, 0.0);
                pulls.resize(rows * keys, 0.0);
                let q = View::new(&q[mine.clone()], rows, width);
                let k = View::new(&k[seen.clone()], keys, width);
                let v = View::new(&v[seen.clone()], keys, width);
                let d = View::new(&dout[mine.clone()], rows, width);
                multiply(Out::replace(&mut scores, keys), q, k.transposed(), factor, &mut packed, 1);
                multiply(Out::replace(&mut pulls, keys), d, v.transposed(), 1.0, &mut packed, 1);
                let first = block.start - sequence.start + 1;
                let (out, dout) = (&out[mine.clone()], &dout[mine.clone()]);
                let (p, ds, sums) = (&mut scores[..], &mut pulls[..], &sums[block]);
                widest(
                    #[inline(always)]
                    || softmax_backward(p, ds, keys, first, sums, out, dout),
                );
                let (p, ds) = (View::new(p, rows, keys), View::new(ds, rows, keys));
                multiply(Out::add(&mut dv[seen.clone()], width), p.transposed(), d, 1.0, &mut packed, 1);
                multiply(Out::replace(&mut dq[mine], width), ds, k, factor, &mut packed, 1);
                multiply(Out::add(&mut dk[seen], width), ds.transposed(), q, factor, &mut packed, 1);
            }
        }
    });
}

/// Scores become probabilities again, the probabilities' gradients those of the scores.
#[inline(always)]
fn softmax_backward(
    scores: &mut [f32],
    pulls: &mut [f32],
    keys: usize,
    first: usize,
    sums: &[f32],
    out: &[f32],
    dout: &[f32],
) {
    let width = out.len() / sums.len();
    let rows = scores.chunks_exact_mut(keys).zip(pulls.chunks_exact_mut(keys)).zip(sums);
    let outs = out.chunks_exact(width).zip(dout.chunks_exact(width));
    for (row, (((scores, pulls), sum), (out, dout))) in rows.zip(outs).enumerate() {
        let mean = dot(out, dout);
        let (seen, hidden) = scores.split_at_mut(first + row);
        let (pull, no_pull) = pulls.split_at_mut(first + row);
        for (p, d) in seen.iter_mut().zip(pull) {
            *p = exp(*p - sum);
            *d = *p * (*d - mean);
        }
        hidden.fill(0.0);
        no_pull.fill(0.0);
    }
}

/// Adds up what the query heads of a group found for their shared keys, into the first of them; returns the
/// groups' gradients one after the other at the front of `gradient`.
pub(super) fn sum_groups(sizes: Sizes, gradient: &mut [f32]) {
    let size = sizes.rows * sizes.head;
    let group = sizes.heads / sizes.kv_heads;
    for kv in 0..sizes.kv_heads {
        for member in 0..group {
            let from = (kv * group + member) * size;
            let (to, at) = (kv * size, member > 0);
            if at {
                let (front, back) = gradient.split_at_mut(from);
                super::maths::add(&mut front[to..to + size], &back[..size]);
            } else if to != from {
                gradient.copy_within(from..from + size, to);
            }
        }
    }
}
