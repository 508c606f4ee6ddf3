//! From a model's identifier to something that generates.

use std::sync::Arc;

use async_trait::async_trait;
use domain::LlmId;

use crate::{GenerationError, TextEmbedder, TextGenerator};

/// What is known of a model without loading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LlmState {
    /// Whether it can generate at once.
    pub loaded: bool,
    /// The most tokens of prompt and text together, where it is known already.
    pub context_length: Option<u32>,
}

/// Opens models by their identifiers, whatever runs them.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait LanguageModels: Send + Sync {
    /// The generator behind an identifier, loaded if it was not. Two calls for one identifier load it once. A caller that goes away
    /// does not stop a load that others may want.
    ///
    /// Fails with [`GenerationError::ModelUnavailable`] where it cannot be found, fetched, read or fitted, saying what to do about it.
    async fn open(&self, llm: &LlmId) -> Result<Arc<dyn TextGenerator>, GenerationError>;

    /// What makes vectors with the model behind an identifier, loaded if it was not: otherwise as [`LanguageModels::open`]. Whether a
    /// provider's model makes any is seen when it is asked for them.
    async fn open_embedder(&self, llm: &LlmId) -> Result<Arc<dyn TextEmbedder>, GenerationError>;

    /// What is known of it now. Loads nothing.
    fn state(&self, llm: &LlmId) -> LlmState;
}
