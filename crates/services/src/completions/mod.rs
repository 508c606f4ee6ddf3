//! Completions: what is made for a program that keeps its own history. Nothing of it is stored; its tokens are counted.
//!
//! One request may bring several prompts and ask for several choices of each. They are generations of their own, made beside each other
//! and told in one stream.

mod generate;
mod input;

use std::sync::Arc;

use domain::{ChatMessage, CompletionId, FinishReason, ModelName, SamplingRequest, Timestamp, TokenUsage};
use futures_util::stream::BoxStream;
use ports::{Clock, LanguageModels, ModelStore, Randomness, TokenLogprob};

use crate::generation::Generators;
use crate::{LimitService, ServiceError};

/// What a completion goes on from.
#[derive(Clone)]
pub enum CompletionInput {
    /// Texts, each of which the model continues; at most [`CompletionRequest::MAX_GENERATIONS`].
    Prompts(Vec<String>),
    /// A conversation, which the model answers.
    Chat(Vec<ChatMessage>),
}

/// What is to be made.
#[derive(Clone)]
pub struct CompletionRequest {
    /// What it goes on from.
    pub input: CompletionInput,
    /// Which model; the default one if absent.
    pub model: Option<String>,
    /// How tokens are chosen. Where it says nothing of a length, an answer of a model that was trained to chat may fill the context, and
    /// anything else may have as many new tokens as the model's own `max_length`.
    pub sampling: SamplingRequest,
    /// How many texts are made of each input: 1 to [`CompletionRequest::MAX_CHOICES`].
    pub choices: i64,
    /// See [`ports::GenerationRequest::logprobs`].
    pub logprobs: Option<u8>,
}

impl CompletionRequest {
    /// The most choices of one input.
    pub const MAX_CHOICES: i64 = 8;
    /// The most texts that one request may ask for: prompts times choices.
    pub const MAX_GENERATIONS: usize = 16;
    /// The most messages of a conversation.
    pub const MAX_MESSAGES: usize = 2048;
}

/// What is known of a completion before its first piece.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletionHead {
    /// Names it.
    pub id: CompletionId,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// The model that was asked for, or the default one.
    pub model: ModelName,
    /// SHA-256 of its weights, where it runs here.
    pub weights_digest: Option<String>,
}

/// One step of a completion.
#[derive(Debug, Clone, PartialEq)]
pub enum CompletionPiece {
    /// One of its generations waits; this many wait before it.
    Queued {
        /// 0 for the next to begin.
        position: u32,
    },
    /// More of one choice.
    Text {
        /// Which one: the choices of the first prompt come first.
        choice: u32,
        /// Whole characters.
        text: String,
        /// The tokens made since the piece before, where the request asks for them.
        logprobs: Vec<TokenLogprob>,
    },
    /// One choice is complete.
    Ended {
        /// Which one.
        choice: u32,
        /// Why.
        finish_reason: FinishReason,
    },
    /// All are. The last piece.
    Done(TokenUsage),
}

/// The pieces of a completion. Dropping it cancels what is still being made.
pub type CompletionStream = BoxStream<'static, Result<CompletionPiece, ServiceError>>;

/// One of the texts that were made.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// What follows the prompt, or answers the conversation.
    pub text: String,
    /// Its tokens, where the request asks for them.
    pub logprobs: Vec<TokenLogprob>,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

impl Default for Choice {
    /// One of which nothing was heard yet.
    fn default() -> Self {
        Self { text: String::new(), logprobs: Vec::new(), finish_reason: FinishReason::Stop }
    }
}

/// A whole completion.
#[derive(Debug, Clone, PartialEq)]
pub struct Completed {
    /// What was known of it at the start.
    pub head: CompletionHead,
    /// The texts; the choices of the first prompt come first.
    pub choices: Vec<Choice>,
    /// Tokens read and made; what several choices read together counts once.
    pub usage: TokenUsage,
}

/// What is accepted at the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompletionLimits {
    /// The longest prompt or conversation, in Unicode scalar values.
    pub prompt_characters: usize,
}

/// What a [`CompletionService`] stands on.
#[derive(Clone)]
pub struct CompletionPorts {
    /// Named models and users' defaults.
    pub models: Arc<dyn ModelStore>,
    /// What generates.
    pub language_models: Arc<dyn LanguageModels>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Draws identifiers and seeds.
    pub randomness: Arc<dyn Randomness>,
}

/// The use cases around completions.
#[derive(Clone)]
pub struct CompletionService {
    generators: Generators,
    clock: Arc<dyn Clock>,
    limits: CompletionLimits,
}

impl CompletionService {
    /// Takes what it needs; `default_model` applies where a request names none.
    pub fn new(ports: CompletionPorts, default_model: ModelName, limits: CompletionLimits, token_limits: LimitService) -> Self {
        let CompletionPorts { models, language_models, clock, randomness } = ports;
        let generators = Generators { models, language_models, randomness, default_model, token_limits };
        Self { generators, clock, limits }
    }
}
