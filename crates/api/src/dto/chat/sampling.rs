//! How answers are made: the sampling parameters of the contract, wherever a chat takes them.

use std::collections::BTreeMap;

use domain::SamplingRequest;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::texts::OneOrMany;
use super::super::{integer, token_biases};

/// Declares a request with the fields of its own and, after them, every sampling parameter; `sampling()` takes these out of it.
///
/// They are spelt out and not flattened in: serde cannot refuse unknown fields beside a flattened struct.
macro_rules! request_with_sampling {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$meta])*
        #[derive(serde::Deserialize, utoipa::ToSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
            $($(#[$field_meta])* pub(crate) $field: $kind,)*
            /// Total tokens, what the model is given included. Not together with `max_new_tokens`.
            #[schema(minimum = 1, maximum = 1_048_576)]
            #[serde(default, deserialize_with = "crate::dto::integer::optional")]
            max_length: Option<i64>,
            /// Tokens of the answer. Not together with `max_length`.
            #[schema(example = 200, minimum = 1, maximum = 1_048_576)]
            #[serde(default, deserialize_with = "crate::dto::integer::optional")]
            max_new_tokens: Option<i64>,
            /// 0 always takes the most likely token.
            #[schema(example = 0.8, minimum = 0, maximum = 2)]
            temperature: Option<f64>,
            /// The smallest set of most likely tokens whose probabilities reach this sum is chosen from.
            #[schema(example = 0.95, minimum = 0, maximum = 1)]
            top_p: Option<f64>,
            /// The most tokens to choose from; 0 for all.
            #[schema(minimum = 0)]
            #[serde(default, deserialize_with = "crate::dto::integer::optional")]
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
            #[serde(default, deserialize_with = "crate::dto::token_biases::optional")]
            logit_bias: Option<std::collections::BTreeMap<u32, f64>>,
            /// Up to four strings, any of which ends the answer and is cut from it.
            stop: Option<crate::dto::texts::OneOrMany>,
            /// Where the random choices start.
            #[schema(minimum = 0)]
            #[serde(default, deserialize_with = "crate::dto::integer::optional")]
            seed: Option<i64>,
        }

        impl $name {
            /// How the answer is to be made; what the request does not say comes from the conversation or the model.
            fn sampling(&mut self) -> domain::SamplingRequest {
                domain::SamplingRequest {
                    max_length: self.max_length,
                    max_new_tokens: self.max_new_tokens,
                    seed: self.seed,
                    ..crate::dto::sampling_fields::shared_sampling!(self)
                }
            }
        }
    };
}
pub(super) use request_with_sampling;

/// A conversation's own sampling parameters. What is absent is decided by each message, or by the model.
#[derive(Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChatParameters {
    /// Total tokens, what the model is given included.
    #[serde(default, deserialize_with = "integer::optional", skip_serializing_if = "Option::is_none")]
    max_length: Option<i64>,
    /// Tokens of an answer.
    #[serde(default, deserialize_with = "integer::optional", skip_serializing_if = "Option::is_none")]
    max_new_tokens: Option<i64>,
    /// 0–2.
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    /// 0–1.
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    /// The most tokens to choose from; 0 for all.
    #[serde(default, deserialize_with = "integer::optional", skip_serializing_if = "Option::is_none")]
    top_k: Option<i64>,
    /// 0–1.
    #[serde(skip_serializing_if = "Option::is_none")]
    min_p: Option<f64>,
    /// 0.1–10.
    #[serde(skip_serializing_if = "Option::is_none")]
    repetition_penalty: Option<f64>,
    /// −2–2.
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    /// −2–2.
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    /// By token.
    #[serde(default, deserialize_with = "token_biases::optional", skip_serializing_if = "Option::is_none")]
    logit_bias: Option<BTreeMap<u32, f64>>,
    /// What ends an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<OneOrMany>,
    /// Where the random choices start.
    #[serde(default, deserialize_with = "integer::optional", skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
}

impl From<ChatParameters> for SamplingRequest {
    fn from(mut parameters: ChatParameters) -> Self {
        Self {
            max_length: parameters.max_length,
            max_new_tokens: parameters.max_new_tokens,
            seed: parameters.seed,
            ..super::super::sampling_fields::shared_sampling!(parameters)
        }
    }
}

impl From<SamplingRequest> for ChatParameters {
    fn from(request: SamplingRequest) -> Self {
        Self {
            max_length: request.max_length,
            max_new_tokens: request.max_new_tokens,
            temperature: request.temperature,
            top_p: request.top_p,
            top_k: request.top_k,
            min_p: request.min_p,
            repetition_penalty: request.repetition_penalty,
            presence_penalty: request.presence_penalty,
            frequency_penalty: request.frequency_penalty,
            logit_bias: Some(request.logit_bias).filter(|biases| !biases.is_empty()),
            stop: Some(request.stop).filter(|stop| !stop.is_empty()).map(OneOrMany::Many),
            seed: request.seed,
        }
    }
}
