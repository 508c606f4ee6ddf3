//! What a generation is asked for where its request is silent.

use crate::Refusal;
use crate::length_limit::checked_length;
use crate::sampling::{checked_temperature, checked_top_p};

/// A named model's own defaults, or one user's for that model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelDefaults {
    /// Total tokens, prompt included.
    pub max_length: u32,
    /// 0–2.
    pub temperature: f64,
    /// 0–1.
    pub top_p: f64,
}

impl ModelDefaults {
    /// Checks a set of defaults.
    pub fn new(max_length: i64, temperature: f64, top_p: f64) -> Result<Self, Refusal> {
        Ok(Self {
            max_length: checked_length("max_length", max_length)?,
            temperature: checked_temperature(temperature)?,
            top_p: checked_top_p(top_p)?,
        })
    }
}

impl Default for ModelDefaults {
    fn default() -> Self {
        Self { max_length: 200, temperature: 0.8, top_p: 0.95 }
    }
}
