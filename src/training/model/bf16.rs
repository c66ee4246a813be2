//! Numbers rounded to bfloat16, two in a word, and their products as the processor makes them (AVX512-BF16): twice as
//! many at once as of `f32`, summed in `f32`.
//!
//! The only module with `unsafe`: pulp has no safe way to this instruction. It is sound because a [`Bf16`] can only be
//! had where the processor was seen to have it, and because every pointer is an array's that was cut to length before.
#![expect(unsafe_code, reason = "an instruction that no safe crate offers; see above")]

/// The processor multiplies pairs of bfloat16 numbers itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bf16(());

/// Numbers of a vector of sums.
const LANES: usize = 16;

impl Bf16 {
    /// `None` where the processor, or this program on it, cannot.
    pub(super) fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        return (is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512bf16"))
        .then_some(Bf16(()));
        #[cfg(not(target_arch = "x86_64"))]
        None
    }

    /// The sums of products of a strip, `HEIGHT` words for each inner index, and a panel, `VECTORS` times sixteen words
    /// for each; row by row.
    ///
    /// # Panics
    /// If there is no room for the sums.
    #[inline(always)]
    pub(super) fn products<const HEIGHT: usize, const VECTORS: usize>(
        self,
        left: &[f32],
        right: &[f32],
        sums: &mut [f32],
    ) {
        // SAFETY: `self` shows that the processor has what the function is compiled for.
        unsafe { processor::products::<HEIGHT, VECTORS>(left, right, sums) }
    }

    /// Neighbouring numbers, times a factor, into words. A last one without neighbour has zero beside it.
    #[inline(always)]
    pub(super) fn pair_up(self, numbers: &[f32], factor: f32, words: &mut [f32]) {
        // SAFETY: as above.
        unsafe { processor::pair_up(numbers, factor, words) }
    }

    /// Numbers that stand one above the other, into words: in place of the lower ones.
    #[inline(always)]
    pub(super) fn pair_rows(self, low: &mut [f32], high: &[f32]) {
        // SAFETY: as above.
        unsafe { processor::pair_rows(low, high) }
    }
}

#[cfg(target_arch = "x86_64")]
mod processor {
    use std::arch::x86_64::*;
    use std::mem::transmute;

    use super::{LANES, pair};

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) fn products<const HEIGHT: usize, const VECTORS: usize>(
        left: &[f32],
        right: &[f32],
        sums: &mut [f32],
    ) {
        let (left, right) = (left.as_chunks::<HEIGHT>().0, right.as_chunks::<LANES>().0);
        let right = right.as_chunks::<VECTORS>().0;
        let mut tile = [[_mm512_setzero_ps(); VECTORS]; HEIGHT];
        // Counted loops over arrays of known length, so that the sums stay in registers.
        let mut k = 0;
        while k < left.len() && k < right.len() {
            let mut i = 0;
            while i < HEIGHT {
                let x = halves(_mm512_set1_ps(left[k][i]));
                let mut j = 0;
                while j < VECTORS {
                    tile[i][j] = _mm512_dpbf16_ps(tile[i][j], x, halves(load(&right[k][j])));
                    j += 1;
                }
                i += 1;
            }
            k += 1;
        }
        let sums = sums.as_chunks_mut::<LANES>().0;
        for (sums, tile) in sums[..HEIGHT * VECTORS].iter_mut().zip(tile.as_flattened()) {
            store(sums, *tile);
        }
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) fn pair_up(numbers: &[f32], factor: f32, words: &mut [f32]) {
        let all = _mm512_set1_ps(factor);
        let whole = (numbers.len() / (2 * LANES)).min(words.len() / LANES);
        let (blocks, rest) = numbers.split_at(whole * 2 * LANES);
        let (to, last) = words.split_at_mut(whole * LANES);
        let blocks = blocks.as_chunks::<LANES>().0.as_chunks::<2>().0;
        for (to, [first, second]) in to.as_chunks_mut::<LANES>().0.iter_mut().zip(blocks) {
            store(to, rounded(_mm512_mul_ps(load(first), all), _mm512_mul_ps(load(second), all)));
        }
        for (to, two) in last.iter_mut().zip(rest.chunks(2)) {
            let [low, high] = [two.first(), two.get(1)].map(|x| x.map_or(0.0, |x| x * factor));
            *to = pair(low, high);
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) fn pair_rows(low: &mut [f32], high: &[f32]) {
        // Word i takes number i of the lower half and number i of the upper one.
        let order: [u16; 2 * LANES] = std::array::from_fn(|n| (n / 2 + n % 2 * LANES) as u16);
        // SAFETY: both are 64 bytes, and every pattern of bits is a value of both.
        let order: __m512i = unsafe { transmute(order) };
        let (low, high) = (low.as_chunks_mut::<LANES>(), high.as_chunks::<LANES>());
        for (low, high) in low.0.iter_mut().zip(high.0) {
            let turned = _mm512_permutexvar_epi16(order, _mm512_castps_si512(rounded(load(low), load(high))));
            store(low, _mm512_castsi512_ps(turned));
        }
        for (low, high) in low.1.iter_mut().zip(high.1) {
            *low = pair(*low, *high);
        }
    }

    /// Thirty-two numbers rounded, the first sixteen in the lower half.
    #[target_feature(enable = "avx512f,avx512bf16")]
    #[inline]
    fn rounded(first: __m512, second: __m512) -> __m512 {
        // SAFETY: both are 64 bytes, and every pattern of bits is a value of both.
        unsafe { transmute(_mm512_cvtne2ps_pbh(second, first)) }
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    #[inline]
    fn halves(words: __m512) -> __m512bh {
        // SAFETY: as above.
        unsafe { transmute(words) }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn load(from: &[f32; LANES]) -> __m512 {
        // SAFETY: the array has the sixteen numbers.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn store(to: &mut [f32; LANES], vector: __m512) {
        // SAFETY: the array has room for the sixteen numbers.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), vector) }
    }
}

/// Nothing here is ever reached: a [`Bf16`] is had on x86-64 only.
#[cfg(not(target_arch = "x86_64"))]
mod processor {
    pub(super) unsafe fn products<const HEIGHT: usize, const VECTORS: usize>(
        _: &[f32],
        _: &[f32],
        _: &mut [f32],
    ) {
    }

    pub(super) unsafe fn pair_up(_: &[f32], _: f32, _: &mut [f32]) {}

    pub(super) unsafe fn pair_rows(_: &mut [f32], _: &[f32]) {}
}

/// Two numbers in one word, each rounded to the nearest bfloat16 (of two as near, the even one), the first in the lower
/// half. What is no number stays none.
#[inline(always)]
pub(super) fn pair(low: f32, high: f32) -> f32 {
    f32::from_bits(rounded(low) >> 16 | rounded(high) & 0xffff_0000)
}

/// Rounded in the upper half; the lower half means nothing.
#[inline(always)]
fn rounded(x: f32) -> u32 {
    let bits = x.to_bits();
    let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    if x.is_nan() { bits | 1 << 22 } else { nearest }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The two numbers of a word.
    fn apart(word: f32) -> [f32; 2] {
        let bits = word.to_bits();
        [f32::from_bits(bits << 16), f32::from_bits(bits & 0xffff_0000)]
    }

    #[test]
    fn numbers_are_rounded_to_the_nearest_and_keep_their_places() {
        let half_a_step = 1.0 + 1.0 / 256.0;
        for (number, nearest) in [
            (0.0, 0.0),
            (-3.0, -3.0),
            (half_a_step, 1.0),
            (half_a_step + 1e-5, 1.0 + 1.0 / 128.0),
            (1.0 + 3.0 / 256.0, 1.0 + 1.0 / 64.0),
            (f32::MAX, f32::INFINITY),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
        ] {
            assert_eq!(apart(pair(number, 7.0)), [nearest, 7.0]);
            assert_eq!(apart(pair(7.0, number)), [7.0, nearest]);
        }
        assert!(apart(pair(f32::NAN, f32::from_bits(0xffff_ffff))).iter().all(|x| x.is_nan()));
    }

    #[test]
    fn the_processor_rounds_as_we_do() {
        let Some(bf16) = Bf16::detect() else { return println!("not on this processor") };
        let mut random = fastrand::Rng::with_seed(3);
        for length in [1usize, 2, 31, 32, 33, 64, 100] {
            let mut numbers = |_| (random.f32() - 0.5) * 10f32.powi(random.i32(-30..30));
            let (low, high): (Vec<f32>, Vec<f32>) =
                ((0..length).map(&mut numbers).collect(), (0..length).map(&mut numbers).collect());
            let mut words = vec![0.0; length.div_ceil(2)];
            bf16.pair_up(&low, 2.0, &mut words);
            for (word, two) in words.iter().zip(low.chunks(2)) {
                let expected = pair(two[0] * 2.0, two.get(1).map_or(0.0, |x| x * 2.0));
                assert_eq!(apart(*word), apart(expected), "of {two:?}");
            }
            let mut rows = low.clone();
            bf16.pair_rows(&mut rows, &high);
            for (n, word) in rows.iter().enumerate() {
                assert_eq!(apart(*word), [apart(pair(low[n], 0.0))[0], apart(pair(high[n], 0.0))[0]]);
            }
        }
    }

    #[test]
    fn products_are_summed_in_whole_numbers_without_an_error() {
        let Some(bf16) = Bf16::detect() else { return println!("not on this processor") };
        const DEEP: usize = 5;
        let at = |k: usize, i: usize| ((k * 7 + i * 3) % 11) as f32 - 5.0;
        let left: Vec<f32> =
            (0..DEEP * 12).map(|n| pair(at(n / 12 * 2, n % 12), at(n / 12 * 2 + 1, n % 12))).collect();
        let right: Vec<f32> =
            (0..DEEP * 32).map(|n| pair(at(n % 32, n / 32 * 2), at(n % 32, n / 32 * 2 + 1))).collect();
        let mut sums = vec![9.0; 12 * 32];
        bf16.products::<12, 2>(&left, &right, &mut sums);
        for (n, sum) in sums.iter().enumerate() {
            let expected: f32 = (0..2 * DEEP).map(|k| at(k, n / 32) * at(n % 32, k)).sum();
            assert_eq!(*sum, expected, "row {}, column {}", n / 32, n % 32);
        }
    }
}
