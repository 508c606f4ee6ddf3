//! What makes text: a model in the process, or somebody else's server.

use std::pin::Pin;

use async_trait::async_trait;
use domain::{ChatMessage, FinishReason, Prompt, SamplingParameters, TokenUsage, UserId};
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

/// What a generation goes on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GenerationInput {
    /// A text, which the model continues.
    Text(Prompt),
    /// A conversation, which the model answers, in the form that the model was trained on. At least one message.
    Chat(Vec<ChatMessage>),
}

impl GenerationInput {
    /// All its words, in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Text(prompt) => prompt.as_str().len(),
            Self::Chat(messages) => messages.iter().map(|message| message.content.len()).sum(),
        }
    }

    /// About how many tokens it has, where nobody can count them: English has about four characters a token, and who sets tokens aside
    /// should rather take too many than too few. At least 1.
    pub fn estimated_tokens(&self) -> u32 {
        estimated_tokens(self.bytes())
    }
}

/// See [`GenerationInput::estimated_tokens`].
pub(crate) fn estimated_tokens(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(3)).unwrap_or(u32::MAX).max(1)
}

/// What to do with a prompt that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Truncation {
    /// Refuse it, with [`GenerationError::PromptTooLong`].
    #[default]
    Refuse,
    /// Leave its oldest tokens out, as few as give the text the room it asks for, and say how many. Of a conversation nothing is left
    /// out in this way: whoever holds its messages chooses among them.
    Oldest,
}

/// What to generate.
#[derive(Debug, Clone)]
pub struct GenerationRequest {
    /// What the text goes on from.
    pub input: GenerationInput,
    /// What to do where that is too long.
    pub truncation: Truncation,
    /// How many of the likeliest tokens to report, with their probabilities, for each token made: at most [`MAX_TOP_LOGPROBS`]. `None`
    /// reports nothing; 0 reports the tokens that were made alone.
    pub logprobs: Option<u8>,
    /// How its tokens are chosen and where it ends.
    pub parameters: SamplingParameters,
    /// Whom it is for.
    pub owner: Owner,
    /// How soon it should run.
    pub priority: Priority,
}

impl GenerationRequest {
    /// A request that somebody waits for, whose input must fit, without probabilities.
    pub const fn new(input: GenerationInput, parameters: SamplingParameters, owner: Owner) -> Self {
        let (truncation, priority) = (Truncation::Refuse, Priority::Interactive);
        Self { input, truncation, logprobs: None, parameters, owner, priority }
    }
}

/// The most alternatives that are reported for a token, as in OpenAI's API.
pub const MAX_TOP_LOGPROBS: u8 = 20;

/// How likely a token was, by the model's own distribution: before temperature, penalties and all that narrows the choice.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    /// The token's bytes, which need not be whole characters.
    pub token: Vec<u8>,
    /// The natural logarithm of its probability.
    pub logprob: f32,
    /// The likeliest tokens in its place, the likeliest first, as many as were asked for.
    pub top: Vec<(Vec<u8>, f32)>,
}

/// What is known when a generation begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenerationStart {
    /// Tokens of the prompt, as far as it is read; [`GenerationInput::estimated_tokens`] where nobody can count them before the end
    /// ([`TextGenerator::count_tokens`] is `None`). [`Completion::usage`] has the true number.
    pub prompt_tokens: u32,
    /// Tokens of the prompt that were left out because it did not fit; 0 unless the request allows it.
    pub truncated_tokens: u32,
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
#[derive(Debug, Clone, PartialEq)]
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
        /// The tokens made since the text before, where the request asks for it. A stop string is cut from the text and not from them;
        /// tokens after which no text follows (the one that ends it, the rest of a stop string) are not told.
        logprobs: Vec<TokenLogprob>,
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
    /// The model cannot read the input that it was given; the text says why.
    #[error("{0}")]
    InputRefused(String),
    /// This model cannot do what the request asks for.
    #[error("{field} is not supported by this model")]
    Unsupported {
        /// The request's own name of the field.
        field: &'static str,
    },
    /// The provider asked us to wait.
    #[error("{provider} is busy; try again in {retry_after_seconds} s")]
    ProviderBusy {
        /// Which one.
        provider: &'static str,
        /// When it may answer.
        retry_after_seconds: u32,
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
    /// Whether it was trained to answer conversations. If not, a conversation is given to it as a plain transcript.
    pub answers_chats: bool,
}

/// Makes text from a prompt.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait TextGenerator: Send + Sync {
    /// What this generator is.
    fn describe(&self) -> GeneratorDescription;

    /// Refuses at once what [`TextGenerator::generate`] would refuse now however the request reads ([`GenerationError::Overloaded`],
    /// [`GenerationError::ShuttingDown`]), for whoever has dear work to do before it asks. `Ok` promises nothing.
    fn admits(&self, owner: Owner) -> Result<(), GenerationError> {
        // Who keeps no count of owners refuses none.
        let _ = owner;
        Ok(())
    }

    /// Begins a generation, or refuses it.
    ///
    /// Refusals that can be known at once (`PromptTooLong`, `Overloaded`, `Unsupported`, `ShuttingDown`) are this call's error; a
    /// generation that was accepted reports what happens later in its stream. Cancelling this call begins nothing.
    async fn generate(&self, request: GenerationRequest) -> Result<TokenStream, GenerationError>;

    /// How many tokens an input has, with all that the model's form of a conversation adds, where the model is at hand to say.
    async fn count_tokens(&self, input: &GenerationInput) -> Result<Option<u32>, GenerationError>;
}
