//! What one row goes through. Written so that the compiler turns the loops into vector instructions: fixed lanes, no calls, no branches.
//!
//! Each function is compiled for several kinds of processor; see [`crate::vectorised`].

#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "calling what is compiled for a processor that was asked"))]
#![expect(clippy::inline_always, reason = "what is not inlined into a function for AVX is not compiled for AVX")]

/// Sums and maxima are kept in this many lanes, in the same order for every processor.
const LANES: usize = 16;
/// Adding 1.5 × 2^23 to a float of magnitude below 2^22 rounds it to a whole number, ties to even, and leaves that number in the low bits.
const ROUNDING: f32 = 12_582_912.0;
/// Activations are unsigned with this zero point, which is what the fastest integer instructions take.
const ZERO_POINT: f32 = 128.0;
/// The largest magnitude of a quantised value.
const LARGEST: f32 = 127.0;

/// A row of a product before its scale and bias: `value × scale + bias`.
#[derive(Clone, Copy)]
pub(in super::super) struct Product<'a> {
    pub(in super::super) values: &'a [f32],
    /// The scale of the row that was multiplied.
    pub(in super::super) scale: f32,
    /// One a column, or empty.
    pub(in super::super) bias: &'a [f32],
}

vectorised! {
    /// Quantises a row to unsigned 8 bits around 128 and answers its scale, the largest magnitude over 127.
    pub(super) fn quantise(row: &[f32], quantised: &mut [u8]) -> f32 {
        let mut largest = [0.0_f32; LANES];
        let (chunks, rest) = row.as_chunks::<LANES>();
        for chunk in chunks {
            for (largest, value) in largest.iter_mut().zip(chunk) {
                let magnitude = value.abs();
                *largest = if magnitude > *largest { magnitude } else { *largest };
            }
        }
        let largest = largest.iter().chain(rest).fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let inverse = if largest > 0.0 { LARGEST / largest } else { 0.0 };
        for (quantised, value) in quantised.iter_mut().zip(row) {
            *quantised = (value * inverse + (ROUNDING + ZERO_POINT)).to_bits().to_le_bytes()[0];
        }
        largest / LARGEST
    }
}

vectorised! {
    /// Writes a product's values.
    pub(in super::super) fn scale(product: Product<'_>, values: &mut [f32]) {
        let scale = product.scale;
        if product.bias.is_empty() {
            for (value, raw) in values.iter_mut().zip(product.values) {
                *value = raw * scale;
            }
        } else {
            for ((value, raw), bias) in values.iter_mut().zip(product.values).zip(product.bias) {
                *value = raw * scale + bias;
            }
        }
    }
}

vectorised! {
    /// Adds `addend` to `sum` in place.
    pub(super) fn add(addend: &[f32], sum: &mut [f32]) {
        for (sum, addend) in sum.iter_mut().zip(addend) {
            *sum += addend;
        }
    }
}

/// How a row is normalised.
#[derive(Clone, Copy)]
pub(super) struct Norm<'a> {
    pub(super) weight: &'a [f32],
    /// Layer normalisation (Ba et al. 2016) has one; root-mean-square normalisation (Zhang and Sennrich 2019) has none and keeps the mean.
    pub(super) bias: Option<&'a [f32]>,
    pub(super) epsilon: f32,
}

vectorised! {
    /// Normalises a row.
    pub(super) fn normalise(row: &[f32], norm: Norm<'_>, normalised: &mut [f32]) {
        #[expect(clippy::cast_precision_loss, reason = "a row is shorter than 2^24")]
        let length = row.len() as f32;
        let mean = if norm.bias.is_some() { sum_of(row, |value| value) / length } else { 0.0 };
        let variance = sum_of(row, |value| (value - mean) * (value - mean)) / length;
        let inverse = 1.0 / (variance + norm.epsilon).sqrt();
        for ((normalised, value), weight) in normalised.iter_mut().zip(row).zip(norm.weight) {
            *normalised = (value - mean) * inverse * weight;
        }
        if let Some(bias) = norm.bias {
            for (normalised, bias) in normalised.iter_mut().zip(bias) {
                *normalised += bias;
            }
        }
    }
}

#[inline(always)]
fn sum_of(row: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += term(*value);
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|value| term(*value)).sum::<f32>()
}

vectorised! {
    /// The approximation of GELU by a hyperbolic tangent (Hendrycks and Gimpel 2016), in place: `x × sigmoid(2 × √(2/π) × (x + 0.044715 x³))`.
    pub(super) fn gelu_tanh(values: &mut [f32]) {
        for value in values {
            let x = *value;
            *value = x * sigmoid(x * (1.595_769_2 + 0.071_354_81 * x * x));
        }
    }
}

vectorised! {
    /// `gate × sigmoid(gate) × up` (Shazeer 2020), into `gate`.
    pub(super) fn silu_gate(gate: &mut [f32], up: &[f32]) {
        for (gate, up) in gate.iter_mut().zip(up) {
            *gate = *gate * sigmoid(*gate) * up;
        }
    }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exponential(-x))
}

/// e^x within 2 units in the last place: 2^n times a polynomial on [−ln 2 / 2, ln 2 / 2] (Cephes' `expf`).
#[inline(always)]
pub(in super::super) fn exponential(x: f32) -> f32 {
    // Beyond these bounds a sigmoid is 0 or 1 all the same. NaN goes through.
    let x = if x > 87.0 { 87.0 } else { x };
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUNDING;
    let whole = shifted - ROUNDING;
    let rest = x - whole * 0.693_359_4 + whole * 2.121_944_4e-4;
    let mut polynomial = 1.987_569_2e-4;
    polynomial = polynomial * rest + 1.398_199_9e-3;
    polynomial = polynomial * rest + 8.333_452e-3;
    polynomial = polynomial * rest + 4.166_579_6e-2;
    polynomial = polynomial * rest + 1.666_666_5e-1;
    polynomial = polynomial * rest + 5e-1;
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    (polynomial * rest * rest + rest + 1.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(length: usize) -> Vec<f32> {
        (0..length).map(|index| (f32::from(u16::try_from(index).unwrap()) * 0.37).sin() * 3.0).collect()
    }

    #[test]
    fn a_quantised_row_is_within_half_a_step_of_the_row() {
        for length in [1, 15, 16, 17, 100] {
            let row = ramp(length);
            let mut quantised = vec![0; length];
            let scale = quantise(&row, &mut quantised);
            for (value, byte) in row.iter().zip(quantised) {
                let restored = (f32::from(byte) - ZERO_POINT) * scale;
                assert!((value - restored).abs() <= scale * 0.501, "{value} became {restored}");
            }
        }
    }

    #[test]
    fn a_row_of_zeros_quantises_to_zeros() {
        let mut quantised = [7; 5];
        assert_eq!(quantise(&[0.0; 5], &mut quantised).to_bits(), 0);
        assert_eq!(quantised, [128; 5]);
    }

    #[test]
    fn gelu_follows_the_hyperbolic_tangent() {
        let mut values: Vec<f32> = (-1000..1000).map(|n| f32::from(i16::try_from(n).unwrap()) * 0.1).collect();
        let expected: Vec<f64> = values
            .iter()
            .map(|&x| f64::from(x))
            .map(|x| 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh()))
            .collect();
        gelu_tanh(&mut values);
        for (value, expected) in values.iter().zip(expected) {
            assert!((f64::from(*value) - expected).abs() < 1e-6 * expected.abs().max(1.0), "{value} instead of {expected}");
        }
    }

    #[test]
    fn a_normalised_row_has_mean_zero_and_variance_one() {
        let row = ramp(37);
        let (ones, zeros) = (vec![1.0; 37], vec![0.0; 37]);
        let mut normalised = vec![0.0; 37];
        normalise(&row, Norm { weight: &ones, bias: Some(&zeros), epsilon: 1e-9 }, &mut normalised);
        assert!((normalised.iter().sum::<f32>() / 37.0).abs() < 1e-6);
        assert!((normalised.iter().map(|value| value * value).sum::<f32>() / 37.0 - 1.0).abs() < 1e-5);
    }

    #[test]
    fn what_is_not_a_number_stays_none() {
        let mut values = [f32::NAN, 1.0];
        gelu_tanh(&mut values);
        assert!(values[0].is_nan() && values[1].is_finite());
    }
}
