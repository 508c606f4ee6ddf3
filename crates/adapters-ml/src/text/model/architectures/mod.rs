//! The families of models that can be loaded, one file each: how its configuration reads, what its tensors are called, what it computes.

mod decoder;
mod gpt2;
mod llama;
mod mistral;
mod qwen2;
mod rope;

use super::LoadError;
use super::checkpoint::Checkpoint;
use super::config::ConfigFile;
use super::graph::GraphBuilder;
use super::safetensors::TensorLocation;

/// What every family has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ModelShape {
    pub(super) layers: usize,
    pub(super) width: usize,
    pub(super) heads: usize,
    /// Heads of keys and values; a divisor of `heads`.
    pub(super) kv_heads: usize,
    pub(super) head_size: usize,
    /// The widest row between two matrices.
    pub(super) inner: usize,
    pub(super) vocabulary: usize,
    /// The longest sequence the model was made for.
    pub(super) context_length: usize,
    /// Elements of all matrices that are multiplied with, the last one included.
    pub(super) matrix_elements: u64,
}

impl ModelShape {
    /// Features of packed queries, keys and values.
    pub(super) fn packed_width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_size
    }
}

/// The rows that a token's hidden state starts from.
#[derive(Debug, Clone)]
pub(super) struct EmbeddingTensors {
    /// `[vocabulary, width]`
    pub(super) tokens: TensorLocation,
    /// `[context, width]`, where positions are learned.
    pub(super) positions: Option<TensorLocation>,
}

/// A family's reading of one configuration.
pub(super) trait Architecture {
    fn shape(&self) -> ModelShape;

    /// The embeddings, which are looked up outside the graph.
    fn embeddings(&self, checkpoint: &Checkpoint) -> Result<EmbeddingTensors, LoadError>;

    /// Adds the model's operators, from `embeddings` to `logits`, for slots of `tokens` tokens.
    fn build(&self, graph: &mut GraphBuilder<'_>, tokens: usize) -> Result<(), LoadError>;
}

const SUPPORTED: &str = "gpt2, llama, mistral, qwen2";

/// Finds the family that a configuration names. No other file has been read by then.
pub(super) fn architecture(config: &ConfigFile) -> Result<Box<dyn Architecture>, LoadError> {
    let model_type = config.text("model_type")?.unwrap_or_default();
    match model_type {
        "gpt2" => Ok(Box::new(gpt2::Gpt2::new(config)?)),
        "llama" => Ok(Box::new(llama::llama(config)?)),
        "mistral" => Ok(Box::new(mistral::mistral(config)?)),
        "qwen2" => Ok(Box::new(qwen2::qwen2(config)?)),
        _ => Err(LoadError::UnsupportedFamily {
            path: config.path().to_owned(),
            model_type: model_type.to_owned(),
            supported: SUPPORTED,
        }),
    }
}
