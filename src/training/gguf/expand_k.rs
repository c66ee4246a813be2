//! Stored weights to `f32`: the "K" types, super-blocks of 256 weights with scales of their own.

use super::expand::half_at;

#[inline(always)]
pub(super) fn q8_k(block: &[u8; 292], out: &mut [f32; 256]) {
    let scale = f32::from_le_bytes([block[0], block[1], block[2], block[3]]);
    for i in 0..256 {
        out[i] = f32::from(block[4 + i] as i8) * scale;
    }
}

/// Sixteen groups of 16, each with a 4-bit scale and a 4-bit minimum; 2-bit weights.
#[inline(always)]
pub(super) fn q2_k(block: &[u8; 84], out: &mut [f32; 256]) {
    let (scale, least) = (half_at(block, 80), half_at(block, 82));
    for group in 0..16 {
        let packed = block[group];
        let (step, low) = (scale * f32::from(packed & 15), least * f32::from(packed >> 4));
        // Two halves of 128; in each, four shifts of the same 32 bytes.
        let (half, shift, side) = (group / 8, (group % 8) / 2 * 2, group % 2);
        for i in 0..16 {
            let quant = (block[16 + half * 32 + side * 16 + i] >> shift) & 3;
            out[group * 16 + i] = f32::from(quant) * step - low;
        }
    }
}

/// Sixteen groups of 16 with a 6-bit scale; 3-bit weights, the high bit apart.
#[inline(always)]
pub(super) fn q3_k(block: &[u8; 110], out: &mut [f32; 256]) {
    let scale = half_at(block, 108);
    for group in 0..16 {
        let low = (block[96 + group % 8] >> (group / 8 * 4)) & 15;
        let high = (block[104 + group % 4] >> (group / 4 * 2)) & 3;
        let step = scale * (i32::from(low | high << 4) - 32) as f32;
        let (half, shift, side) = (group / 8, (group % 8) / 2 * 2, group % 2);
        for i in 0..16 {
            let two = (block[32 + half * 32 + side * 16 + i] >> shift) & 3;
            let third = (block[side * 16 + i] >> (half * 4 + shift / 2)) & 1;
            out[group * 16 + i] = (i32::from(two | third << 2) - 4) as f32 * step;
        }
    }
}

/// The 6-bit scale and minimum of one of eight groups, packed into twelve bytes.
#[inline(always)]
fn scale_and_least(packed: &[u8], group: usize) -> (f32, f32) {
    let (scale, least) = if group < 4 {
        (packed[group] & 63, packed[group + 4] & 63)
    } else {
        (
            (packed[group + 4] & 15) | (packed[group - 4] >> 6) << 4,
            (packed[group + 4] >> 4) | (packed[group] >> 6) << 4,
        )
    };
    (f32::from(scale), f32::from(least))
}

#[inline(always)]
pub(super) fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    let (scale, least) = (half_at(block, 0), half_at(block, 2));
    for group in 0..8 {
        let (step, low) = scale_and_least(&block[4..16], group);
        let (step, low) = (scale * step, least * low);
        let shift = group % 2 * 4;
        for i in 0..32 {
            let quant = (block[16 + group / 2 * 32 + i] >> shift) & 15;
            out[group * 32 + i] = f32::from(quant) * step - low;
        }
    }
}

#[inline(always)]
pub(super) fn q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    let (scale, least) = (half_at(block, 0), half_at(block, 2));
    for group in 0..8 {
        let (step, low) = scale_and_least(&block[4..16], group);
        let (step, low) = (scale * step, least * low);
        let shift = group % 2 * 4;
        for i in 0..32 {
            let four = (block[48 + group / 2 * 32 + i] >> shift) & 15;
            let fifth = (block[16 + i] >> group) & 1;
            out[group * 32 + i] = f32::from(four | fifth << 4) * step - low;
        }
    }
}

#[inline(always)]
pub(super) fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let scale = half_at(block, 208);
    for group in 0..16 {
        let step = scale * f32::from(block[192 + group] as i8);
        // In each half of 128: two runs of 32 from the low nibbles, two from the high ones.
        let (half, run, side) = (group / 8, (group % 8) / 2, group % 2);
        for i in 0..16 {
            let column = side * 16 + i;
            let four = (block[half * 64 + run % 2 * 32 + column] >> (run / 2 * 4)) & 15;
            let two = (block[128 + half * 32 + column] >> (run * 2)) & 3;
            out[group * 16 + i] = (i32::from(four | two << 4) - 32) as f32 * step;
        }
    }
}
