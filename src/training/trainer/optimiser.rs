//! AdamW, with its state in the open so that it can be saved.

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// The two moments of every value, and the steps taken.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AdamW {
    pub(super) first: Vec<f32>,
    pub(super) second: Vec<f32>,
    pub(super) steps: u64,
}

impl AdamW {
    pub(super) fn new(values: usize) -> Self {
        AdamW { first: vec![0.0; values], second: vec![0.0; values], steps: 0 }
    }

    /// One step.
    pub(super) fn step(&mut self, values: &mut [f32], gradient: &[f32], rate: f32, decay: f32) {
        self.steps += 1;
        let power = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let (one, two) = (1.0 - BETA1.powi(power), 1.0 - BETA2.powi(power));
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((value, g), (first, second)) in values.iter_mut().zip(gradient).zip(moments) {
            *first = BETA1 * *first + (1.0 - BETA1) * g;
            *second = BETA2 * *second + (1.0 - BETA2) * g * g;
            let update = (*first / one) / ((*second / two).sqrt() + EPSILON);
            *value -= rate * (update + decay * *value);
        }
    }
}

/// Shortens a gradient to a length of at most `most`; returns the length it had.
pub(super) fn clip(gradient: &mut [f32], most: f32) -> f32 {
    let square: f64 = gradient.iter().map(|g| f64::from(*g) * f64::from(*g)).sum();
    let length = square.sqrt() as f32;
    if length > most {
        let factor = most / length;
        gradient.iter_mut().for_each(|g| *g *= factor);
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_as_the_reference_takes_them() {
        // torch.optim.AdamW(lr=0.1, weight_decay=0.01) on 1.0 and -2.0 with gradients (0.5, -1), (0.5, 2).
        let mut values = [1.0, -2.0];
        let mut adam = AdamW::new(2);
        adam.step(&mut values, &[0.5, -1.0], 0.1, 0.01);
        assert!((values[0] - 0.899).abs() < 1e-6 && (values[1] + 1.898).abs() < 1e-6, "{values:?}");
        adam.step(&mut values, &[0.5, 2.0], 0.1, 0.01);
        assert!((values[0] - 0.798_101).abs() < 1e-5 && (values[1] + 1.932_69).abs() < 1e-4, "{values:?}");
    }

    #[test]
    fn clipping_keeps_the_direction() {
        let mut gradient = [3.0, 4.0];
        assert_eq!(clip(&mut gradient, 1.0), 5.0);
        assert_eq!(gradient, [0.6, 0.8]);
        assert_eq!(clip(&mut gradient, 2.0), 1.0);
    }
}
