//! Running a loop with the widest vectors this machine has, or narrower ones where that is wanted.

use std::sync::OnceLock;

use pulp::Arch;

use super::bf16::Bf16;

static CHOSEN: OnceLock<Arch> = OnceLock::new();

/// The vectors that are used by this process.
#[inline(always)]
pub(super) fn vectors() -> Arch {
    *CHOSEN.get_or_init(Arch::new)
}

/// Leaves AVX-512 alone, to see how a machine without it fares. For the whole process, and only before the first engine
/// is made; false where it is too late, or the machine has no AVX2.
pub fn without_avx512() -> bool {
    narrower().is_some_and(|arch| CHOSEN.set(arch).is_ok())
}

/// AVX2, where the machine has it.
pub(super) fn narrower() -> Option<Arch> {
    #[cfg(target_arch = "x86_64")]
    return pulp::x86::V3::try_new().map(Arch::V3);
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// Pairs of rounded numbers multiplied by the processor, where it can and these are its vectors.
pub(super) fn pairs() -> Option<Bf16> {
    #[cfg(target_arch = "x86_64")]
    return if matches!(vectors(), Arch::V4(_)) { Bf16::detect() } else { None };
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// Calls a function compiled for the machine at hand; what it calls must be `#[inline(always)]`.
#[inline(always)]
pub(super) fn widest<R>(work: impl FnOnce() -> R) -> R {
    vectors().dispatch(work)
}

/// Rows and columns of a square that is turned at once.
pub(super) const SIDE: usize = 8;

/// A square, its rows as columns. Shuffles by hand where there is AVX: left to itself, the compiler gathers numbers
/// one by one. To be called within what runs with these `vectors`.
#[inline(always)]
pub(super) fn transposed(vectors: Arch, square: [[f32; SIDE]; SIDE]) -> [[f32; SIDE]; SIDE] {
    match vectors {
        #[cfg(target_arch = "x86_64")]
        Arch::V4(v4) => shuffled(v4.avx, square),
        #[cfg(target_arch = "x86_64")]
        Arch::V3(v3) => shuffled(v3.avx, square),
        _ => std::array::from_fn(|k| std::array::from_fn(|j| square[j][k])),
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn shuffled(avx: pulp::core_arch::x86::Avx, square: [[f32; SIDE]; SIDE]) -> [[f32; SIDE]; SIDE] {
    use std::arch::x86_64::__m256;

    // No closures here: they would be functions of their own, compiled for a machine without AVX.
    let [r0, r1, r2, r3, r4, r5, r6, r7]: [__m256; SIDE] = pulp::bytemuck::cast(square);
    let [a0, a1, a2, a3] = four_turned(avx, [r0, r1, r2, r3]);
    let [b0, b1, b2, b3] = four_turned(avx, [r4, r5, r6, r7]);
    pulp::bytemuck::cast([
        avx._mm256_permute2f128_ps::<0x20>(a0, b0),
        avx._mm256_permute2f128_ps::<0x20>(a1, b1),
        avx._mm256_permute2f128_ps::<0x20>(a2, b2),
        avx._mm256_permute2f128_ps::<0x20>(a3, b3),
        avx._mm256_permute2f128_ps::<0x31>(a0, b0),
        avx._mm256_permute2f128_ps::<0x31>(a1, b1),
        avx._mm256_permute2f128_ps::<0x31>(a2, b2),
        avx._mm256_permute2f128_ps::<0x31>(a3, b3),
    ])
}

/// Four rows as four vectors, each with two of their columns: one in the lower half, one in the upper.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn four_turned(
    avx: pulp::core_arch::x86::Avx,
    [r0, r1, r2, r3]: [std::arch::x86_64::__m256; 4],
) -> [std::arch::x86_64::__m256; 4] {
    let (a, b) = (avx._mm256_unpacklo_ps(r0, r1), avx._mm256_unpackhi_ps(r0, r1));
    let (c, d) = (avx._mm256_unpacklo_ps(r2, r3), avx._mm256_unpackhi_ps(r2, r3));
    [
        avx._mm256_shuffle_ps::<0x44>(a, c),
        avx._mm256_shuffle_ps::<0xee>(a, c),
        avx._mm256_shuffle_ps::<0x44>(b, d),
        avx._mm256_shuffle_ps::<0xee>(b, d),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_turned_on_any_vectors_has_its_rows_as_columns() {
        let square = std::array::from_fn(|i| std::array::from_fn(|j| (i * SIDE + j) as f32));
        let right = transposed(Arch::Scalar, square);
        assert_eq!((right[0][1], right[7][2]), (8.0, 23.0));
        for vectors in narrower().into_iter().chain([Arch::new()]) {
            assert_eq!(transposed(vectors, square), right);
        }
    }
}
