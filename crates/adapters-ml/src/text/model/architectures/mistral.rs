//! Mistral 7B (Jiang et al. 2023): Llama with a window over the past.

use super::decoder::{Decoder, Traits};
use crate::text::model::LoadError;
use crate::text::model::config::{ConfigFile, bounds};

/// Reads the configuration (fields and defaults of `transformers.MistralConfig`).
pub(super) fn mistral(config: &ConfigFile) -> Result<Decoder, LoadError> {
    let window = config.optional_integer("sliding_window", bounds::CONTEXT)?;
    Decoder::new(config, Traits { packed_bias: false, output_bias: false, inner_bias: false, window, epsilon: 1e-6 })
}
