//! Embeddings: vectors of texts, for a program that searches, groups or compares them. Nothing of it is stored; its tokens are counted.

mod embed;
mod input;

use std::sync::Arc;

use domain::ModelName;
use ports::{LanguageModels, ModelStore, Randomness};

use crate::LimitService;
use crate::generation::Generators;

/// What one vector is made of.
#[derive(Clone, PartialEq, Eq)]
pub enum EmbeddingSource {
    /// A text.
    Text(String),
    /// A text in the model's own tokens.
    Tokens(Vec<u32>),
}

/// What vectors are to be made of.
#[derive(Clone)]
pub struct EmbeddingOrder {
    /// At least one, and no more than [`EmbeddingLimits::inputs`].
    pub inputs: Vec<EmbeddingSource>,
    /// By which model; the default one if absent.
    pub model: Option<String>,
    /// How many numbers each vector is to have; as many as the model makes if absent.
    pub dimensions: Option<i64>,
}

/// The vectors, and what they cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded {
    /// The model that was asked for, or the default one.
    pub model: ModelName,
    /// One for each input, in their order.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all inputs together.
    pub prompt_tokens: u32,
}

/// What is accepted at the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbeddingLimits {
    /// The longest input: Unicode scalar values of a text, or tokens.
    pub prompt_characters: usize,
    /// The most inputs of one request.
    pub inputs: usize,
}

/// What an [`EmbeddingService`] stands on.
#[derive(Clone)]
pub struct EmbeddingPorts {
    /// Named models.
    pub models: Arc<dyn ModelStore>,
    /// What makes vectors.
    pub language_models: Arc<dyn LanguageModels>,
    /// Draws identifiers.
    pub randomness: Arc<dyn Randomness>,
}

/// The use case around embeddings.
#[derive(Clone)]
pub struct EmbeddingService {
    generators: Generators,
    limits: EmbeddingLimits,
}

impl EmbeddingService {
    /// Takes what it needs; `default_model` applies where a request names none.
    pub fn new(ports: EmbeddingPorts, default_model: ModelName, limits: EmbeddingLimits, token_limits: LimitService) -> Self {
        let EmbeddingPorts { models, language_models, randomness } = ports;
        Self { generators: Generators { models, language_models, randomness, default_model, token_limits }, limits }
    }
}
