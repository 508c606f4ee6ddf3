//! Texts: what is asked for, and what was made.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{FinishReason, LengthLimit, SamplingParameters, SamplingRequest, TextGeneration, TokenUsage};
use ports::{Priority, Truncation};
use serde::{Deserialize, Serialize};
use services::{Replay, TextChange, TextRequest};
use utoipa::ToSchema;
use uuid::Uuid;

use super::sampling_fields::shared_sampling;
use super::{integer, token_biases};

/// One string or several.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(untagged, expecting = "must be a string or a list of strings")]
pub(crate) enum OneOrMany {
    /// One string.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl From<OneOrMany> for Vec<String> {
    fn from(strings: OneOrMany) -> Self {
        match strings {
            OneOrMany::One(string) => vec![string],
            OneOrMany::Many(strings) => strings,
        }
    }
}

/// A text to be made. What is absent comes from the caller's defaults for the model.
//
// The sampling parameters are spelt out, not flattened in: serde cannot refuse unknown fields beside a flattened struct.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TextGenerationRequest {
    /// What the text begins with.
    #[schema(example = "Once upon a time", min_length = 1)]
    prompt: String,
    /// Which model; the default one if absent.
    #[schema(example = "default")]
    model: Option<String>,
    /// Whether to answer piece by piece, as server-sent events.
    #[serde(default)]
    pub(crate) stream: bool,
    /// Total tokens, prompt included. Not together with `max_new_tokens`.
    #[schema(example = 120, minimum = 1, maximum = 1_048_576)]
    #[serde(default, deserialize_with = "integer::optional")]
    max_length: Option<i64>,
    /// Tokens after the prompt. Not together with `max_length`.
    #[schema(minimum = 1, maximum = 1_048_576)]
    #[serde(default, deserialize_with = "integer::optional")]
    max_new_tokens: Option<i64>,
    /// 0 always takes the most likely token.
    #[schema(example = 0.8, minimum = 0, maximum = 2)]
    temperature: Option<f64>,
    /// The smallest set of most likely tokens whose probabilities reach this sum is chosen from; 0 keeps the most likely token alone.
    #[schema(example = 0.95, minimum = 0, maximum = 1)]
    top_p: Option<f64>,
    /// The most tokens to choose from; 0 for all.
    #[schema(minimum = 0)]
    #[serde(default, deserialize_with = "integer::optional")]
    top_k: Option<i64>,
    /// Tokens less likely than this share of the most likely one are dropped.
    #[schema(minimum = 0, maximum = 1)]
    min_p: Option<f64>,
    /// Above 1 makes what already stands in the text less likely.
    #[schema(minimum = 0.1, maximum = 10)]
    repetition_penalty: Option<f64>,
    /// Subtracted once from each token that the text already holds.
    #[schema(minimum = -2, maximum = 2)]
    presence_penalty: Option<f64>,
    /// Subtracted for each time the text already holds the token.
    #[schema(minimum = -2, maximum = 2)]
    frequency_penalty: Option<f64>,
    /// Added to the logits of single tokens, by their identifiers: −100 to 100 for each of at most 1024.
    #[schema(example = json!({"464": -100}))]
    #[serde(default, deserialize_with = "token_biases::optional")]
    logit_bias: Option<BTreeMap<u32, f64>>,
    /// Up to four strings, any of which ends the text and is cut from it.
    stop: Option<OneOrMany>,
    /// What to do with a prompt that does not fit. Absent, it is refused, with its count of tokens.
    truncate: Option<TruncationName>,
    /// On a local model the same seed, prompt and parameters give the same text.
    #[schema(minimum = 0, example = 42)]
    #[serde(default, deserialize_with = "integer::optional")]
    seed: Option<i64>,
}

/// What of a prompt is left out that does not fit.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TruncationName {
    /// Its oldest tokens, as few as will do; `truncated_tokens` tells how many.
    Oldest,
}

impl From<TruncationName> for Truncation {
    fn from(name: TruncationName) -> Self {
        match name {
            TruncationName::Oldest => Self::Oldest,
        }
    }
}

impl From<TextGenerationRequest> for TextRequest {
    fn from(mut request: TextGenerationRequest) -> Self {
        let sampling = SamplingRequest {
            max_length: request.max_length,
            max_new_tokens: request.max_new_tokens,
            seed: request.seed,
            ..shared_sampling!(request)
        };
        let truncation = request.truncate.map(Into::into).unwrap_or_default();
        Self { prompt: request.prompt, model: request.model, sampling, truncation, priority: Priority::Interactive }
    }
}

/// What to change of a text; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TextChangeRequest {
    /// A new prompt.
    prompt: Option<String>,
    /// A new text.
    generated_text: Option<String>,
}

impl From<TextChangeRequest> for TextChange {
    fn from(request: TextChangeRequest) -> Self {
        Self { prompt: request.prompt, generated_text: request.generated_text }
    }
}

/// How the tokens were chosen.
#[derive(Serialize, ToSchema)]
pub(crate) struct ParametersResponse {
    /// Total tokens, prompt included; absent where `max_new_tokens` was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 120)]
    max_length: Option<u32>,
    /// Tokens after the prompt; absent where `max_length` applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_new_tokens: Option<u32>,
    /// 0–2.
    #[schema(example = 0.8)]
    temperature: f64,
    /// 0–1.
    #[schema(example = 0.95)]
    top_p: f64,
    /// The most tokens to choose from; `null` for all.
    #[schema(required)]
    top_k: Option<u32>,
    /// 0–1.
    #[schema(example = 0.0)]
    min_p: f64,
    /// 0.1–10.
    #[schema(example = 1.0)]
    repetition_penalty: f64,
    /// −2–2.
    #[schema(example = 0.0)]
    presence_penalty: f64,
    /// −2–2.
    #[schema(example = 0.0)]
    frequency_penalty: f64,
    /// Added to the logits of single tokens; absent where there was none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    logit_bias: BTreeMap<u32, f64>,
    /// What ends the text.
    stop: Vec<String>,
}

impl From<&SamplingParameters> for ParametersResponse {
    fn from(parameters: &SamplingParameters) -> Self {
        let (max_length, max_new_tokens) = match parameters.length {
            LengthLimit::Total(tokens) => (Some(tokens), None),
            LengthLimit::New(tokens) => (None, Some(tokens)),
        };
        Self {
            max_length,
            max_new_tokens,
            temperature: parameters.temperature,
            top_p: parameters.top_p,
            top_k: parameters.top_k,
            min_p: parameters.min_p,
            repetition_penalty: parameters.repetition_penalty,
            presence_penalty: parameters.presence_penalty,
            frequency_penalty: parameters.frequency_penalty,
            logit_bias: parameters.logit_bias.as_map().clone(),
            stop: parameters.stop.as_slice().to_vec(),
        }
    }
}

/// Tokens read and made.
#[derive(Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names are the contract's")]
#[schema(example = json!({"prompt_tokens": 5, "completion_tokens": 115, "total_tokens": 120}))]
pub(crate) struct UsageResponse {
    /// Tokens of the prompt.
    prompt_tokens: u32,
    /// Tokens made after it.
    completion_tokens: u32,
    /// Both together.
    total_tokens: u32,
}

impl From<TokenUsage> for UsageResponse {
    fn from(usage: TokenUsage) -> Self {
        Self {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.total_tokens(),
        }
    }
}

/// Why a text ended.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FinishReasonName {
    /// The model ended it, or a stop string did.
    Stop,
    /// It reached its length.
    Length,
    /// It was cut short; what was made until then was kept.
    Interrupted,
}

impl From<FinishReason> for FinishReasonName {
    fn from(reason: FinishReason) -> Self {
        match reason {
            FinishReason::Stop => Self::Stop,
            FinishReason::Length => Self::Length,
            FinishReason::Interrupted => Self::Interrupted,
        }
    }
}

/// A text that was made.
#[derive(Serialize, ToSchema)]
pub(crate) struct TextGenerationResponse {
    /// Which one.
    id: Uuid,
    /// What it began with.
    #[schema(example = "Once upon a time")]
    prompt: String,
    /// The prompt followed by the continuation.
    #[schema(example = "Once upon a time there was a king who had three daughters.")]
    generated_text: String,
    /// The name of the model that was asked for.
    #[schema(example = "default")]
    model: String,
    /// What stood behind that name at the time.
    #[schema(example = "bundled:fairy-tales")]
    llm: String,
    /// What ran it.
    #[schema(example = "onnxruntime")]
    backend: &'static str,
    /// SHA-256 of the weights; `null` where a provider ran them.
    #[schema(required)]
    weights_digest: Option<String>,
    /// How its tokens were chosen.
    parameters: ParametersResponse,
    /// Tokens read and made.
    usage: UsageResponse,
    /// Tokens of the prompt that were left out because it did not fit; never more than 0 unless `truncate` was asked for.
    #[schema(example = 0)]
    truncated_tokens: u32,
    /// Why it ended.
    finish_reason: FinishReasonName,
    /// Where the random choices started.
    #[schema(example = 42)]
    seed: i64,
    /// Milliseconds in the queue; `null` for texts of before this was measured.
    #[schema(example = 1, required)]
    queued_ms: Option<u32>,
    /// Milliseconds to the first piece of text, those in the queue included; `null` where there was none.
    #[schema(example = 9, required)]
    first_token_ms: Option<u32>,
    /// Milliseconds to the last token.
    #[schema(example = 480)]
    duration_ms: u32,
    /// Whether its words were changed after it was made.
    edited: bool,
    /// When it was asked for.
    created_at: DateTime<Utc>,
}

impl From<TextGeneration> for TextGenerationResponse {
    fn from(text: TextGeneration) -> Self {
        Self {
            id: text.id.uuid(),
            parameters: (&text.parameters).into(),
            llm: text.llm.to_string(),
            backend: text.llm.backend(),
            weights_digest: text.weights_digest,
            usage: text.usage.into(),
            truncated_tokens: text.truncated_tokens,
            finish_reason: text.finish_reason.into(),
            seed: text.parameters.seed.get(),
            queued_ms: text.queued_ms,
            first_token_ms: text.first_token_ms,
            duration_ms: text.duration_ms,
            edited: text.edited,
            created_at: text.created_at,
            prompt: text.prompt,
            generated_text: text.generated_text,
            model: text.model.to_string(),
        }
    }
}

/// A piece of a text that is being made.
#[derive(Serialize, ToSchema)]
pub(crate) struct TextPieceEvent {
    /// Whole characters.
    #[schema(example = " there was")]
    pub(crate) text: String,
}

/// A text that was made again from its record.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReplayResponse {
    /// Whether it came out the same. Of a text that was interrupted: whether it begins with what was kept.
    identical: bool,
    /// The prompt and what followed it this time; of an interrupted text, what it would have become.
    #[schema(example = "Once upon a time there was a king who had three daughters.")]
    generated_text: String,
    /// Why it ended this time.
    finish_reason: FinishReasonName,
    /// Tokens read and made this time.
    usage: UsageResponse,
    /// Milliseconds this time.
    #[schema(example = 480)]
    duration_ms: u32,
    /// What was made the first time, as it is stored.
    record: TextGenerationResponse,
}

impl From<Replay> for ReplayResponse {
    fn from(replay: Replay) -> Self {
        Self {
            identical: replay.identical,
            generated_text: replay.generated_text,
            finish_reason: replay.finish_reason.into(),
            usage: replay.usage.into(),
            duration_ms: replay.duration_ms,
            record: replay.record.into(),
        }
    }
}
