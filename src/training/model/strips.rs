//! The left-hand side of a product, laid out in the order in which the kernel reads it.

use pulp::Arch;

use super::bf16::Bf16;
use super::packing::{View, fill_line, put_line};
use super::simd::{SIDE, transposed};

/// How many words of the inner dimension are taken at once: a panel of the right-hand side and a strip of the left-hand
/// one are together as large as a first cache of 32 KiB.
pub(super) const DEPTH: usize = 192;

/// Some rows of a left-hand side, and some words of each.
#[derive(Clone, Copy)]
pub(super) struct Strips<'a> {
    pub(super) a: View<'a>,
    pub(super) from: usize,
    pub(super) rows: usize,
    pub(super) begin: usize,
    pub(super) deep: usize,
    /// Each number is multiplied by it.
    pub(super) factor: f32,
}

impl Strips<'_> {
    /// Packs them in strips as high as the kernel: for each strip, inner index after inner index. Rows beyond the last
    /// are zeros.
    #[inline(always)]
    pub(super) fn pack<const HEIGHT: usize>(self, vectors: Arch, packed: &mut [f32]) {
        let Strips { a, from, rows, begin, deep, factor } = self;
        for (strip, to) in packed.chunks_exact_mut(deep * HEIGHT).enumerate() {
            let row = strip * HEIGHT;
            let used = HEIGHT.min(rows - row);
            let at = (from + row) * a.row_step + begin * a.column_step;
            let to = to.as_chunks_mut::<HEIGHT>().0;
            if a.row_step == 1 {
                for (k, to) in to.iter_mut().enumerate() {
                    let from = &a.data[at + k * a.column_step..];
                    match from.first_chunk::<HEIGHT>() {
                        Some(from) if used == HEIGHT => *to = from.map(|x| x * factor),
                        _ => {
                            *to = [0.0; HEIGHT];
                            to.iter_mut().zip(&from[..used]).for_each(|(to, x)| *to = x * factor);
                        }
                    }
                }
            } else {
                turn_rows(
                    vectors,
                    to,
                    #[inline(always)]
                    |i| if i < used { &a.data[at + i * a.row_step..][..deep] } else { &[] },
                    Some(factor),
                );
            }
        }
    }

    /// As [`pack`](Self::pack), but rounded, two numbers in a word; `begin` and `deep` count words, at most [`DEPTH`].
    #[inline(always)]
    pub(super) fn pair<const HEIGHT: usize>(self, vectors: Arch, bf16: Bf16, packed: &mut [f32]) {
        let Strips { a, from, rows, begin, deep, factor } = self;
        let numbers = (2 * deep).min(a.columns - 2 * begin);
        let mut lines = [[0f32; DEPTH]; HEIGHT];
        let mut gathered = [0f32; 2 * DEPTH];
        for (strip, to) in packed.chunks_exact_mut(deep * HEIGHT).enumerate() {
            let row = strip * HEIGHT;
            let used = HEIGHT.min(rows - row);
            for (i, line) in lines.iter_mut().enumerate().take(used) {
                let at = (from + row + i) * a.row_step + 2 * begin * a.column_step;
                let from = if a.column_step == 1 {
                    &a.data[at..at + numbers]
                } else {
                    for (to, x) in
                        gathered[..numbers].iter_mut().zip(a.data[at..].iter().step_by(a.column_step))
                    {
                        *to = *x;
                    }
                    &gathered[..numbers]
                };
                bf16.pair_up(from, factor, &mut line[..deep]);
            }
            turn_rows(
                vectors,
                to.as_chunks_mut::<HEIGHT>().0,
                #[inline(always)]
                |i| if i < used { &lines[i][..deep] } else { &[] },
                None,
            );
        }
    }
}

/// Fills a strip from rows that lie in one piece each, square by square, times a factor where there is one; an empty
/// row gives zeros.
#[inline(always)]
fn turn_rows<'a, const HEIGHT: usize>(
    vectors: Arch,
    strip: &mut [[f32; HEIGHT]],
    row: impl Fn(usize) -> &'a [f32],
    factor: Option<f32>,
) {
    // Where the height is no multiple of the side, the last square begins earlier and does some rows again.
    let last = HEIGHT.saturating_sub(SIDE);
    for (run, to) in strip.chunks_mut(SIDE).enumerate() {
        for first in (0..HEIGHT).step_by(SIDE).map(|first| first.min(last)) {
            let mut square = [[0f32; SIDE]; SIDE];
            for (i, line) in square.iter_mut().enumerate().take(HEIGHT - first) {
                fill_line(line, row(first + i).get(run * SIDE..).unwrap_or_default(), factor);
            }
            let square = transposed(vectors, square);
            for (line, to) in square.iter().zip(to.iter_mut()) {
                put_line(line, &mut to[first..]);
            }
        }
    }
}
