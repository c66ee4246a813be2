//! Both sides of a product, laid out in the order in which the kernel reads them.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::simd::{vectors, widest};

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

/// Widest panel there is: two vectors of 16.
const MOST_COLUMNS: usize = 32;

/// Inner indices that are turned at once.
const RUN: usize = 16;

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
        self.fill_groups(depth, columns, 1, threads, fill);
    }

    /// As [`fill`](Self::fill), but with neighbouring panels that together have at least `group` columns at a time,
    /// one after the other.
    pub(super) fn fill_groups(
        &mut self,
        depth: usize,
        columns: usize,
        group: usize,
        threads: usize,
        fill: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) {
        let Tile { lanes, .. } = self.tile();
        let width = if columns <= lanes { lanes } else { 2 * lanes };
        let size = depth * columns.next_multiple_of(width);
        (self.depth, self.columns, self.width) = (depth, columns, width);
        self.data.resize(size.max(self.data.len()), 0.0);
        let data = &mut self.data[..size];
        let group = group.next_multiple_of(width);
        let work = |(number, part): (usize, &mut [f32])| fill(number * group, width, part);
        if threads > 1 && size > WORTH_THREADS {
            data.par_chunks_mut(depth * group).enumerate().for_each(work);
        } else {
            data.chunks_mut((depth * group).max(1)).enumerate().for_each(work);
        }
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
    if from.column_step == 1 {
        for (k, to) in panel.chunks_exact_mut(width).enumerate() {
            let at = at + k * from.row_step;
            to[..used].copy_from_slice(&from.data[at..at + used]);
            to[used..].fill(0.0);
        }
        return;
    }
    let columns = |j: usize| &from.data[at + j * from.column_step..];
    widest(
        #[inline(always)]
        || turn(used, width, panel, columns),
    );
}

/// Fills a panel from columns that lie in one piece each: a few inner indices of all columns at a time, by way of a
/// square that stays in the first cache.
#[inline(always)]
pub(super) fn turn<'a>(used: usize, width: usize, panel: &mut [f32], columns: impl Fn(usize) -> &'a [f32]) {
    let mut square = [[0f32; RUN]; MOST_COLUMNS];
    for (run, to) in panel.chunks_mut(RUN * width).enumerate() {
        let count = to.len() / width;
        for (j, line) in square.iter_mut().enumerate().take(used) {
            let from = &columns(j)[run * RUN..];
            match from.first_chunk::<RUN>() {
                Some(from) if count == RUN => *line = *from,
                _ => line[..count].copy_from_slice(&from[..count]),
            }
        }
        for (k, to) in to.chunks_exact_mut(width).enumerate() {
            for (to, line) in to.iter_mut().zip(&square) {
                *to = line[k % RUN];
            }
        }
    }
}

/// Packs rows `from..from + rows`, inner indices `begin..begin + deep`, in strips as high as the kernel: for each
/// strip, inner index after inner index. Rows beyond the last are zeros.
#[inline(always)]
pub(super) fn pack_left<const HEIGHT: usize>(
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
            turn_rows(to, |i| if i < used { &a.data[at + i * a.row_step..][..deep] } else { &[] }, factor);
        }
    }
}

/// Fills a strip from rows that lie in one piece each, by way of a square that stays in registers or the first cache;
/// an empty row gives zeros.
#[inline(always)]
fn turn_rows<'a, const HEIGHT: usize>(
    strip: &mut [[f32; HEIGHT]],
    row: impl Fn(usize) -> &'a [f32],
    factor: f32,
) {
    for (run, to) in strip.chunks_mut(RUN).enumerate() {
        let mut square = [[0f32; RUN]; HEIGHT];
        for (i, line) in square.iter_mut().enumerate() {
            let from = row(i).get(run * RUN..).unwrap_or_default();
            match from.first_chunk::<RUN>() {
                Some(from) => *line = from.map(|x| x * factor),
                None => line.iter_mut().zip(from).for_each(|(to, x)| *to = x * factor),
            }
        }
        for (k, to) in to.iter_mut().enumerate() {
            for (to, line) in to.iter_mut().zip(&square) {
                *to = line[k % RUN];
            }
        }
    }
}
