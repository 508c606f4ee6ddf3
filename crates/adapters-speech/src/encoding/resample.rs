//! Samples of one rate into samples of another, as a codec that knows few rates needs them.
//!
//! A polyphase filter: the output's time in samples of the input is a fraction with a fixed denominator, and for each numerator there is
//! a row of weights, a sinc under a Kaiser window (J. O. Smith, *Digital Audio Resampling*, "Windowed Sinc Interpolation"). It is
//! symmetric, so that nothing is delayed against anything else, and it leaves out what the lower of the two rates cannot hold.

use std::f64::consts::PI;

/// Input samples on either side of an output sample, where the output has no fewer of them a second.
const REACH: u32 = 32;
/// The window's shape: what is left out is 80 dB quieter (Kaiser's formula for β).
const KAISER_BETA: f64 = 7.86;
/// Where the filter falls off, as a part of what the lower rate can hold: the slope ends a little above it.
const CUTOFF: f64 = 0.95;

pub(super) struct Resampler {
    /// The weights of each numerator, one row after another.
    weights: Vec<f32>,
    row_length: usize,
    /// How many rows there are: the fraction's denominator.
    rows: usize,
    /// What the numerator grows by from one output sample to the next.
    step: usize,
    numerator: usize,
    /// The input from where the next output sample's row begins.
    input: Vec<f32>,
}

impl Resampler {
    /// Between two rates in samples a second, neither of them zero.
    pub(super) fn new(from: u32, to: u32) -> Self {
        let shared = greatest_common_divisor(from, to).max(1);
        let (rows, step) = (to / shared, from / shared);
        let reach = REACH * from.div_ceil(to.max(1));
        let width = CUTOFF * (f64::from(to) / f64::from(from)).min(1.0);
        let weights: Vec<f32> = (0..rows).flat_map(|row| weights(f64::from(row) / f64::from(rows), reach, width)).collect();
        Self {
            weights,
            row_length: to_usize(2 * reach),
            rows: to_usize(rows),
            step: to_usize(step),
            numerator: 0,
            // Silence before the first sample.
            input: vec![0.0; to_usize(reach - 1)],
        }
    }

    /// Adds samples and gives those that they settle, between -1 and 1 but for what the filter overshoots.
    pub(super) fn push(&mut self, samples: &[i16]) -> Vec<f32> {
        self.input.extend(samples.iter().map(|sample| f32::from(*sample) / 32_768.0));
        let mut output = Vec::with_capacity(samples.len() * self.rows / self.step + 1);
        let mut begin = 0;
        while let Some(window) = self.input.get(begin..begin + self.row_length) {
            let row = self.weights.chunks_exact(self.row_length).nth(self.numerator).unwrap_or_default();
            output.push(window.iter().zip(row).map(|(sample, weight)| sample * weight).sum());
            self.numerator += self.step;
            begin += self.numerator / self.rows;
            self.numerator %= self.rows;
        }
        self.input.drain(..begin.min(self.input.len()));
        output
    }

    /// The last samples, as if silence followed.
    pub(super) fn finish(&mut self) -> Vec<f32> {
        let silence = vec![0; self.row_length / 2];
        self.push(&silence)
    }
}

/// The weights of `2 * reach` input samples for an output sample that lies this part of a sample after the `reach`th of them. They add
/// up to one, so that a constant stays what it is.
fn weights(fraction: f64, reach: u32, width: f64) -> Vec<f32> {
    let at = |index: u32| f64::from(index) - f64::from(reach - 1) - fraction;
    let row: Vec<f64> = (0..2 * reach).map(|index| sinc(at(index) * width) * kaiser(at(index) / f64::from(reach))).collect();
    let sum: f64 = row.iter().sum();
    row.into_iter().map(|weight| to_f32(weight / sum)).collect()
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

/// The window between -1 and 1.
fn kaiser(x: f64) -> f64 {
    bessel_i0(KAISER_BETA * (1.0 - x * x).max(0.0).sqrt()) / bessel_i0(KAISER_BETA)
}

/// The modified Bessel function of the first kind and order zero, by its series.
fn bessel_i0(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..=30 {
        term *= (x / (2.0 * f64::from(k))).powi(2);
        sum += term;
    }
    sum
}

const fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[expect(clippy::cast_possible_truncation, reason = "a weight needs no more digits than a sample has")]
const fn to_f32(weight: f64) -> f32 {
    weight as f32
}

/// A rate is far below what any machine's addresses hold.
fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f64, rate: u32, seconds: f64) -> Vec<i16> {
        let count = (f64::from(rate) * seconds).round();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a test's tone is short and fits")]
        let samples = (0..count as u32).map(|n| (f64::from(n) / f64::from(rate) * hertz * 2.0 * PI).sin());
        #[expect(clippy::cast_possible_truncation, reason = "within a sample's range")]
        samples.map(|sample| (sample * 16_384.0).round() as i16).collect()
    }

    fn resampled(samples: &[i16], from: u32, to: u32) -> Vec<f32> {
        let mut resampler = Resampler::new(from, to);
        // Pieces of any length are as good as the whole.
        let mut output: Vec<f32> = samples.chunks(1 + samples.len() / 7).flat_map(|piece| resampler.push(piece)).collect();
        output.extend(resampler.finish());
        output
    }

    /// How far samples are from a tone of half the full loudness, in the middle of both, in decibels below it.
    fn distance(samples: &[f32], hertz: f64, rate: u32) -> f64 {
        let (mut signal, mut noise) = (0.0, 0.0);
        for (n, sample) in (0_u32..).zip(samples).skip(500).take(samples.len() - 1000) {
            let expected = (f64::from(n) / f64::from(rate) * hertz * 2.0 * PI).sin() * 0.5;
            signal += expected.powi(2);
            noise += (f64::from(*sample) - expected).powi(2);
        }
        10.0 * (signal / noise).log10()
    }

    #[test]
    fn a_tone_stays_the_same_tone_at_the_same_time() {
        for (from, to) in [(22_050, 24_000), (16_000, 24_000), (44_100, 24_000), (24_000, 24_000), (8_000, 24_000)] {
            for hertz in [100.0, 1000.0, 3000.0] {
                let output = resampled(&tone(hertz, from, 0.5), from, to);
                assert_eq!(output.len(), to_usize(to / 2), "{from} to {to}");
                let decibels = distance(&output, hertz, to);
                assert!(decibels > 70.0, "{hertz} Hz, {from} to {to}: {decibels:.1} dB");
            }
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_left_out() {
        let output = resampled(&tone(15_000.0, 48_000, 0.5), 48_000, 24_000);
        let middle = output.get(500..output.len() - 500).unwrap();
        let loudest = middle.iter().fold(0.0_f32, |loudest, sample| loudest.max(sample.abs()));
        assert!(loudest < 0.5e-3, "{loudest}");
    }

    #[test]
    fn a_few_samples_are_enough_and_none_is_none() {
        assert_eq!(resampled(&[], 22_050, 24_000), Vec::<f32>::new());
        assert_eq!(resampled(&[i16::MAX], 22_050, 24_000).len(), 2);
        assert_eq!(resampled(&[i16::MIN; 147], 22_050, 24_000).len(), 160);
    }
}
