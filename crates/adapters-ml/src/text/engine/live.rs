//! What waits or runs on the engine's thread: texts, and requests for embeddings. Most of what happens to one may happen to the other.

use ports::GenerationError;

use super::embedding::LiveEmbedding;
use super::sequence::LiveSequence;
use crate::text::metrics::{EngineMetrics, Outcome};
use crate::text::tokenizer::TextTokenizer;

/// One of either.
pub(super) enum Live {
    Text(Box<LiveSequence>),
    Embedding(Box<LiveEmbedding>),
}

impl Live {
    /// The text that this is.
    pub(super) fn text(&mut self) -> Option<&mut LiveSequence> {
        match self {
            Self::Text(sequence) => Some(sequence),
            Self::Embedding(_) => None,
        }
    }

    /// The request for embeddings that this is.
    pub(super) fn embedding(&mut self) -> Option<&mut LiveEmbedding> {
        match self {
            Self::Text(_) => None,
            Self::Embedding(embedding) => Some(embedding),
        }
    }

    /// It got a slot.
    pub(super) fn admit(&mut self, reused_tokens: usize, metrics: &EngineMetrics) {
        match self {
            Self::Text(sequence) => sequence.admit(reused_tokens, metrics),
            Self::Embedding(embedding) => embedding.admit(metrics),
        }
    }

    /// It ends with an error.
    pub(super) fn fail(self, error: GenerationError, outcome: Outcome, metrics: &EngineMetrics) {
        match self {
            Self::Text(sequence) => sequence.fail(error, outcome, metrics),
            Self::Embedding(embedding) => embedding.fail(error, outcome, metrics),
        }
    }

    /// Its caller went away.
    pub(super) fn cancel(self, metrics: &EngineMetrics) {
        match self {
            Self::Text(sequence) => sequence.cancel(metrics),
            Self::Embedding(embedding) => embedding.cancel(metrics),
        }
    }

    /// The engine stops. A text is cut where it is; a part of the vectors is no answer.
    pub(super) fn interrupt(self, tokenizer: &TextTokenizer, metrics: &EngineMetrics) {
        match self {
            Self::Text(sequence) => sequence.interrupt(tokenizer, metrics),
            Self::Embedding(embedding) => embedding.fail(GenerationError::ShuttingDown, Outcome::ShutDown, metrics),
        }
    }
}
