//! Sampling parameters as JSON.
//!
//! A file format of its own: what is kept must stay readable whatever the HTTP API or the domain come to call things, so a field may be
//! added (optional) and none renamed.

use std::collections::BTreeMap;

use domain::{LengthLimit, ModelDefaults, Refusal, SamplingParameters, SamplingRequest, Seed};
use serde::{Deserialize, Serialize};

/// What is kept of a [`SamplingParameters`].
#[derive(Serialize, Deserialize)]
pub(super) struct KeptParameters {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_length: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_new_tokens: Option<i64>,
    temperature: f64,
    top_p: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<i64>,
    min_p: f64,
    repetition_penalty: f64,
    presence_penalty: f64,
    frequency_penalty: f64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    logit_bias: BTreeMap<u32, f64>,
    stop: Vec<String>,
    seed: i64,
}

impl From<SamplingParameters> for KeptParameters {
    fn from(parameters: SamplingParameters) -> Self {
        let (max_length, max_new_tokens) = match parameters.length {
            LengthLimit::Total(total) => (Some(i64::from(total)), None),
            LengthLimit::New(new) => (None, Some(i64::from(new))),
        };
        Self {
            max_length,
            max_new_tokens,
            temperature: parameters.temperature,
            top_p: parameters.top_p,
            top_k: parameters.top_k.map(i64::from),
            min_p: parameters.min_p,
            repetition_penalty: parameters.repetition_penalty,
            presence_penalty: parameters.presence_penalty,
            frequency_penalty: parameters.frequency_penalty,
            logit_bias: parameters.logit_bias.as_map().clone(),
            stop: parameters.stop.as_slice().to_vec(),
            seed: parameters.seed.get(),
        }
    }
}

/// Checks again: the row may have been edited by hand.
impl TryFrom<KeptParameters> for SamplingParameters {
    type Error = Refusal;

    fn try_from(kept: KeptParameters) -> Result<Self, Refusal> {
        let seed = Seed::new(kept.seed)?;
        if kept.max_length.is_none() && kept.max_new_tokens.is_none() {
            return Err(Refusal::field("max_length", "is missing"));
        }
        let request = SamplingRequest {
            max_length: kept.max_length,
            max_new_tokens: kept.max_new_tokens,
            temperature: Some(kept.temperature),
            top_p: Some(kept.top_p),
            top_k: kept.top_k,
            min_p: Some(kept.min_p),
            repetition_penalty: Some(kept.repetition_penalty),
            presence_penalty: Some(kept.presence_penalty),
            frequency_penalty: Some(kept.frequency_penalty),
            logit_bias: kept.logit_bias,
            stop: kept.stop,
            seed: Some(kept.seed),
        };
        Self::resolve(request, &ModelDefaults::default(), seed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn there_and_back(parameters: &SamplingParameters) -> SamplingParameters {
        let json = serde_json::to_string(&KeptParameters::from(parameters.clone())).unwrap();
        serde_json::from_str::<KeptParameters>(&json).unwrap().try_into().unwrap()
    }

    proptest! {
        #[test]
        fn every_bit_of_every_parameter_comes_back(
            temperature in 0.0..=2.0_f64,
            top_p in 0.0..=1.0_f64,
            penalty in -2.0..=2.0_f64,
            logit_bias in proptest::collection::btree_map(any::<u32>(), -100.0..=100.0_f64, 0..=3),
            top_k in proptest::option::of(1..=1_000_000_i64),
            stop in proptest::collection::vec(any::<String>().prop_filter("not empty", |s| !s.is_empty() && s.chars().count() <= 256), 0..=4),
            seed in 0..=i64::MAX,
        ) {
            let request = SamplingRequest {
                max_new_tokens: Some(7),
                temperature: Some(temperature),
                top_p: Some(top_p),
                top_k,
                presence_penalty: Some(penalty),
                logit_bias,
                stop,
                seed: Some(seed),
                ..SamplingRequest::default()
            };
            let fresh = Seed::new(0).unwrap();
            let parameters = SamplingParameters::resolve(request, &ModelDefaults::default(), fresh).unwrap();
            prop_assert_eq!(there_and_back(&parameters), parameters);
        }
    }

    #[test]
    fn parameters_that_someone_edited_out_of_range_are_refused() {
        let json = r#"{"max_length":1,"temperature":9.0,"top_p":1.0,"min_p":0.0,"repetition_penalty":1.0,
                       "presence_penalty":0.0,"frequency_penalty":0.0,"stop":[],"seed":1}"#;
        let kept: KeptParameters = serde_json::from_str(json).unwrap();
        assert_eq!(SamplingParameters::try_from(kept), Err(Refusal::TemperatureOutOfRange(9.0)));
    }
}
