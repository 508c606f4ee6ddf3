//! The fields that both kinds of completion share.

use domain::LengthLimit;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{ApiError, ErrorCode};

/// What a stream is to tell beside the text.
#[derive(Deserialize, ToSchema)]
pub(crate) struct StreamOptions {
    /// Whether a last chunk tells how many tokens were read and made.
    pub(super) include_usage: Option<bool>,
}

/// Declares a request's shape: its own fields, those that both kinds share, and the rest. serde cannot tell where in a flattened struct
/// an error is, so the shared fields are spelt out in each, here.
macro_rules! completion_request {
    ($(#[$doc:meta])* $name:ident { $($own:tt)* }) => {
        $(#[$doc])*
        #[derive(Deserialize, ToSchema)]
        pub(crate) struct $name {
            $($own)*
            /// Which model; the default one if absent or empty.
            #[schema(example = "default")]
            model: Option<String>,
            /// Whether to answer piece by piece, as server-sent events.
            stream: Option<bool>,
            /// What the stream is to tell beside the text. Only together with `stream`.
            stream_options: Option<$crate::dto::openai::sampling::StreamOptions>,
            /// How many texts to make of each input, beside each other.
            #[schema(example = 1, minimum = 1, maximum = 8)]
            #[serde(default, deserialize_with = "integer::optional")]
            n: Option<i64>,
            /// The most tokens to make.
            #[schema(example = 64, minimum = 1, maximum = 1_048_576)]
            #[serde(default, deserialize_with = "integer::optional")]
            max_tokens: Option<i64>,
            /// 0 always takes the most likely token. Absent, the caller's default for the model applies.
            #[schema(example = 0.8, minimum = 0, maximum = 2)]
            temperature: Option<f64>,
            /// The smallest set of most likely tokens whose probabilities reach this sum is chosen from. Absent, the caller's default for
            /// the model applies.
            #[schema(example = 0.95, minimum = 0, maximum = 1)]
            top_p: Option<f64>,
            /// Not OpenAI's: the most tokens to choose from; 0 for all.
            #[schema(minimum = 0)]
            #[serde(default, deserialize_with = "integer::optional")]
            top_k: Option<i64>,
            /// Not OpenAI's: tokens less likely than this share of the most likely one are dropped.
            #[schema(minimum = 0, maximum = 1)]
            min_p: Option<f64>,
            /// Not OpenAI's: above 1 makes what already stands in the text less likely.
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
            logit_bias: Option<std::collections::BTreeMap<u32, f64>>,
            /// Up to four strings, any of which ends the text and is cut from it.
            stop: Option<OneOrMany>,
            /// On a local model the same seed, input and parameters give the same text. With `n` above 1 the first choice has this very
            /// seed and the others have seeds that follow from it. Its sign is dropped.
            #[schema(example = 42)]
            #[serde(default, deserialize_with = "integer::optional")]
            seed: Option<i64>,
            /// What this shape does not name.
            #[serde(flatten)]
            #[schema(ignore)]
            others: $crate::dto::openai::unserved::Others,
        }

        impl $name {
            /// How tokens are chosen, taken out of the request.
            fn take_sampling(&mut self, max_new_tokens: Option<i64>) -> domain::SamplingRequest {
                domain::SamplingRequest {
                    max_new_tokens,
                    // Any number of 64 bits is a seed to OpenAI; ours have no sign.
                    seed: self.seed.map(|seed| seed & i64::MAX),
                    ..$crate::dto::sampling_fields::shared_sampling!(self)
                }
            }

            /// The model's name, taken out of the request. Some clients send an empty one where their user chose none.
            fn take_model(&mut self) -> Option<String> {
                self.model.take().filter(|name| !name.is_empty())
            }

            /// How the answer is to be sent.
            fn delivery(&self) -> Result<$crate::dto::openai::sampling::Delivery, crate::ApiError> {
                $crate::dto::openai::sampling::Delivery::new(self.stream, self.stream_options.as_ref())
            }
        }
    };
}
pub(super) use completion_request;

/// How an answer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Once it is whole.
    Whole,
    /// Piece by piece.
    Stream {
        /// Whether a last chunk tells of tokens.
        include_usage: bool,
    },
}

impl Delivery {
    pub(super) fn new(stream: Option<bool>, options: Option<&StreamOptions>) -> Result<Self, ApiError> {
        match (stream.unwrap_or(false), options) {
            (true, options) => {
                Ok(Self::Stream { include_usage: options.and_then(|options| options.include_usage).unwrap_or(false) })
            }
            (false, None) => Ok(Self::Whole),
            (false, Some(_)) => {
                let problem = "stream_options is only allowed together with stream";
                Err(ApiError::new(ErrorCode::ValueRefused, problem).about("stream_options"))
            }
        }
    }
}

/// Checks a number of tokens under the request's own name for it.
pub(super) fn checked_tokens(field: &'static str, tokens: Option<i64>) -> Result<Option<i64>, ApiError> {
    let max = LengthLimit::MAX;
    if tokens.is_some_and(|tokens| !(1..=i64::from(max)).contains(&tokens)) {
        let problem = format!("{field} must be between 1 and {max}, got {}", tokens.unwrap_or_default());
        return Err(ApiError::new(ErrorCode::LengthOutOfRange, problem).about(field));
    }
    Ok(tokens)
}

/// Checks how many alternatives of each token are asked for.
pub(super) fn checked_alternatives(field: &'static str, count: i64) -> Result<u8, ApiError> {
    let max = ports::MAX_TOP_LOGPROBS;
    u8::try_from(count).ok().filter(|count| *count <= max).ok_or_else(|| {
        let problem = format!("{field} must be between 0 and {max}, got {count}");
        ApiError::new(ErrorCode::ValueRefused, problem).about(field)
    })
}
