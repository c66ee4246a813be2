//! Matrix products in `f32`, blocked for the caches, with the widest vectors the machine has.
//!
//! The right-hand side is packed once into panels as wide as the kernel and is shared by all threads; each thread
//! takes rows of the result. What a number is summed from, and in which order, does not depend on the threads.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::simd::{vectors, widest};

/// How much of the inner dimension is taken at once: a panel of the right-hand side stays in the first cache.
const DEPTH: usize = 256;

/// Most rows a thread takes at once: with [`DEPTH`] columns they stay in the second cache.
const MOST_ROWS: usize = 264;

/// A matrix as it lies in memory, or its transpose.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_step: usize,
    column_step: usize,
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

/// Rows of a result, `stride` apart, of which `columns` from the front are written.
pub(super) struct Out<'a> {
    pub(super) data: &'a mut [f32],
    pub(super) columns: usize,
    pub(super) stride: usize,
    /// Add to what is there instead of replacing it.
    pub(super) add: bool,
}

impl<'a> Out<'a> {
    /// A row-major matrix to be overwritten.
    pub(super) fn replace(data: &'a mut [f32], columns: usize) -> Self {
        Out { data, columns, stride: columns, add: false }
    }

    /// A row-major matrix to be added to.
    pub(super) fn add(data: &'a mut [f32], columns: usize) -> Self {
        Out { data, columns, stride: columns, add: true }
    }
}

/// The kernel's height and width on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tile {
    height: usize,
    width: usize,
}

fn tile(arch: Arch) -> Tile {
    struct Ask;
    impl WithSimd for Ask {
        type Output = Tile;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> Tile {
            let height = if S::REGISTER_COUNT >= 32 { 12 } else { 6 };
            Tile { height, width: 2 * S::F32_LANES }
        }
    }
    arch.dispatch(Ask)
}

/// The right-hand side of a product, in panels: for each panel of columns, inner index after inner index.
#[derive(Debug)]
pub(super) struct Packed {
    /// The vectors it is packed for.
    arch: Arch,
    data: Vec<f32>,
    depth: usize,
    columns: usize,
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
    fn with(arch: Arch) -> Self {
        Packed { arch, data: Vec::new(), depth: 0, columns: 0 }
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
        let width = tile(self.arch).width;
        let size = depth * columns.next_multiple_of(width);
        self.depth = depth;
        self.columns = columns;
        self.data.resize(size.max(self.data.len()), 0.0);
        let data = &mut self.data[..size];
        let work = |(panel, part): (usize, &mut [f32])| fill(panel * width, width, part);
        if threads > 1 && size > WORTH_THREADS {
            data.par_chunks_mut(depth * width).enumerate().for_each(work);
        } else {
            data.chunks_mut((depth * width).max(1)).enumerate().for_each(work);
        }
    }

    /// Rows `begin..begin + deep` of every panel.
    fn panels(&self, begin: usize, deep: usize, width: usize) -> impl Iterator<Item = &[f32]> {
        let all = &self.data[..self.depth * self.columns.next_multiple_of(width)];
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

/// `out (+)= factor · a · b`; `packed` is room for `b`.
pub(super) fn multiply(
    out: Out<'_>,
    a: View<'_>,
    b: View<'_>,
    factor: f32,
    packed: &mut Packed,
    threads: usize,
) {
    packed.pack(b, threads);
    multiply_packed(out, a, packed, factor, threads);
}

/// `out (+)= factor · a · b`, with `b` packed before.
pub(super) fn multiply_packed(out: Out<'_>, a: View<'_>, b: &Packed, factor: f32, threads: usize) {
    let tile = tile(b.arch);
    let Out { data, columns, stride, add } = out;
    if a.rows == 0 || columns == 0 {
        return;
    }
    let rounds = a.rows.div_ceil(threads.max(1) * MOST_ROWS);
    let share = a.rows.div_ceil(threads.max(1) * rounds).next_multiple_of(tile.height);
    let used = (a.rows - 1) * stride + columns;
    let work = |(index, data): (usize, &mut [f32])| {
        let first = index * share;
        let rows = share.min(a.rows - first);
        b.arch.dispatch(Rows { data, stride, columns, add, a, first, rows, b, factor });
    };
    let data = &mut data[..used];
    if threads > 1 {
        data.par_chunks_mut(share * stride).enumerate().for_each(work);
    } else {
        data.chunks_mut(share * stride).enumerate().for_each(work);
    }
}

struct Rows<'a, 'o> {
    data: &'o mut [f32],
    stride: usize,
    columns: usize,
    add: bool,
    a: View<'a>,
    first: usize,
    rows: usize,
    b: &'a Packed,
    factor: f32,
}

impl WithSimd for Rows<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if S::REGISTER_COUNT >= 32 { self.run::<S, 12>(simd) } else { self.run::<S, 6>(simd) }
    }
}

impl Rows<'_, '_> {
    #[inline(always)]
    fn run<S: Simd, const HEIGHT: usize>(self, simd: S) {
        let Rows { data, stride, columns, add, a, first, rows, b, factor } = self;
        let width = 2 * S::F32_LANES;
        let mut packed = vec![0.0; rows.next_multiple_of(HEIGHT) * DEPTH.min(b.depth)];
        for begin in (0..b.depth).step_by(DEPTH) {
            let deep = DEPTH.min(b.depth - begin);
            pack_left::<HEIGHT>(a, first, rows, begin, deep, factor, &mut packed);
            let add = add || begin > 0;
            for (panel, right) in b.panels(begin, deep, width).enumerate() {
                let column = panel * width;
                let used = width.min(columns - column);
                for (strip, left) in
                    packed.chunks_exact(deep * HEIGHT).take(rows.div_ceil(HEIGHT)).enumerate()
                {
                    let sums = kernel::<S, HEIGHT>(simd, left, right);
                    let row = strip * HEIGHT;
                    for (i, sums) in sums.iter().take(rows - row).enumerate() {
                        let at = (row + i) * stride + column;
                        let to = &mut data[at..at + used];
                        let (vectors, _) = S::as_mut_simd_f32s(to);
                        if vectors.len() == 2 {
                            for (to, sum) in vectors.iter_mut().zip(sums) {
                                *to = if add { simd.add_f32s(*to, *sum) } else { *sum };
                            }
                        } else {
                            let sums: &[f32] = pulp::bytemuck::cast_slice(sums);
                            for (to, sum) in to.iter_mut().zip(sums) {
                                *to = if add { *to + sum } else { *sum };
                            }
                        }
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn pack_left<const HEIGHT: usize>(
    a: View<'_>,
    first: usize,
    rows: usize,
    begin: usize,
    deep: usize,
    factor: f32,
    packed: &mut [f32],
) {
    for (strip, to) in packed.chunks_exact_mut(deep * HEIGHT).take(rows.div_ceil(HEIGHT)).enumerate() {
        let row = strip * HEIGHT;
        let used = HEIGHT.min(rows - row);
        let at = (first + row) * a.row_step + begin * a.column_step;
        if a.row_step == 1 {
            for (k, to) in to.as_chunks_mut::<HEIGHT>().0.iter_mut().enumerate() {
                let at = at + k * a.column_step;
                let from = &a.data[at..at + used];
                to.fill(0.0);
                for (to, x) in to.iter_mut().zip(from) {
                    *to = x * factor;
                }
            }
        } else {
            for i in 0..HEIGHT {
                if i < used {
                    let at = at + i * a.row_step;
                    let from = a.data[at..at + (deep - 1) * a.column_step + 1].iter().step_by(a.column_step);
                    for (to, x) in to.as_chunks_mut::<HEIGHT>().0.iter_mut().zip(from) {
                        to[i] = x * factor;
                    }
                } else {
                    for to in to.as_chunks_mut::<HEIGHT>().0 {
                        to[i] = 0.0;
                    }
                }
            }
        }
    }
}

/// The product of a strip of rows and a panel of columns.
#[inline(always)]
fn kernel<S: Simd, const HEIGHT: usize>(simd: S, left: &[f32], right: &[f32]) -> [[S::f32s; 2]; HEIGHT] {
    let mut sums = [[simd.splat_f32s(0.0); 2]; HEIGHT];
    let (right, _) = S::as_simd_f32s(right);
    let (left, right) = (left.as_chunks::<HEIGHT>().0, right.as_chunks::<2>().0);
    // Counted loops over arrays of known length: the sums must end up in registers whatever else is optimised.
    let mut k = 0;
    while k < left.len() && k < right.len() {
        let mut i = 0;
        while i < HEIGHT {
            let x = simd.splat_f32s(left[k][i]);
            sums[i][0] = simd.mul_add_e_f32s(x, right[k][0], sums[i][0]);
            sums[i][1] = simd.mul_add_e_f32s(x, right[k][1], sums[i][1]);
            i += 1;
        }
        k += 1;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::super::simd::narrower;
    use super::*;

    #[test]
    fn products_of_odd_sizes_transposes_and_strides_are_right_on_any_threads_and_vectors() {
        let mut random = fastrand::Rng::with_seed(1);
        let sizes =
            [(1, 1, 1), (5, 3, 7), (13, 300, 33), (70, 64, 8), (8, 17, 70), (40, 513, 31), (600, 20, 50)];
        let kinds: Vec<Arch> = narrower().into_iter().chain([Arch::new(), Arch::Scalar]).collect();
        for ((rows, depth, columns), arch) in
            sizes.into_iter().flat_map(|size| kinds.iter().map(move |arch| (size, *arch)))
        {
            for (left, right, threads) in
                [(false, false, 1), (true, false, 2), (false, true, 2), (true, true, 3)]
            {
                let a: Vec<f32> = (0..rows * depth).map(|_| random.f32() - 0.5).collect();
                let b: Vec<f32> = (0..depth * columns).map(|_| random.f32() - 0.5).collect();
                let view = |data, rows, columns, turned| {
                    if turned {
                        View::new(data, columns, rows).transposed()
                    } else {
                        View::new(data, rows, columns)
                    }
                };
                let stride = columns + 3;
                let mut out = vec![1.0; rows * stride];
                let place = Out { data: &mut out, columns, stride, add: true };
                let (a, b) = (view(&a, rows, depth, left), view(&b, depth, columns, right));
                multiply(place, a, b, 2.0, &mut Packed::with(arch), threads);
                let at = |m: View<'_>, i: usize, j: usize| m.data[i * m.row_step + j * m.column_step];
                for i in 0..rows {
                    for j in 0..stride {
                        let sum: f32 = if j < columns {
                            (0..depth).map(|k| at(a, i, k) * at(b, k, j)).sum()
                        } else {
                            0.0
                        };
                        let found = out[i * stride + j];
                        assert!(
                            (found - 1.0 - 2.0 * sum).abs() < 1e-3,
                            "{rows} {depth} {columns}: {found} {sum}"
                        );
                    }
                }
            }
        }
    }
}
