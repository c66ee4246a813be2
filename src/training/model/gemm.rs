//! Matrix products in `f32`, blocked for the caches, with the widest vectors the machine has.
//!
//! The right-hand side is packed once into panels as wide as the kernel and is shared by all threads; each thread
//! takes rows of the result. What a number is summed from, and in which order, does not depend on the threads.

use std::cell::Cell;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::packing::{Packed, View, numbers_in_a_word};
use super::strips::{DEPTH, Strips};

/// Most rows a thread takes at once: with [`DEPTH`] columns they stay in the second cache.
const MOST_ROWS: usize = 264;

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

/// `out (+)= factor · a · b`; `packed` is room for `b`.
pub(super) fn multiply(
    out: Out<'_>,
    a: View<'_>,
    b: View<'_>,
    factor: f32,
    packed: &mut Packed,
    threads: usize,
) {
    packed.pack(b, None, threads);
    multiply_packed(out, a, packed, factor, threads);
}

/// `out (+)= factor · a · b`, with `b` packed before.
pub(super) fn multiply_packed(out: Out<'_>, a: View<'_>, b: &Packed, factor: f32, threads: usize) {
    multiply_both(Product { out, b }, None, a, factor, threads);
}

/// A result, and the packed right-hand side it comes from.
pub(super) struct Product<'a> {
    pub(super) out: Out<'a>,
    pub(super) b: &'a Packed,
}

/// A LoRA's way beside a product: from the same left-hand side down to a few columns, and from these, times a factor,
/// up to the product's result, to which they are added.
pub(super) struct Detour<'a> {
    pub(super) down: Product<'a>,
    pub(super) up: &'a Packed,
    pub(super) factor: f32,
}

/// A product, and perhaps a detour from the same left-hand side, which is packed once for both. A thread takes its rows
/// all the way, while they are in its caches.
pub(super) fn multiply_both(
    first: Product<'_>,
    detour: Option<Detour<'_>>,
    a: View<'_>,
    factor: f32,
    threads: usize,
) {
    let (arch, tile) = (first.b.arch, first.b.tile());
    if a.rows == 0 || first.out.columns == 0 {
        return;
    }
    let rounds = a.rows.div_ceil(threads.max(1) * MOST_ROWS);
    let share = a.rows.div_ceil(threads.max(1) * rounds).next_multiple_of(tile.height);
    let mut shares: Vec<Rows<'_, '_>> = (0..a.rows)
        .step_by(share)
        .map(|from| Rows {
            left: Left { vectors: arch, a, from, rows: share.min(a.rows - from), factor },
            parts: [const { None }; 2],
            up: detour.as_ref().map(|detour| (detour.up, detour.factor)),
        })
        .collect();
    for (place, product) in [Some(first), detour.map(|detour| detour.down)].into_iter().enumerate() {
        let Some(Product { out: Out { data, columns, stride, add }, b }) = product else { continue };
        let data = &mut data[..(a.rows - 1) * stride + columns];
        for (rows, data) in shares.iter_mut().zip(data.chunks_mut(share * stride)) {
            rows.parts[place] = Some(Part { data, columns, stride, add, b });
        }
    }
    if threads > 1 {
        shares.into_par_iter().for_each(|rows| arch.dispatch(rows));
    } else {
        shares.into_iter().for_each(|rows| arch.dispatch(rows));
    }
}

/// Some rows of a left-hand side, and what they are multiplied with.
struct Rows<'a, 'o> {
    left: Left<'a>,
    parts: [Option<Part<'a, 'o>>; 2],
    /// What the second result is multiplied with, to be added to the first.
    up: Option<(&'a Packed, f32)>,
}

/// These rows of a result.
struct Part<'a, 'o> {
    data: &'o mut [f32],
    columns: usize,
    stride: usize,
    add: bool,
    b: &'a Packed,
}

impl WithSimd for Rows<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if S::REGISTER_COUNT >= 32 { self.run::<S, 12>(simd) } else { self.run::<S, 6>(simd) }
    }
}

thread_local! {
    /// Room for the rows at hand, kept from product to product.
    static PACKED_ROWS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

impl Rows<'_, '_> {
    #[inline(always)]
    fn run<S: Simd, const HEIGHT: usize>(self, simd: S) {
        let Rows { left, mut parts, up } = self;
        let mut room = PACKED_ROWS.take();
        left.multiply::<S, HEIGHT>(simd, &mut room, &mut parts);
        let (result, few) = parts.split_at_mut(1);
        if let (Some((up, factor)), [Some(few)]) = (up, few) {
            for result in result.iter_mut().flatten() {
                (result.b, result.add) = (up, true);
            }
            let few = View::strided(few.data, left.rows, few.columns, few.stride);
            Left { a: few, from: 0, factor, ..left }.multiply::<S, HEIGHT>(simd, &mut room, result);
        }
        PACKED_ROWS.set(room);
    }
}

/// Some rows of a left-hand side.
#[derive(Clone, Copy)]
struct Left<'a> {
    vectors: Arch,
    a: View<'a>,
    from: usize,
    rows: usize,
    factor: f32,
}

impl Left<'_> {
    /// Adds their products to some results, or puts them there.
    #[inline(always)]
    fn multiply<S: Simd, const HEIGHT: usize>(
        self,
        simd: S,
        room: &mut Vec<f32>,
        parts: &mut [Option<Part<'_, '_>>],
    ) {
        let Left { vectors, a, from, rows, factor } = self;
        let high = rows.next_multiple_of(HEIGHT);
        let pairs = parts.iter().flatten().next().and_then(|part| part.b.pairs);
        debug_assert!(
            parts.iter().flatten().all(|part| part.b.pairs.is_some() == pairs.is_some()),
            "one packing of the left-hand side serves all parts"
        );
        let words = a.columns.div_ceil(numbers_in_a_word(pairs));
        room.resize((high * DEPTH.min(words)).max(room.len()), 0.0);
        for begin in (0..words).step_by(DEPTH) {
            let deep = DEPTH.min(words - begin);
            let packed = &mut room[..high * deep];
            let strips = Strips { a, from, rows, begin, deep, factor };
            match pairs {
                None => strips.pack::<HEIGHT>(vectors, packed),
                Some(bf16) => strips.pair::<HEIGHT>(vectors, bf16, packed),
            }
            for part in parts.iter_mut().flatten() {
                if part.b.width == S::F32_LANES {
                    part.add_product::<S, HEIGHT, 1>(simd, packed, rows, begin, deep);
                } else {
                    part.add_product::<S, HEIGHT, 2>(simd, packed, rows, begin, deep);
                }
            }
        }
    }
}

impl Part<'_, '_> {
    /// Multiplies the packed rows with words `begin..begin + deep` of the right-hand side's columns.
    #[inline(always)]
    fn add_product<S: Simd, const HEIGHT: usize, const VECTORS: usize>(
        &mut self,
        simd: S,
        packed: &[f32],
        rows: usize,
        begin: usize,
        deep: usize,
    ) {
        let add = self.add || begin > 0;
        let width = VECTORS * S::F32_LANES;
        let mut of_pairs = [[simd.splat_f32s(0.0); VECTORS]; HEIGHT];
        for (panel, right) in self.b.panels(begin, deep).enumerate() {
            let column = panel * width;
            let used = width.min(self.columns - column);
            for (strip, left) in packed.chunks_exact(deep * HEIGHT).enumerate() {
                let sums = match self.b.pairs {
                    None => &kernel::<S, HEIGHT, VECTORS>(simd, left, right),
                    Some(bf16) => {
                        let room = pulp::bytemuck::cast_slice_mut(of_pairs.as_flattened_mut());
                        bf16.products::<HEIGHT, VECTORS>(left, right, room);
                        &of_pairs
                    }
                };
                let row = strip * HEIGHT;
                let at = row * self.stride + column;
                if used == width && rows - row >= HEIGHT {
                    self.put_all(simd, sums, at, add);
                } else {
                    self.put_some(sums, at, used, rows - row, add);
                }
            }
        }
    }

    /// Puts a whole tile at its place. The loops are counted, so that the sums can stay in registers.
    #[inline(always)]
    fn put_all<S: Simd, const HEIGHT: usize, const VECTORS: usize>(
        &mut self,
        simd: S,
        sums: &[[S::f32s; VECTORS]; HEIGHT],
        at: usize,
        add: bool,
    ) {
        let width = VECTORS * S::F32_LANES;
        let rows = &mut self.data[at..at + (HEIGHT - 1) * self.stride + width];
        let mut i = 0;
        while i < HEIGHT {
            let (to, _) = S::as_mut_simd_f32s(&mut rows[i * self.stride..i * self.stride + width]);
            let mut j = 0;
            while j < VECTORS {
                to[j] = if add { simd.add_f32s(to[j], sums[i][j]) } else { sums[i][j] };
                j += 1;
            }
            i += 1;
        }
    }

    /// Puts the first rows and columns of a tile that reaches beyond the result.
    #[inline(always)]
    fn put_some<V: pulp::bytemuck::Pod, const HEIGHT: usize, const VECTORS: usize>(
        &mut self,
        sums: &[[V; VECTORS]; HEIGHT],
        at: usize,
        columns: usize,
        rows: usize,
        add: bool,
    ) {
        for (i, sums) in sums.iter().take(rows).enumerate() {
            let at = at + i * self.stride;
            let sums: &[f32] = pulp::bytemuck::cast_slice(sums);
            for (to, sum) in self.data[at..at + columns].iter_mut().zip(sums) {
                *to = if add { *to + sum } else { *sum };
            }
        }
    }
}

/// The product of a strip of rows and a panel of columns.
#[inline(always)]
fn kernel<S: Simd, const HEIGHT: usize, const VECTORS: usize>(
    simd: S,
    left: &[f32],
    right: &[f32],
) -> [[S::f32s; VECTORS]; HEIGHT] {
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; HEIGHT];
    let (right, _) = S::as_simd_f32s(right);
    let (left, right) = (left.as_chunks::<HEIGHT>().0, right.as_chunks::<VECTORS>().0);
    // Counted loops over arrays of known length: the sums must end up in registers whatever else is optimised.
    let mut k = 0;
    while k < left.len() && k < right.len() {
        let mut i = 0;
        while i < HEIGHT {
            let x = simd.splat_f32s(left[k][i]);
            let mut j = 0;
            while j < VECTORS {
                sums[i][j] = simd.mul_add_e_f32s(x, right[k][j], sums[i][j]);
                j += 1;
            }
            i += 1;
        }
        k += 1;
    }
    sums
}

#[cfg(test)]
mod tests {
    use pulp::Arch;

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
    #[test]
    fn products_of_pairs_of_odd_sizes_and_strides_are_those_of_the_rounded_numbers() {
        let Some(pairs) = super::super::simd::pairs() else {
            return println!("this processor does not multiply bfloat16");
        };
        let mut random = fastrand::Rng::with_seed(2);
        for (rows, depth, columns) in
            [(1, 1, 1), (5, 3, 7), (13, 301, 33), (70, 64, 8), (8, 17, 70), (40, 813, 31)]
        {
            // Small whole numbers are not rounded.
            let mut whole = |count: usize| (0..count).map(|_| random.i32(-8..9) as f32).collect::<Vec<_>>();
            let (a, b) = (whole(rows * depth), whole(depth * columns));
            for (left, right, threads) in
                [(false, false, 1), (true, false, 2), (false, true, 2), (true, true, 3)]
            {
                let view = |data, rows, columns, turned| {
                    if turned {
                        View::new(data, columns, rows).transposed()
                    } else {
                        View::new(data, rows, columns)
                    }
                };
                let (a, b) = (view(&a, rows, depth, left), view(&b, depth, columns, right));
                let mut out = vec![1.0; rows * columns];
                let mut packed = Packed::default();
                packed.pack(b, Some(pairs), threads);
                multiply_packed(Out::add(&mut out, columns), a, &packed, 0.5, threads);
                let at = |m: View<'_>, i: usize, j: usize| m.data[i * m.row_step + j * m.column_step];
                for (n, found) in out.iter().enumerate() {
                    let (i, j) = (n / columns, n % columns);
                    let sum: f32 = (0..depth).map(|k| at(a, i, k) * at(b, k, j)).sum();
                    assert_eq!(*found, 1.0 + 0.5 * sum, "{rows} {depth} {columns} at {i}, {j}");
                }
            }
        }
    }
}
