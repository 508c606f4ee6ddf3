//! Rotary positions (Su et al. 2021): the tables of cosines and sines, and the ways to stretch them over a longer context.

use crate::text::model::LoadError;
use crate::text::model::config::{ConfigFile, bounds};

/// How positions become angles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rope {
    base: f64,
    scaling: Scaling,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Scaling {
    None,
    /// All positions are divided by this (Chen et al. 2023).
    Linear(f64),
    /// As Llama 3.1 and later: long wavelengths are divided, short ones kept, those in between interpolated.
    Llama3 {
        factor: f64,
        low_frequency: f64,
        high_frequency: f64,
        original_context: f64,
    },
}

impl Rope {
    /// Reads `rope_parameters`, or `rope_theta` and `rope_scaling` as files from before transformers 5 have them.
    pub(super) fn new(config: &ConfigFile) -> Result<Self, LoadError> {
        let base = config.number("rope_theta", bounds::ROPE_BASE, 10_000.0)?;
        let Some(section) =
            config.section("rope_parameters")?.map_or_else(|| config.section("rope_scaling"), |section| Ok(Some(section)))?
        else {
            return Ok(Self { base, scaling: Scaling::None });
        };
        let base = section.number("rope_theta", bounds::ROPE_BASE, base)?;
        if section.number("partial_rotary_factor", 0.0..=1.0, 1.0)? < 1.0 {
            return Err(section.refuse("partial_rotary_factor", "only 1 is supported"));
        }
        let kind = section.text("rope_type")?.map_or_else(|| section.text("type"), |kind| Ok(Some(kind)))?;
        Ok(Self { base, scaling: scaling(&section, kind.unwrap_or("default"))? })
    }

    /// Cosines and sines, each `[tokens, head_size / 2]`.
    pub(super) fn tables(&self, tokens: usize, head_size: usize) -> (Vec<f32>, Vec<f32>) {
        let frequencies: Vec<f32> = (0..head_size / 2).map(|index| self.frequency(index, head_size)).collect();
        // Angles are rounded to 32 bits before their cosine is taken, as they were when the model was trained.
        #[expect(clippy::cast_precision_loss, reason = "positions are bounded below 2^24")]
        let angles =
            (0..tokens).flat_map(|position| frequencies.iter().map(move |frequency| f64::from(position as f32 * frequency)));
        #[expect(clippy::cast_possible_truncation, reason = "the model computes in 32 bits")]
        angles.map(|angle| (angle.cos() as f32, angle.sin() as f32)).unzip()
    }

    /// The angle between two neighbouring positions, in radians.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "head sizes are small and the model computes in 32 bits"
    )]
    fn frequency(&self, index: usize, head_size: usize) -> f32 {
        let frequency = self.base.powf(-2.0 * index as f64 / head_size as f64);
        let scaled = match self.scaling {
            Scaling::None => frequency,
            Scaling::Linear(factor) => frequency / factor,
            Scaling::Llama3 { factor, low_frequency, high_frequency, original_context } => {
                let turns = original_context * frequency / std::f64::consts::TAU;
                let smooth = ((turns - low_frequency) / (high_frequency - low_frequency)).clamp(0.0, 1.0);
                (1.0 - smooth) * frequency / factor + smooth * frequency
            }
        };
        scaled as f32
    }
}

fn scaling(section: &ConfigFile, kind: &str) -> Result<Scaling, LoadError> {
    let factor = || section.number("factor", 1.0..=10_000.0, 1.0);
    match kind {
        "default" => Ok(Scaling::None),
        "linear" => Ok(Scaling::Linear(factor()?)),
        "llama3" => {
            let low_frequency = section.number("low_freq_factor", 1e-3..=1e3, 1.0)?;
            let high_frequency = section.number("high_freq_factor", 1e-3..=1e3, 4.0)?;
            if high_frequency <= low_frequency {
                return Err(section.refuse("high_freq_factor", "must be greater than low_freq_factor"));
            }
            let original_context = section.number("original_max_position_embeddings", 1.0..=1e7, 8_192.0)?;
            Ok(Scaling::Llama3 { factor: factor()?, low_frequency, high_frequency, original_context })
        }
        other => Err(section.refuse("rope_type", format!("{other:?} is not supported; default, linear and llama3 are"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_position_is_not_turned_and_the_second_turns_by_the_frequencies() {
        let (cosines, sines) = Rope { base: 10_000.0, scaling: Scaling::None }.tables(2, 4);
        assert_eq!(cosines, [1.0, 1.0, 1.0_f32.cos(), 0.01_f32.cos()]);
        assert_eq!(sines, [0.0, 0.0, 1.0_f32.sin(), 0.01_f32.sin()]);
    }

    #[test]
    fn linear_scaling_divides_positions() {
        let plain = Rope { base: 10_000.0, scaling: Scaling::None }.tables(3, 8);
        let stretched = Rope { base: 10_000.0, scaling: Scaling::Linear(2.0) }.tables(5, 8);
        assert_eq!(plain.0[4..8], stretched.0[8..12], "position 1 of the one is position 2 of the other");
    }

    #[test]
    fn llama_3_scaling_keeps_short_wavelengths_and_divides_long_ones() {
        let plain = Rope { base: 500_000.0, scaling: Scaling::None };
        let scaling = Scaling::Llama3 { factor: 8.0, low_frequency: 1.0, high_frequency: 4.0, original_context: 8_192.0 };
        let scaled = Rope { base: 500_000.0, scaling };
        assert_eq!(scaled.frequency(0, 128).to_bits(), plain.frequency(0, 128).to_bits());
        assert!((scaled.frequency(63, 128) * 8.0 - plain.frequency(63, 128)).abs() < 1e-12);
    }
}
