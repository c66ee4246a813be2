//! Stored weights to `f32`: the plain types and the blocks of 32.

use super::TensorType;
use super::expand_k::{q2_k, q3_k, q4_k, q5_k, q6_k, q8_k};
use super::half::{bf16_to_f32, f16_to_f32};

/// Reads block after block. No function that is given the reader: that would call it, compiled for the least machine.
macro_rules! blocks {
    ($read:ident, $size:literal, $weights:literal, $bytes:ident, $out:ident) => {
        for (to, from) in $out.as_chunks_mut::<$weights>().0.iter_mut().zip($bytes.as_chunks::<$size>().0) {
            $read(from, to);
        }
    };
}

/// Expands whole blocks into as many `f32`. What does not fill a block on either side is left alone.
///
/// The loops are plain and short so that they vectorise; the caller decides for which machine.
#[inline(always)]
pub fn expand(kind: TensorType, bytes: &[u8], out: &mut [f32]) {
    match kind {
        TensorType::F32 => plain(bytes, out, |b: [u8; 4]| f32::from_le_bytes(b)),
        TensorType::F16 => plain(bytes, out, |b: [u8; 2]| f16_to_f32(u16::from_le_bytes(b))),
        TensorType::BF16 => plain(bytes, out, |b: [u8; 2]| bf16_to_f32(u16::from_le_bytes(b))),
        TensorType::Q4_0 => blocks!(q4_0, 18, 32, bytes, out),
        TensorType::Q4_1 => blocks!(q4_1, 20, 32, bytes, out),
        TensorType::Q5_0 => blocks!(q5_0, 22, 32, bytes, out),
        TensorType::Q5_1 => blocks!(q5_1, 24, 32, bytes, out),
        TensorType::Q8_0 => blocks!(q8_0, 34, 32, bytes, out),
        TensorType::Q2_K => blocks!(q2_k, 84, 256, bytes, out),
        TensorType::Q3_K => blocks!(q3_k, 110, 256, bytes, out),
        TensorType::Q4_K => blocks!(q4_k, 144, 256, bytes, out),
        TensorType::Q5_K => blocks!(q5_k, 176, 256, bytes, out),
        TensorType::Q6_K => blocks!(q6_k, 210, 256, bytes, out),
        TensorType::Q8_K => blocks!(q8_k, 292, 256, bytes, out),
    }
}

#[inline(always)]
fn plain<const N: usize>(bytes: &[u8], out: &mut [f32], read: impl Fn([u8; N]) -> f32) {
    for (value, from) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *value = read(*from);
    }
}

#[inline(always)]
pub(super) fn half_at(block: &[u8], at: usize) -> f32 {
    f16_to_f32(u16::from_le_bytes([block[at], block[at + 1]]))
}

#[inline(always)]
fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let scale = half_at(block, 0);
    let shift = -8.0 * scale;
    for i in 0..16 {
        let byte = block[2 + i];
        out[i] = f32::from(byte & 15) * scale + shift;
        out[i + 16] = f32::from(byte >> 4) * scale + shift;
    }
}

#[inline(always)]
fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (scale, least) = (half_at(block, 0), half_at(block, 2));
    for i in 0..16 {
        let byte = block[4 + i];
        out[i] = f32::from(byte & 15) * scale + least;
        out[i + 16] = f32::from(byte >> 4) * scale + least;
    }
}

#[inline(always)]
fn fifth_bits(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

#[inline(always)]
fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let scale = half_at(block, 0);
    let high = fifth_bits(block, 2);
    for i in 0..16 {
        let byte = block[6 + i];
        let low = (u32::from(byte) & 15) | ((high >> i) & 1) << 4;
        let upper = (u32::from(byte) >> 4) | ((high >> (i + 16)) & 1) << 4;
        out[i] = (low as i32 - 16) as f32 * scale;
        out[i + 16] = (upper as i32 - 16) as f32 * scale;
    }
}

#[inline(always)]
fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (scale, least) = (half_at(block, 0), half_at(block, 2));
    let high = fifth_bits(block, 4);
    for i in 0..16 {
        let byte = block[8 + i];
        let low = (u32::from(byte) & 15) | ((high >> i) & 1) << 4;
        let upper = (u32::from(byte) >> 4) | ((high >> (i + 16)) & 1) << 4;
        out[i] = low as f32 * scale + least;
        out[i + 16] = upper as f32 * scale + least;
    }
}

#[inline(always)]
fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let scale = half_at(block, 0);
    for i in 0..32 {
        out[i] = f32::from(block[2 + i] as i8) * scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kind, where its half-precision scales lie in a block, and what the `gguf` Python package's own
    /// dequantiser makes of the same two blocks: first weight, one in the second block, a weighted sum.
    const EXPECTED: [(TensorType, &[usize], f64, f64, f64); 10] = [
        (TensorType::Q4_0, &[0], 0.0942077637, -0.115661621, 20.8790894),
        (TensorType::Q4_1, &[0, 2], 0.20010376, -0.269714355, -283.225494),
        (TensorType::Q5_0, &[0], 0.43963623, 0.637817383, -103.154327),
        (TensorType::Q5_1, &[0, 2], 0.20010376, 0.361236572, 1161.20074),
        (TensorType::Q8_0, &[0], -3.67410278, 3.64447021, 1171.40921),
        (TensorType::Q2_K, &[80, 82], -0.227813721, 0.181884766, -7079.52289),
        (TensorType::Q3_K, &[108], -0.734985352, -0.0, -567.453308),
        (TensorType::Q4_K, &[0, 2], 7.50732422, -16.8624573, 26552.2065),
        (TensorType::Q5_K, &[0, 2], 27.6049805, 18.2536926, 381379.157),
        (TensorType::Q6_K, &[208], -82.4337158, -124.084473, -71959.8908),
    ];

    #[test]
    fn blocks_expand_to_what_the_reference_makes_of_them() {
        for (kind, scales, first, later, sum) in EXPECTED {
            let mut state = 12345u32;
            let mut bytes: Vec<u8> = (0..2 * kind.block_bytes())
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            for block in bytes.chunks_mut(kind.block_bytes()) {
                for at in scales {
                    block[at + 1] = (block[at + 1] & 0x83) | 0x28;
                }
            }
            let mut out = vec![f32::NAN; 2 * kind.block_weights()];
            expand(kind, &bytes, &mut out);
            let weighted: f64 =
                out.iter().enumerate().map(|(i, x)| f64::from(*x) * ((i + 1) % 97 + 1) as f64).sum();
            let one = if out.len() > 64 { out.len() / 2 + 37 } else { 45 };
            let close = |a: f64, b: f64| (a - b).abs() <= 1e-5 * b.abs().max(1.0);
            assert!(close(f64::from(out[0]), first), "{kind:?}: {} {first}", out[0]);
            assert!(close(f64::from(out[one]), later), "{kind:?}: {} {later}", out[one]);
            assert!(close(weighted, sum), "{kind:?}: {weighted} {sum}");
        }
    }

    #[test]
    fn plain_types_and_q8_k() {
        let mut out = [0.0; 2];
        expand(TensorType::BF16, &[0x80, 0x3f, 0x00, 0xc0], &mut out);
        assert_eq!(out, [1.0, -2.0]);
        expand(TensorType::F16, &[0x00, 0x3c, 0x00, 0xc0], &mut out);
        assert_eq!(out, [1.0, -2.0]);
        let mut block = vec![0u8; 292];
        block[..4].copy_from_slice(&0.5f32.to_le_bytes());
        block[4 + 255] = 0xfe;
        let mut out = vec![0.0; 256];
        expand(TensorType::Q8_K, &block, &mut out);
        assert_eq!((out[0], out[255]), (0.0, -1.0));
    }
}
