//! The right-hand side of a product, laid out in the order in which the kernel reads it.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::bf16::Bf16;
use super::simd::{SIDE, transposed, vectors, widest};

/// A matrix as it lies in memory, or its transpose.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_step: usize,
    pub(super) column_step: usize,
}

impl<'a> View<'a> {
    /// A row-major matrix whose rows begin `stride` apart.
    pub(super) fn strided(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        debug_assert!(rows == 0 || data.len() >= (rows - 1) * stride + columns);
        View { data, rows, columns, row_step: stride, column_step: 1 }
    }

    /// A row-major matrix.
    pub(super) fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// Rows and columns exchanged.
    pub(super) fn transposed(self) -> Self {
        View {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_step: self.column_step,
            column_step: self.row_step,
        }
    }
}

/// The kernel of some vectors: its height, and the numbers in a vector, of which it takes one or two side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) height: usize,
    pub(super) lanes: usize,
}

fn tile(arch: Arch) -> Tile {
    struct Ask;
    impl WithSimd for Ask {
        type Output = Tile;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> Tile {
            let height = if S::REGISTER_COUNT >= 32 { 12 } else { 6 };
            Tile { height, lanes: S::F32_LANES }
        }
    }
    arch.dispatch(Ask)
}

/// The right-hand side of a product, in panels: for each panel of columns, word after word of the inner dimension.
#[derive(Debug)]
pub(super) struct Packed {
    /// The vectors it is packed for, and multiplied with.
    pub(super) arch: Arch,
    /// Words are pairs of rounded numbers, from two neighbouring inner indices; else each is a number.
    pub(super) pairs: Option<Bf16>,
    data: Vec<f32>,
    /// Words of a column.
    depth: usize,
    columns: usize,
    /// Columns of a panel: two vectors, or one where no more are needed, as for a LoRA's few.
    pub(super) width: usize,
}

/// Words of all panels' columns that are filled at once where a matrix lies row by row.
const ROWS: usize = 64;

/// The widest panel, in columns.
const WIDEST: usize = 32;

/// Smaller matrices are packed by one thread.
const WORTH_THREADS: usize = 1 << 15;

impl Default for Packed {
    fn default() -> Self {
        Packed::with(vectors())
    }
}

impl Packed {
    /// Room for a matrix, for other vectors than this process uses.
    pub(super) fn with(arch: Arch) -> Self {
        Packed { arch, pairs: None, data: Vec::new(), depth: 0, columns: 0, width: 0 }
    }

    /// The kernel it is for.
    pub(super) fn tile(&self) -> Tile {
        tile(self.arch)
    }

    /// Packs a matrix.
    pub(super) fn pack(&mut self, from: View<'_>, pairs: Option<Bf16>, threads: usize) {
        self.fill((from.rows, from.columns), pairs, threads, |column, width, panel| match pairs {
            None => pack_panel(from, column, width, panel),
            Some(bf16) => pair_panel(from, bf16, column, width, panel),
        });
    }

    /// Packs a matrix of so many rows and columns whose panels the caller makes: given the first column and the panel's
    /// width, `fill` writes the columns there are, word after word, and zeros beyond the last.
    pub(super) fn fill(
        &mut self,
        size: (usize, usize),
        pairs: Option<Bf16>,
        threads: usize,
        fill: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) {
        let (data, depth, width) = self.make_room(size, pairs);
        let work = |(number, panel): (usize, &mut [f32])| fill(number * width, width, panel);
        if threads > 1 && data.len() > WORTH_THREADS {
            data.par_chunks_mut(depth * width).enumerate().for_each(work);
        } else {
            data.chunks_mut((depth * width).max(1)).enumerate().for_each(work);
        }
    }

    /// As [`fill`](Self::fill), but some words of all panels at a time: given the first word's place in its column and
    /// the width, `fill` writes the same few rows of words of every panel.
    pub(super) fn fill_rows(
        &mut self,
        size: (usize, usize),
        pairs: Option<Bf16>,
        threads: usize,
        fill: impl Fn(usize, usize, &mut [&mut [f32]]) + Sync,
    ) {
        let (data, depth, width) = self.make_room(size, pairs);
        let worth_threads = threads > 1 && data.len() > WORTH_THREADS;
        let mut blocks: Vec<Vec<&mut [f32]>> = Vec::new();
        blocks.resize_with(depth.div_ceil(ROWS), Vec::new);
        for panel in data.chunks_mut((depth * width).max(1)) {
            for (block, part) in blocks.iter_mut().zip(panel.chunks_mut(ROWS * width)) {
                block.push(part);
            }
        }
        let work = |(number, mut parts): (usize, Vec<&mut [f32]>)| fill(number * ROWS, width, &mut parts);
        if worth_threads {
            blocks.into_par_iter().enumerate().for_each(work);
        } else {
            blocks.into_iter().enumerate().for_each(work);
        }
    }

    /// The panels of a matrix of this size, with what was there before, their depth in words and their width.
    fn make_room(
        &mut self,
        (rows, columns): (usize, usize),
        pairs: Option<Bf16>,
    ) -> (&mut [f32], usize, usize) {
        let Tile { lanes, .. } = self.tile();
        let width = if columns <= lanes { lanes } else { 2 * lanes };
        let depth = rows.div_ceil(numbers_in_a_word(pairs));
        let size = depth * columns.next_multiple_of(width);
        (self.depth, self.columns, self.width, self.pairs) = (depth, columns, width, pairs);
        self.data.resize(size.max(self.data.len()), 0.0);
        (&mut self.data[..size], depth, width)
    }

    /// Words `begin..begin + deep` of every panel's columns.
    pub(super) fn panels(&self, begin: usize, deep: usize) -> impl Iterator<Item = &[f32]> {
        let width = self.width;
        let all = &self.data[..self.depth * self.columns.next_multiple_of(width.max(1))];
        all.chunks_exact((self.depth * width).max(1))
            .map(move |panel| &panel[begin * width..(begin + deep) * width])
    }
}

/// How many numbers of a column or row a word holds.
pub(super) fn numbers_in_a_word(pairs: Option<Bf16>) -> usize {
    if pairs.is_some() { 2 } else { 1 }
}

/// As [`pack_panel`], in pairs. Either the numbers of a row or those of a column lie side by side.
fn pair_panel(from: View<'_>, bf16: Bf16, column: usize, width: usize, panel: &mut [f32]) {
    debug_assert!(from.column_step == 1 || from.row_step == 1, "neither rows nor columns lie in one piece");
    let used = width.min(from.columns - column);
    let at = column * from.column_step;
    if from.column_step == 1 {
        let row = |k: usize| &from.data[at + k * from.row_step..][..used];
        for (word, to) in panel.chunks_exact_mut(width).enumerate() {
            let (to, beyond) = to.split_at_mut(used);
            let next = 2 * word + 1;
            to.copy_from_slice(row(2 * word));
            bf16.pair_rows(to, if next < from.rows { row(next) } else { &[0.0; WIDEST][..used] });
            beyond.fill(0.0);
        }
        return;
    }
    widest(
        #[inline(always)]
        || {
            for (number, to) in panel.chunks_mut(ROWS * width).enumerate() {
                let begin = number * 2 * ROWS;
                let numbers = (from.rows - begin).min(2 * ROWS);
                for first in (0..width).step_by(SIDE) {
                    let mut lines = [[0f32; ROWS]; SIDE];
                    for (line, j) in lines.iter_mut().zip(first..used) {
                        let column = &from.data[at + j * from.column_step + begin..][..numbers];
                        bf16.pair_up(column, 1.0, &mut line[..numbers.div_ceil(2)]);
                    }
                    turn(
                        vectors(),
                        to,
                        width,
                        first..used,
                        #[inline(always)]
                        |j| &lines[j - first],
                    );
                }
            }
        },
    );
}

fn pack_panel(from: View<'_>, column: usize, width: usize, panel: &mut [f32]) {
    let used = width.min(from.columns - column);
    let at = column * from.column_step;
    widest(
        #[inline(always)]
        || {
            if from.column_step == 1 {
                for (k, to) in panel.chunks_exact_mut(width).enumerate() {
                    let at = at + k * from.row_step;
                    copy_short(&from.data[at..at + used], &mut to[..used]);
                    to[used..].fill(0.0);
                }
            } else {
                for first in (0..width).step_by(SIDE) {
                    turn(
                        vectors(),
                        panel,
                        width,
                        first..used,
                        #[inline(always)]
                        |j| &from.data[at + j * from.column_step..],
                    );
                }
            }
        },
    );
}

/// Copies a panel's few numbers, eight at a time in line: a call for each row would cost more than the copy.
#[inline(always)]
pub(super) fn copy_short(from: &[f32], to: &mut [f32]) {
    let ((from, rest), (to, last)) = (from.as_chunks::<8>(), to.as_chunks_mut::<8>());
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
}

/// Fills [`SIDE`] columns of a panel, from the first of `columns` on, square by square: each lies in one piece, and beyond
/// the last there are zeros.
#[inline(always)]
pub(super) fn turn<'a>(
    vectors: Arch,
    panel: &mut [f32],
    width: usize,
    columns: Range<usize>,
    column: impl Fn(usize) -> &'a [f32],
) {
    for (run, to) in panel.chunks_mut(SIDE * width).enumerate() {
        let mut square = [[0f32; SIDE]; SIDE];
        for (line, j) in square.iter_mut().zip(columns.clone()) {
            fill_line(line, column(j).get(run * SIDE..).unwrap_or_default(), None);
        }
        let square = transposed(vectors, square);
        for (line, to) in square.iter().zip(to.chunks_exact_mut(width)) {
            put_line(line, &mut to[columns.start..]);
        }
    }
}

/// As many numbers as there are, times a factor where there is one.
#[inline(always)]
pub(super) fn fill_line(line: &mut [f32; SIDE], from: &[f32], factor: Option<f32>) {
    match from.first_chunk::<SIDE>() {
        Some(from) => *line = *from,
        None => {
            for (to, x) in line.iter_mut().zip(from) {
                *to = *x;
            }
        }
    }
    if let Some(factor) = factor {
        for x in line {
            *x *= factor;
        }
    }
}

/// As many numbers as there is room for.
#[inline(always)]
pub(super) fn put_line(line: &[f32; SIDE], to: &mut [f32]) {
    match to.first_chunk_mut::<SIDE>() {
        Some(to) => *to = *line,
        None => {
            for (to, x) in to.iter_mut().zip(line) {
                *to = *x;
            }
        }
    }
}
