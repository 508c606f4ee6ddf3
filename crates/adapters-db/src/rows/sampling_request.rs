//! What a conversation asks for of its answers, as JSON: a file format of its own, as in [`super::parameters`].

use std::collections::BTreeMap;

use domain::SamplingRequest;
use serde::{Deserialize, Serialize};

/// What is kept of a [`SamplingRequest`]; what it does not ask for is not there.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct KeptRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_length: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_new_tokens: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repetition_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    logit_bias: BTreeMap<u32, f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
}

impl From<SamplingRequest> for KeptRequest {
    fn from(request: SamplingRequest) -> Self {
        let SamplingRequest {
            max_length,
            max_new_tokens,
            temperature,
            top_p,
            top_k,
            min_p,
            repetition_penalty,
            presence_penalty,
            frequency_penalty,
            logit_bias,
            stop,
            seed,
        } = request;
        Self {
            max_length,
            max_new_tokens,
            temperature,
            top_p,
            top_k,
            min_p,
            repetition_penalty,
            presence_penalty,
            frequency_penalty,
            logit_bias,
            stop,
            seed,
        }
    }
}

/// Not checked here: whoever uses it resolves it against a model's defaults, which checks every value.
impl From<KeptRequest> for SamplingRequest {
    fn from(kept: KeptRequest) -> Self {
        Self {
            max_length: kept.max_length,
            max_new_tokens: kept.max_new_tokens,
            temperature: kept.temperature,
            top_p: kept.top_p,
            top_k: kept.top_k,
            min_p: kept.min_p,
            repetition_penalty: kept.repetition_penalty,
            presence_penalty: kept.presence_penalty,
            frequency_penalty: kept.frequency_penalty,
            logit_bias: kept.logit_bias,
            stop: kept.stop,
            seed: kept.seed,
        }
    }
}
