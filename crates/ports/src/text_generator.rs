//! What makes text: a model in the process, or somebody else's server.

use std::pin::Pin;

use async_trait::async_trait;
use domain::{FinishReason, Prompt, SamplingParameters, TokenUsage, UserId};
use futures_core::Stream;

/// Whom a generation is made for, so that the places are shared out by people and not by arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// All who are not signed in share one place.
    Guests,
    /// A user.
    User(UserId),
}

/// How soon a generation should run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Priority {
    /// Somebody waits for it.
    #[default]
    Interactive,
    /// It runs when nobody waits.
    Batch,
}

/// What to generate.
#[derive(Debug, Clone)]
pub struct GenerationRequest {
    /// What the text begins with.
    pub prompt: Prompt,
    /// How its tokens are chosen and where it ends.
    pub parameters: SamplingParameters,
    /// Whom it is for.
    pub owner: Owner,
    /// How soon it should run.
    pub priority: Priority,
}

/// What is known when a generation begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenerationStart {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// The most tokens that may follow.
    pub max_new_tokens: u32,
}

/// How a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completion {
    /// Why.
    pub finish_reason: FinishReason,
    /// Tokens read and made.
    pub usage: TokenUsage,
}

/// One step of a generation, as its caller sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenEvent {
    /// It waits for a place; this many wait before it. Sent when the number changes, not at all if it need not wait.
    Queued {
        /// 0 for the next to begin.
        position: u32,
    },
    /// It begins. Exactly once, before any text.
    Started(GenerationStart),
    /// More of the text.
    Text {
        /// Whole characters, never empty, never any part of a stop string.
        text: String,
        /// Tokens made so far, those included whose characters are still held back: what a caller who goes away now is billed for.
        completion_tokens: u32,
    },
    /// It ended. Exactly once, as the last event.
    Finished(Completion),
}

/// Why nothing, or nothing more, was generated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenerationError {
    /// The prompt leaves no room for a single token.
    #[error(
        "the prompt has {prompt_tokens} tokens, which leaves no room: the request allows {limit} in all, the model's context is {context_length}"
    )]
    PromptTooLong {
        /// Tokens of the prompt.
        prompt_tokens: u32,
        /// The most tokens of prompt and text together that the request allows.
        limit: u32,
        /// The most that the model allows.
        context_length: u32,
    },
    /// Too many are waiting; nothing was begun.
    #[error("too many generations are waiting; try again in {retry_after_seconds} s")]
    Overloaded {
        /// When a place is likely to be free.
        retry_after_seconds: u32,
    },
    /// It waited or ran past its deadline.
    #[error("the generation ran past its deadline")]
    DeadlineExceeded,
    /// The server is stopping.
    #[error("the server is stopping")]
    ShuttingDown,
    /// The model asked for cannot be used; the text says why and what to do, and holds no secret.
    #[error("{0}")]
    ModelUnavailable(String),
    /// This model cannot do what the request asks for.
    #[error("{field} is not supported by this model")]
    Unsupported {
        /// The request's own name of the field.
        field: &'static str,
    },
    /// A provider cannot be reached.
    #[error("{provider} cannot be reached")]
    ProviderUnreachable {
        /// Which one.
        provider: &'static str,
    },
    /// A provider answered with an error or with what is no answer.
    #[error("{provider} answered badly: {problem}")]
    ProviderFailed {
        /// Which one.
        provider: &'static str,
        /// What it said, without secrets.
        problem: String,
    },
    /// The model's runtime failed. The cause is for the log.
    #[error("generation failed: {0}")]
    Failed(String),
}

/// The events of one generation.
///
/// The channel behind it is bounded: a caller that reads slowly slows its own generation and no other. **Dropping it cancels**: the
/// generation stops within one step and its place is free. After an error nothing follows.
pub type TokenStream = Pin<Box<dyn Stream<Item = Result<TokenEvent, GenerationError>> + Send + 'static>>;

/// What a generator is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratorDescription {
    /// The most tokens of prompt and text together; 0 where the provider does not say.
    pub context_length: u32,
    /// SHA-256 of the weights, in lower-case hexadecimal, for a model that runs here.
    pub weights_digest: Option<String>,
    /// Whether the same seed, prompt and parameters give the same text, whatever else is running.
    pub reproducible: bool,
}

/// Makes text from a prompt.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait TextGenerator: Send + Sync {
    /// What this generator is.
    fn describe(&self) -> GeneratorDescription;

    /// Begins a generation, or refuses it.
    ///
    /// Refusals that can be known at once (`PromptTooLong`, `Overloaded`, `Unsupported`, `ShuttingDown`) are this call's error; a
    /// generation that was accepted reports what happens later in its stream. Cancelling this call begins nothing.
    async fn generate(&self, request: GenerationRequest) -> Result<TokenStream, GenerationError>;

    /// How many tokens a text has, where the model is at hand to say.
    async fn count_tokens(&self, text: &str) -> Result<Option<u32>, GenerationError>;
}
