//! Qwen 2 and 2.5 (Yang et al. 2024): Llama with biases on queries, keys and values.

use super::decoder::{Decoder, Traits};
use crate::text::model::LoadError;
use crate::text::model::config::ConfigFile;

/// Reads the configuration (fields and defaults of `transformers.Qwen2Config`).
pub(super) fn qwen2(config: &ConfigFile) -> Result<Decoder, LoadError> {
    config.must_be("use_sliding_window", false)?;
    Decoder::new(config, Traits { packed_bias: true, output_bias: false, inner_bias: false, window: None, epsilon: 1e-6 })
}
