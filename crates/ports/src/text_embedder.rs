//! What makes vectors of texts: a model in the process, or somebody else's server.

use async_trait::async_trait;
use domain::Prompt;

use crate::text_generator::estimated_tokens;
use crate::{GenerationError, Owner, Priority};

/// What one vector is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmbeddingInput {
    /// A text.
    Text(Prompt),
    /// A text in the tokens of the very model that is asked, at least one.
    Tokens(Vec<u32>),
}

impl EmbeddingInput {
    /// About how many tokens it has, where nobody can count them; see [`GenerationInput::estimated_tokens`](crate::GenerationInput).
    pub fn estimated_tokens(&self) -> u32 {
        match self {
            Self::Text(prompt) => estimated_tokens(prompt.as_str().len()),
            Self::Tokens(tokens) => u32::try_from(tokens.len()).unwrap_or(u32::MAX),
        }
    }
}

/// What to make vectors of.
#[derive(Debug, Clone)]
pub struct EmbeddingRequest {
    /// At least one.
    pub inputs: Vec<EmbeddingInput>,
    /// How many numbers each vector is to have; `None` for as many as the model makes.
    pub dimensions: Option<u32>,
    /// Whom it is for.
    pub owner: Owner,
    /// How soon it should run.
    pub priority: Priority,
}

impl EmbeddingRequest {
    /// A request that somebody waits for, for vectors as the model makes them.
    pub const fn new(inputs: Vec<EmbeddingInput>, owner: Owner) -> Self {
        Self { inputs, dimensions: None, owner, priority: Priority::Interactive }
    }
}

/// The vectors of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    /// One for each input, in their order. All have the same length, at least 1, and every number is finite.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all inputs together; estimated where the provider does not count them.
    pub prompt_tokens: u32,
}

/// What an embedder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbedderDescription {
    /// The most tokens of one input; 0 where the provider does not say.
    pub context_length: u32,
    /// How many numbers a vector has, where that is known without making one.
    pub dimensions: Option<u32>,
}

/// Makes vectors of texts, of which those that are near each other in meaning are near each other.
///
/// A model that runs here answers the mean of its hidden states after the last norm, over all tokens of a text, divided by its length
/// (L2): the same vector, to the last bit, whatever else is running. What a provider answers is the provider's.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait TextEmbedder: Send + Sync {
    /// What this embedder is.
    fn describe(&self) -> EmbedderDescription;

    /// Refuses at once what [`TextEmbedder::embed`] would refuse now whatever is asked of it ([`GenerationError::Overloaded`],
    /// [`GenerationError::ShuttingDown`]), for whoever has dear work to do before it asks. `Ok` promises nothing.
    fn admits(&self, owner: Owner) -> Result<(), GenerationError>;

    /// Makes a vector of each input, or of none of them.
    ///
    /// No input is ever cut: one that is longer than the context is refused, with [`GenerationError::PromptTooLong`] where its tokens
    /// are counted and [`GenerationError::InputRefused`] where they are not. Token identifiers that the model cannot read are
    /// `InputRefused`; `dimensions` that it cannot give are [`GenerationError::Unsupported`]. **Dropping the call cancels**: the work
    /// stops within one step and its place is free, a provider's connection is closed.
    async fn embed(&self, request: EmbeddingRequest) -> Result<Embeddings, GenerationError>;

    /// How many tokens each input has, where the model is at hand to say.
    async fn count_tokens(&self, inputs: &[EmbeddingInput]) -> Result<Option<Vec<u32>>, GenerationError>;
}
