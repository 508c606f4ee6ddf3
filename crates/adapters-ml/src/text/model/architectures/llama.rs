//! Llama 2 and 3 (Touvron et al. 2023, Dubey et al. 2024).

use super::decoder::{Decoder, Traits};
use crate::text::model::LoadError;
use crate::text::model::config::ConfigFile;

/// Reads the configuration (fields and defaults of `transformers.LlamaConfig`).
pub(super) fn llama(config: &ConfigFile) -> Result<Decoder, LoadError> {
    let attention_bias = config.flag("attention_bias", false)?;
    let traits = Traits {
        packed_bias: attention_bias,
        output_bias: attention_bias,
        inner_bias: config.flag("mlp_bias", false)?,
        window: None,
        epsilon: 1e-6,
    };
    Decoder::new(config, traits)
}
