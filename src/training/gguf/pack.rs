//! `f32` to the stored form that merged weights take.

use super::half::{f16_to_f32, f32_to_f16};

/// Packs into Q8_0: blocks of 32 with one half-precision scale. What does not fill a block is left out.
pub fn pack_q8_0(weights: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(weights.len() / 32 * 34);
    for block in weights.as_chunks::<32>().0 {
        let largest = block.iter().fold(0f32, |most, x| most.max(x.abs()));
        let scale = f32_to_f16(largest / 127.0);
        bytes.extend_from_slice(&scale.to_le_bytes());
        let scale = f16_to_f32(scale);
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        bytes.extend(block.iter().map(|x| (x * inverse).round().clamp(-127.0, 127.0) as i8 as u8));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::gguf::{TensorType, expand};

    #[test]
    fn q8_0_keeps_weights_to_half_a_step() {
        let mut random = fastrand::Rng::with_seed(3);
        let weights: Vec<f32> = (0..4096).map(|_| random.f32() - 0.5).collect();
        let mut back = vec![0.0; weights.len()];
        expand(TensorType::Q8_0, &pack_q8_0(&weights), &mut back);
        let worst = weights.iter().zip(&back).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(worst <= 0.5 / 127.0 * 0.51, "{worst}");
        assert_eq!(pack_q8_0(&[0.0; 32]), vec![0; 34]);
    }
}
