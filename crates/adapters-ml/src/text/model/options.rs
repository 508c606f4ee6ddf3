//! What an operator may choose about a loaded model.

use super::quantised::QuantisedWeights;

/// In which numbers the weights are kept and multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// [`Precision::Int8`] for models over 50 million parameters, [`Precision::Fp32`] for smaller ones.
    #[default]
    Auto,
    /// 32-bit floats: exact, four bytes a weight.
    Fp32,
    /// 8-bit integers with a scale for each column of weights and each row of activations. A sequence's logits do not depend on its neighbours.
    Int8,
    /// 4-bit integers with a scale for each block of weights: the smallest and the coarsest.
    Int4,
}

/// The settings of [`LoadedModel::load`](super::LoadedModel::load).
#[derive(Debug, Clone)]
pub struct ModelOptions {
    /// In which numbers to keep the weights.
    pub precision: Precision,
    /// The most memory for weights, caches and activations together.
    pub memory_bytes: u64,
    /// The most sequences held at the same time; fewer where memory is short.
    pub max_slots: usize,
    /// The most tokens a slot holds; `None` for the model's own context. Shorter where memory is short.
    pub max_context: Option<usize>,
    /// The most tokens computed in one step (at least 4); `extend` cuts longer input into even parts. Bounds the memory of activations.
    pub max_chunk: usize,
    /// Threads that share one operator's work; 0 for one a core, or a single one for a small model.
    pub intra_threads: usize,
    /// Whether those threads wait for work by spinning for a millisecond rather than for 20 µs. It gains a little where nothing else runs,
    /// and where something does, which is usual for a server, it costs up to half the speed.
    pub spin: bool,
    /// Where quantised weights are kept.
    pub quantised: QuantisedWeights,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self {
            precision: Precision::Auto,
            memory_bytes: 4 << 30,
            max_slots: 16,
            max_context: None,
            max_chunk: 512,
            intra_threads: 0,
            spin: false,
            quantised: QuantisedWeights::Nowhere,
        }
    }
}
