//! Both sides of a product, laid out in the order in which the kernel reads them.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

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

/// The right-hand side of a product, in panels: for each panel of columns, inner index after inner index.
#[derive(Debug)]
pub(super) struct Packed {
    /// The vectors it is packed for, and multiplied with.
    pub(super) arch: Arch,
    data: Vec<f32>,
    depth: usize,
    columns: usize,
    /// Columns of a panel: two vectors, or one where no more are needed, as for a LoRA's few.
    pub(super) width: usize,
}

/// Inner indices of all panels that are filled at once where a matrix lies row by row.
const ROWS: usize = 64;

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
        Packed { arch, data: Vec::new(), depth: 0, columns: 0, width: 0 }
    }

    /// The kernel it is for.
    pub(super) fn tile(&self) -> Tile {
        tile(self.arch)
    }

    /// Packs a matrix.
    pub(super) fn pack(&mut self, from: View<'_>, threads: usize) {
        self.fill(from.rows, from.columns, threads, |column, width, panel| {
            pack_panel(from, column, width, panel);
        });
    }

    /// Packs a matrix whose panels the caller makes: given the first column and the panel's width, `fill` writes
    /// the columns there are, inner index after inner index, and zeros beyond the last.
    pub(super) fn fill(
        &mut self,
        depth: usize,
        columns: usize,
        threads: usize,
        fill: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) {
        let (data, width) = self.make_room(depth, columns);
        let work = |(number, panel): (usize, &mut [f32])| fill(number * width, width, panel);
        if threads > 1 && data.len() > WORTH_THREADS {
            data.par_chunks_mut(depth * width).enumerate().for_each(work);
        } else {
            data.chunks_mut((depth * width).max(1)).enumerate().for_each(work);
        }
    }

    /// As [`fill`](Self::fill), but some inner indices of all panels at a time: given the first inner index and the
    /// width, `fill` writes the same few rows of every panel.
    pub(super) fn fill_rows(
        &mut self,
        depth: usize,
        columns: usize,
        threads: usize,
        fill: impl Fn(usize, usize, &mut [&mut [f32]]) + Sync,
    ) {
        let (data, width) = self.make_room(depth, columns);
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

    /// The panels of a matrix of this size, with what was there before, and their width.
    fn make_room(&mut self, depth: usize, columns: usize) -> (&mut [f32], usize) {
        let Tile { lanes, .. } = self.tile();
        let width = if columns <= lanes { lanes } else { 2 * lanes };
        let size = depth * columns.next_multiple_of(width);
        (self.depth, self.columns, self.width) = (depth, columns, width);
        self.data.resize(size.max(self.data.len()), 0.0);
        (&mut self.data[..size], width)
    }

    /// Rows `begin..begin + deep` of every panel.
    pub(super) fn panels(&self, begin: usize, deep: usize) -> impl Iterator<Item = &[f32]> {
        let width = self.width;
        let all = &self.data[..self.depth * self.columns.next_multiple_of(width.max(1))];
        all.chunks_exact((self.depth * width).max(1))
            .map(move |panel| &panel[begin * width..(begin + deep) * width])
    }
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
            fill_line(line, column(j).get(run * SIDE..).unwrap_or_default(), 1.0);
        }
        let square = transposed(vectors, square);
        for (line, to) in square.iter().zip(to.chunks_exact_mut(width)) {
            put_line(line, &mut to[columns.start..]);
        }
    }
}

/// As many numbers as there are, times a factor.
#[inline(always)]
fn fill_line(line: &mut [f32; SIDE], from: &[f32], factor: f32) {
    match from.first_chunk::<SIDE>() {
        Some(from) => {
            for (to, x) in line.iter_mut().zip(from) {
                *to = x * factor;
            }
        }
        None => {
            for (to, x) in line.iter_mut().zip(from) {
                *to = x * factor;
            }
        }
    }
}

/// As many numbers as there is room for.
#[inline(always)]
fn put_line(line: &[f32; SIDE], to: &mut [f32]) {
    match to.first_chunk_mut::<SIDE>() {
        Some(to) => *to = *line,
        None => {
            for (to, x) in to.iter_mut().zip(line) {
                *to = *x;
            }
        }
    }
}

/// Packs rows `from..from + rows`, inner indices `begin..begin + deep`, in strips as high as the kernel: for each
/// strip, inner index after inner index. Rows beyond the last are zeros.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a block of a matrix, and how it is to be laid out")]
pub(super) fn pack_left<const HEIGHT: usize>(
    vectors: Arch,
    a: View<'_>,
    from: usize,
    rows: usize,
    begin: usize,
    deep: usize,
    factor: f32,
    packed: &mut [f32],
) {
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
                factor,
            );
        }
    }
}

/// Fills a strip from rows that lie in one piece each, square by square; an empty row gives zeros.
#[inline(always)]
fn turn_rows<'a, const HEIGHT: usize>(
    vectors: Arch,
    strip: &mut [[f32; HEIGHT]],
    row: impl Fn(usize) -> &'a [f32],
    factor: f32,
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
