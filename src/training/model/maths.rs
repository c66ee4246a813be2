//! The element-wise parts of a block, forward and backward, row by row.

use rayon::prelude::*;

use super::simd::widest;

const LANES: usize = 16;

/// Rows that one task takes.
const ROWS: usize = 16;

/// e^x to about two units in the last place, without branches so that it vectorises.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let rest = x - whole * 0.693_359_4 + whole * 2.121_944_4e-4;
    let mut sum = 1.987_569_1e-4;
    for factor in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_66, 0.5] {
        sum = sum * rest + factor;
    }
    let power = f32::from_bits((shifted.to_bits().wrapping_add(127)) << 23);
    (sum * rest * rest + rest + 1.0) * power
}

#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (a_whole, a_rest) = a.as_chunks::<LANES>();
    let (b_whole, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_whole.iter().zip(b_whole) {
        for i in 0..LANES {
            lanes[i] += a[i] * b[i];
        }
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

#[inline(always)]
pub(super) fn largest(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = row.as_chunks::<LANES>();
    for chunk in whole {
        for i in 0..LANES {
            lanes[i] = if chunk[i] > lanes[i] { chunk[i] } else { lanes[i] };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |most, x| most.max(*x))
}

/// Turns a row into e^(x − shift) and gives the sum.
#[inline(always)]
pub(super) fn exponentials(row: &mut [f32], shift: f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let (whole, rest) = row.as_chunks_mut::<LANES>();
    for chunk in whole {
        for i in 0..LANES {
            chunk[i] = exp(chunk[i] - shift);
            lanes[i] += chunk[i];
        }
    }
    let mut sum = lanes.iter().sum::<f32>();
    for x in rest {
        *x = exp(*x - shift);
        sum += *x;
    }
    sum
}

#[inline(always)]
pub(super) fn scale(row: &mut [f32], by: f32) {
    for x in row {
        *x *= by;
    }
}

#[inline(always)]
fn inverse_rms(row: &[f32], epsilon: f32) -> f32 {
    1.0 / (dot(row, row) / row.len() as f32 + epsilon).sqrt()
}

/// `out = x / rms(x) · weight`, for every row.
pub(super) fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let width = weight.len();
    out.par_chunks_mut(width * ROWS).zip(x.par_chunks(width * ROWS)).for_each(|(out, x)| {
        widest(
            #[inline(always)]
            || {
                for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                    let inverse = inverse_rms(x, epsilon);
                    for i in 0..width {
                        out[i] = x[i] * inverse * weight[i];
                    }
                }
            },
        );
    });
}

/// Adds to `dx` what `dy`, the gradient after the norm, makes of it before the norm.
pub(super) fn rms_norm_backward(x: &[f32], weight: &[f32], epsilon: f32, dy: &mut [f32], dx: &mut [f32]) {
    let width = weight.len();
    let chunk = width * ROWS;
    let rows = dx.par_chunks_mut(chunk).zip(dy.par_chunks_mut(chunk)).zip(x.par_chunks(chunk));
    rows.for_each(|((dx, dy), x)| {
        widest(
            #[inline(always)]
            || {
                let rows = dx.chunks_exact_mut(width).zip(dy.chunks_exact_mut(width));
                for ((dx, dy), x) in rows.zip(x.chunks_exact(width)) {
                    let inverse = inverse_rms(x, epsilon);
                    for i in 0..width {
                        dy[i] *= weight[i];
                    }
                    let pull = dot(dy, x) * inverse * inverse * inverse / width as f32;
                    for i in 0..width {
                        dx[i] += dy[i] * inverse - x[i] * pull;
                    }
                }
            },
        );
    });
}

/// `out = silu(gate) · up`.
pub(super) fn swiglu(gate: &[f32], up: &[f32], out: &mut [f32]) {
    const CHUNK: usize = 1 << 14;
    out.par_chunks_mut(CHUNK).zip(gate.par_chunks(CHUNK)).zip(up.par_chunks(CHUNK)).for_each(
        |((out, gate), up)| {
            widest(
                #[inline(always)]
                || {
                    for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
                        *out = gate / (1.0 + exp(-gate)) * up;
                    }
                },
            );
        },
    );
}

/// `dout` becomes `dgate`, and `dup` is filled.
pub(super) fn swiglu_backward(gate: &[f32], up: &[f32], dout: &mut [f32], dup: &mut [f32]) {
    const CHUNK: usize = 1 << 14;
    let gradients = dout.par_chunks_mut(CHUNK).zip(dup.par_chunks_mut(CHUNK));
    let inputs = gate.par_chunks(CHUNK).zip(up.par_chunks(CHUNK));
    gradients.zip(inputs).for_each(|((dout, dup), (gate, up))| {
        widest(
            #[inline(always)]
            || {
                for (((dout, dup), gate), up) in dout.iter_mut().zip(dup.iter_mut()).zip(gate).zip(up) {
                    let sigmoid = 1.0 / (1.0 + exp(-gate));
                    let silu = gate * sigmoid;
                    *dup = *dout * silu;
                    *dout *= up * sigmoid * (1.0 + gate - silu);
                }
            },
        );
    });
}

/// `to += from`.
pub(super) fn add(to: &mut [f32], from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_right_to_a_few_ulps() {
        let mut worst = 0f64;
        for step in -8600..8800 {
            let x = step as f32 * 0.01;
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) - exact).abs() / exact);
        }
        assert!(worst < 3e-7, "{worst}");
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
    }

    #[test]
    fn sums_take_the_tail_too() {
        let numbers: Vec<f32> = (0..37).map(|n| n as f32).collect();
        assert_eq!(dot(&numbers, &numbers), (0..37).map(|n| n * n).sum::<i32>() as f32);
        assert_eq!(largest(&numbers), 36.0);
    }
}
