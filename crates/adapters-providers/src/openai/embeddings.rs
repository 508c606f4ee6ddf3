//! Embeddings of a server that speaks OpenAI's API (<https://platform.openai.com/docs/api-reference/embeddings>).

use async_trait::async_trait;
use domain::LengthLimit;
use ports::{EmbedderDescription, EmbeddingInput, EmbeddingRequest, Embeddings, GenerationError, Owner, TextEmbedder};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::PROVIDER;
use super::client::OpenAiModel;
use super::refusals::meaning;
use crate::embeddings::{answer_limit, checked};
use crate::failures::{generation_error, midway_error};
use crate::http::{Call, HttpFailure, Refusal};

/// No `encoding_format`: numbers are what every server sends unless it is asked for something else, and some know no such field.
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    input: Vec<Input<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u32>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Input<'a> {
    Text(&'a str),
    Tokens(&'a [u32]),
}

impl<'a> From<&'a EmbeddingInput> for Input<'a> {
    fn from(input: &'a EmbeddingInput) -> Self {
        match input {
            EmbeddingInput::Text(prompt) => Self::Text(prompt.as_str()),
            EmbeddingInput::Tokens(tokens) => Self::Tokens(tokens),
        }
    }
}

#[derive(Deserialize)]
struct Made {
    data: Vec<Datum>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Datum {
    /// Servers that leave it out send the vectors in the order of the inputs.
    #[serde(default)]
    index: Option<usize>,
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: u32,
}

#[async_trait]
impl TextEmbedder for OpenAiModel {
    /// The API tells neither.
    fn describe(&self) -> EmbedderDescription {
        EmbedderDescription { context_length: 0, dimensions: None }
    }

    fn admits(&self, owner: Owner) -> Result<(), GenerationError> {
        self.server.running.admits(owner)
    }

    async fn embed(&self, request: EmbeddingRequest) -> Result<Embeddings, GenerationError> {
        let EmbeddingRequest { inputs, dimensions, owner, .. } = request;
        let body = Body { model: &self.name, input: inputs.iter().map(Input::from).collect(), dimensions };
        let body = serde_json::to_vec(&body)
            .map_err(|error| GenerationError::Failed(format!("a request cannot be written: {error}")))?;
        let place = self.server.running.begin(owner)?;
        let deadline = Instant::now() + self.server.generation_timeout;
        let asking = async {
            let answer = self.server.endpoint.call(Call::post("embeddings", body, deadline)).await;
            let answer = answer.map_err(|failure| match failure {
                HttpFailure::Refused(refusal) => refused(*refusal, &self.name, dimensions),
                other => generation_error(PROVIDER, other),
            })?;
            answer.json::<Made>(answer_limit(inputs.len())).await.map_err(|failure| midway_error(PROVIDER, failure))
        };
        let Made { data, usage } = place.unless_cut(asking).await??;
        let vectors = checked(PROVIDER, in_order(data)?, inputs.len(), dimensions)?;
        let estimated = || inputs.iter().fold(0_u32, |sum, input| sum.saturating_add(input.estimated_tokens()));
        Ok(Embeddings { vectors, prompt_tokens: usage.map_or_else(estimated, |usage| usage.prompt_tokens) })
    }

    /// The API has no call for it.
    async fn count_tokens(&self, _inputs: &[EmbeddingInput]) -> Result<Option<Vec<u32>>, GenerationError> {
        Ok(None)
    }
}

/// The vectors in the order of the inputs that they say they belong to.
fn in_order(data: Vec<Datum>) -> Result<Vec<Vec<f32>>, GenerationError> {
    let mut numbered: Vec<(usize, Vec<f32>)> =
        data.into_iter().enumerate().map(|(place, datum)| (datum.index.unwrap_or(place), datum.embedding)).collect();
    numbered.sort_by_key(|(index, _)| *index);
    if numbered.iter().enumerate().any(|(place, (index, _))| place != *index) {
        let problem = "the indexes of its vectors are not those of the inputs".to_owned();
        return Err(GenerationError::ProviderFailed { provider: PROVIDER, problem });
    }
    Ok(numbered.into_iter().map(|(_, vector)| vector).collect())
}

/// What a refusal says to whoever asked.
fn refused(refusal: Refusal, model: &str, dimensions: Option<u32>) -> GenerationError {
    let speaks_of_dimensions = refusal.param == "dimensions" || refusal.message.to_lowercase().contains("dimension");
    if matches!(refusal.status, 400 | 422) && dimensions.is_some() && speaks_of_dimensions {
        return GenerationError::Unsupported { field: "dimensions" };
    }
    let too_long = refusal.code == "context_length_exceeded";
    match meaning(refusal, model, LengthLimit::New(1)) {
        // Without its numbers.
        GenerationError::ProviderFailed { .. } if too_long => {
            GenerationError::InputRefused(format!("an input is longer than the context of openai's {model}"))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn data(value: serde_json::Value) -> Result<Vec<Vec<f32>>, GenerationError> {
        in_order(serde_json::from_value(value).unwrap())
    }

    #[test]
    fn vectors_are_put_in_the_order_of_their_inputs() {
        let shuffled = json!([{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]);
        assert_eq!(data(shuffled).unwrap(), [[1.0], [2.0]]);
        let unnumbered = json!([{"embedding": [1.0]}, {"embedding": [2.0]}]);
        assert_eq!(data(unnumbered).unwrap(), [[1.0], [2.0]]);
        for indexes in [[0, 0], [1, 2], [0, 7]] {
            let wrong = json!([{"index": indexes[0], "embedding": [1.0]}, {"index": indexes[1], "embedding": [2.0]}]);
            assert!(data(wrong).is_err(), "{indexes:?}");
        }
    }

    #[test]
    fn a_refusal_is_told_in_our_own_terms() {
        let of = |status: u16, error: serde_json::Value, dimensions| {
            let body = json!({ "error": error }).to_string();
            refused(Refusal::new(status, None, body.as_bytes(), &[]), "m", dimensions)
        };
        let matryoshka = json!({"message": "Model \"m\" does not support matryoshka representation, changing output dimensions"});
        assert_eq!(of(400, matryoshka.clone(), Some(2)), GenerationError::Unsupported { field: "dimensions" });
        assert!(matches!(of(400, matryoshka, None), GenerationError::InputRefused(_)));
        let too_long = |prompt_tokens, context_length| GenerationError::PromptTooLong {
            prompt_tokens,
            limit: context_length,
            context_length,
        };
        for (words, expected) in [
            (
                "This model's maximum context length is 8192 tokens, however you requested 10000 tokens (10000 in your prompt; 0 for the \
                 completion). Please reduce your prompt; or completion length.",
                too_long(10_000, 8192),
            ),
            (
                "This model's maximum context length is 512 tokens. However, you requested 600 tokens in the input for embedding generation.",
                too_long(600, 512),
            ),
        ] {
            assert_eq!(of(400, json!({ "message": words }), None), expected);
        }
        let without_numbers = json!({"message": "too long", "code": "context_length_exceeded"});
        assert!(matches!(of(400, without_numbers, None), GenerationError::InputRefused(_)));
    }
}
