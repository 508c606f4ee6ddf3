//! A norm outside the graph, for hidden states: of rows that [`super::operators()`] normalises and quantises at once.
//!
//! It is not the kernel of a step, which is compiled into its one caller, but what that kernel computes, in 64 bits.

/// A layer's norm with its own numbers.
#[derive(Debug, Clone)]
pub(in super::super) struct RowNorm {
    pub(in super::super) weight: Vec<f32>,
    /// Layer normalisation (Ba et al. 2016) has one; root-mean-square normalisation (Zhang and Sennrich 2019) has none and keeps the mean.
    pub(in super::super) bias: Option<Vec<f32>>,
    pub(in super::super) epsilon: f32,
}

impl RowNorm {
    /// Normalises a row where it lies.
    #[expect(clippy::cast_precision_loss, reason = "a row is shorter than 2^53")]
    #[expect(clippy::cast_possible_truncation, reason = "hidden states are 32-bit numbers")]
    pub(in super::super) fn apply(&self, row: &mut [f32]) {
        let length = row.len() as f64;
        let mean_of = |term: &dyn Fn(f64) -> f64| row.iter().map(|value| term(f64::from(*value))).sum::<f64>() / length;
        let mean = if self.bias.is_some() { mean_of(&|value| value) } else { 0.0 };
        let inverse = 1.0 / (mean_of(&|value| (value - mean).powi(2)) + f64::from(self.epsilon)).sqrt();
        for (value, weight) in row.iter_mut().zip(&self.weight) {
            *value = ((f64::from(*value) - mean) * inverse * f64::from(*weight)) as f32;
        }
        for (value, bias) in row.iter_mut().zip(self.bias.iter().flatten()) {
            *value += bias;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kernels::{Norm, normalise};
    use super::RowNorm;

    #[test]
    fn it_computes_what_the_kernel_of_a_step_computes() {
        let ramp = |factor: f32| (0..67_u16).map(|index| (f32::from(index) * factor).sin()).collect::<Vec<_>>();
        let (row, weight) = (ramp(0.7), ramp(0.3));
        for bias in [None, Some(ramp(0.2))] {
            let mut expected = vec![0.0; row.len()];
            normalise(&row, Norm { weight: &weight, bias: bias.as_deref(), epsilon: 1e-5 }, &mut expected);
            let mut normalised = row.clone();
            RowNorm { weight: weight.clone(), bias, epsilon: 1e-5 }.apply(&mut normalised);
            assert!(normalised.iter().zip(&expected).all(|(found, expected)| (found - expected).abs() < 1e-5));
        }
    }
}
