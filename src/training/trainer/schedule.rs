//! The learning rate over a run: a straight warm-up, then half a cosine down to a tenth.

/// The rate at a step (from zero) of a run.
pub(super) fn rate(peak: f32, step: u64, steps: u64, warm_up: u64) -> f32 {
    if step < warm_up {
        return peak * (step + 1) as f32 / warm_up as f32;
    }
    let way = (step - warm_up) as f32 / steps.saturating_sub(warm_up).max(1) as f32;
    let cosine = 0.5 * (1.0 + (std::f32::consts::PI * way.min(1.0)).cos());
    peak * (0.1 + 0.9 * cosine)
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn up_then_down_to_a_tenth() {
        let rates: Vec<f32> = (0..100).map(|step| rate(1.0, step, 100, 10)).collect();
        assert_eq!(rates[0], 0.1);
        assert_eq!(rates[9], 1.0);
        assert!(rates[10..].is_sorted_by(|a, b| a >= b));
        assert!((rates[99] - 0.1).abs() < 1e-3);
        assert_eq!(rate(1.0, 0, 1, 0), 1.0);
    }
}
