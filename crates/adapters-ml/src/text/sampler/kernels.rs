//! What is done for every token of the vocabulary: the largest logit of each block, and the sum of the weights of each block.
//!
//! A token's weight is exp((logit − max) / temperature), its probability before it is divided by the sum of all. Two passes over the
//! logits are all that a draw costs in proportion to the vocabulary; what comes after looks only into blocks that matter, by these
//! maxima and sums.

#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "calling a function compiled for AVX2 is unsafe unless the processor has it, which is asked first"
    )
)]
#![expect(clippy::inline_always, reason = "a function that is not inlined into the one for AVX2 would not be compiled for AVX2")]

/// Logits in a block: few enough that looking into one costs little, enough that there are few blocks.
pub(super) const BLOCK: usize = 64;
/// Maxima and sums are kept in this many lanes, in the same order for every processor.
const LANES: usize = 16;
/// Adding 1.5 × 2^23 to a float of magnitude below 2^22 rounds it to a whole number, ties to even, and leaves that number in the low bits.
const ROUNDING: f32 = 12_582_912.0;

/// How logits turn into weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    /// The largest logit, whose weight is 1.
    pub(super) max: f32,
    /// log₂ e / temperature.
    pub(super) slope: f32,
    /// Tokens below this logit weigh nothing; see [`Scale::new`].
    pub(super) cut: f32,
}

impl Scale {
    /// `inverse_temperature` is finite. Tokens that are so unlikely that a whole vocabulary of them would weigh less than 2^-24 of the
    /// most likely one are cut: this is as much as rounding adds to an `f32`, and it keeps a temperature near 0 cheap.
    pub(super) fn new(max: f32, inverse_temperature: f32, vocabulary: usize) -> Self {
        let slope = inverse_temperature * std::f32::consts::LOG2_E;
        // The number of bits that hold the vocabulary's size: at least its logarithm.
        let bits = f32::from(u16::try_from(vocabulary.checked_ilog2().unwrap_or(0) + 1).unwrap_or(64));
        let width = (bits + 24.0) / slope;
        Self { max, slope, cut: if width.is_finite() { max - width } else { f32::MIN } }
    }

    /// The weight of one token.
    #[inline(always)]
    pub(super) fn weight(self, logit: f32) -> f32 {
        if logit >= self.cut { self.uncut_weight(logit) } else { 0.0 }
    }

    /// A logit that is a little below those of this weight.
    pub(super) fn logit_below(self, weight: f64) -> f32 {
        #[expect(clippy::cast_possible_truncation, reason = "a logarithm of a positive f64 is between -1100 and 1100")]
        let width = (0.01 - weight.log2()) as f32 / self.slope;
        // A cut at least the size of `f32`'s spacing keeps the most likely token where the temperature is nearly 0.
        if width.is_finite() { (self.max - width - self.max.abs() * 1e-6).max(self.cut) } else { self.cut }
    }

    /// 2^x for x ≤ 0 within 3 units in the last place: 2^n times a polynomial of degree 5 on [−1/2, 1/2], fitted for the least relative
    /// error (9e-8). Without branches, so that the compiler vectorises it; without the platform's `exp`, which differs between machines;
    /// and without fused operations, which not every processor has. At most 2^-126 more where that is the least normal number.
    #[inline(always)]
    fn uncut_weight(self, logit: f32) -> f32 {
        let power = (logit - self.max) * self.slope;
        let power = if power > -126.0 { power } else { -126.0 };
        let shifted = power + ROUNDING;
        let rest = power - (shifted - ROUNDING);
        let mut polynomial = 1.326_472_7e-3;
        polynomial = polynomial * rest + 9.671_513e-3;
        polynomial = polynomial * rest + 5.550_733_6e-2;
        polynomial = polynomial * rest + 2.402_224_2e-1;
        polynomial = polynomial * rest + std::f32::consts::LN_2;
        polynomial = polynomial * rest + 1.0;
        // The low bits of `shifted` hold n; added to the exponent they multiply by 2^n.
        f32::from_bits(polynomial.to_bits().wrapping_add(shifted.to_bits() << 23))
    }
}

vectorised! {
    /// Writes the largest logit of each block; answers whether any logit is not a number, and then the maxima mean nothing.
    pub(super) fn block_maxima(logits: &[f32], maxima: &mut [f32]) -> bool {
        let mut not_a_number = [0_u32; LANES];
        for (block, maximum) in logits.chunks(BLOCK).zip(maxima) {
            let mut lanes = [f32::NEG_INFINITY; LANES];
            let (chunks, rest) = block.as_chunks::<LANES>();
            for chunk in chunks {
                for ((lane, bad), logit) in lanes.iter_mut().zip(&mut not_a_number).zip(chunk) {
                    *lane = if *logit > *lane { *logit } else { *lane };
                    *bad |= u32::from(logit.is_nan());
                }
            }
            for ((lane, bad), logit) in lanes.iter_mut().zip(&mut not_a_number).zip(rest) {
                *lane = if *logit > *lane { *logit } else { *lane };
                *bad |= u32::from(logit.is_nan());
            }
            *maximum = largest(lanes);
        }
        not_a_number.iter().any(|bad| *bad != 0)
    }
}

/// The largest lane, found by halves, which vectorises.
#[inline(always)]
fn largest(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        let (low, high) = lanes.split_at_mut(half);
        for (low, high) in low.iter_mut().zip(high) {
            *low = if *high > *low { *high } else { *low };
        }
        half /= 2;
    }
    let [largest, ..] = lanes;
    largest
}

vectorised! {
    /// Writes the sum of each block's weights; 0 for a block that lies below the cut as a whole.
    pub(super) fn block_sums(logits: &[f32], maxima: &[f32], scale: Scale, sums: &mut [f32]) {
        for ((block, maximum), sum) in logits.chunks(BLOCK).zip(maxima).zip(sums) {
            *sum = if *maximum >= scale.cut { sum_of_weights(block, scale) } else { 0.0 };
        }
    }
}

#[inline(always)]
fn sum_of_weights(block: &[f32], scale: Scale) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = block.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, logit) in lanes.iter_mut().zip(chunk) {
            *lane += scale.uncut_weight(*logit);
        }
    }
    for (lane, logit) in lanes.iter_mut().zip(rest) {
        *lane += scale.uncut_weight(*logit);
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_agrees_with_the_librarys_exponential() {
        let scale = Scale { max: 0.0, slope: std::f32::consts::LOG2_E, cut: f32::MIN };
        for step in 0..60_000u16 {
            let x = -f32::from(step) / 750.0;
            let (ours, exact) = (f64::from(scale.weight(x)), f64::from(x).exp());
            // Beside the polynomial's own error, x · log₂ e is rounded once.
            let allowed = 3e-7 + f64::from(x.abs()) * 1.2e-7;
            assert!((ours - exact).abs() <= exact * allowed, "{x}: {ours} {exact}");
        }
        assert_eq!((scale.weight(0.0), scale.weight(f32::NEG_INFINITY)), (1.0, 0.0));
    }

    #[test]
    fn what_is_cut_weighs_less_together_than_rounding_adds() {
        for (temperature, vocabulary) in [(1.0f32, 50_257usize), (0.05, 2_048), (2.0, 256_000), (1.0, 1)] {
            let scale = Scale::new(3.0, 1.0 / temperature, vocabulary);
            let largest_lost = f64::from((scale.cut - 3.0) / temperature).exp();
            let tokens = f64::from(u32::try_from(vocabulary).unwrap());
            assert!(tokens * largest_lost <= 1.01 * 2f64.powi(-24), "{temperature} {vocabulary}");
        }
    }

    #[test]
    fn maxima_and_sums_of_blocks_agree_with_their_definitions_at_any_length() {
        for length in [1, 15, 16, 63, 64, 65, 200] {
            let logits: Vec<f32> = (0..length).map(|index: u16| f32::from(index * 37 % 101) / 10.0).collect();
            let blocks = logits.len().div_ceil(BLOCK);
            let (mut maxima, mut sums) = (vec![0.0; blocks], vec![0.0; blocks]);
            assert!(!block_maxima(&logits, &mut maxima));
            let scale = Scale::new(10.0, 1.0, logits.len());
            block_sums(&logits, &maxima, scale, &mut sums);
            for ((block, maximum), sum) in logits.chunks(BLOCK).zip(maxima).zip(sums) {
                assert_eq!(maximum.to_bits(), block.iter().copied().fold(f32::MIN, f32::max).to_bits());
                let exact: f64 = block.iter().map(|logit| f64::from(logit - 10.0).exp()).sum();
                assert!((f64::from(sum) - exact).abs() < exact * 2e-6, "{sum} {exact}");
            }
        }
    }

    #[test]
    fn a_logit_that_is_no_number_is_found_wherever_it_is() {
        for place in 0..100 {
            let mut logits = [1.0; 100];
            logits[place] = f32::NAN;
            assert!(block_maxima(&logits, &mut [0.0; 2]), "{place}");
        }
    }

    #[test]
    fn the_logit_below_a_weight_loses_nobody() {
        for (inverse_temperature, max) in [(1.0, 0.0), (1.25, -37.0), (0.5, 1e4), (1e30, 5.0), (20.0, 3.0)] {
            let scale = Scale::new(max, inverse_temperature, 1000);
            for step in 0..1000u16 {
                let logit = max - f32::from(step) / 100.0 / inverse_temperature;
                let weight = f64::from(scale.weight(logit));
                assert!(weight == 0.0 || scale.logit_below(weight) <= logit, "{inverse_temperature} {max} {logit}");
            }
        }
    }
}
