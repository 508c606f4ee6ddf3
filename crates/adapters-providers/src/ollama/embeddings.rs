//! Embeddings of an Ollama server (<https://github.com/ollama/ollama/blob/main/docs/api.md#generate-embeddings>).

use async_trait::async_trait;
use ports::{EmbedderDescription, EmbeddingInput, EmbeddingRequest, Embeddings, GenerationError, Owner, TextEmbedder};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::PROVIDER;
use super::client::OllamaModel;
use super::context::embedding_num_ctx;
use super::wire::keep_alive_value;
use crate::embeddings::{answer_limit, checked};
use crate::failures::{generation_error, midway_error};
use crate::http::{Call, HttpFailure, Refusal};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    input: Vec<&'a str>,
    /// Never cut an input silently: refuse it.
    truncate: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_alive: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<Options>,
}

#[derive(Serialize)]
struct Options {
    num_ctx: u32,
}

#[derive(Deserialize)]
struct Made {
    embeddings: Vec<Vec<f32>>,
    #[serde(default)]
    prompt_eval_count: Option<u32>,
}

#[async_trait]
impl TextEmbedder for OllamaModel {
    fn describe(&self) -> EmbedderDescription {
        EmbedderDescription { context_length: self.context_length().unwrap_or(0), dimensions: None }
    }

    fn admits(&self, owner: Owner) -> Result<(), GenerationError> {
        self.server.running.admits(owner)
    }

    async fn embed(&self, request: EmbeddingRequest) -> Result<Embeddings, GenerationError> {
        let EmbeddingRequest { inputs, dimensions, owner, .. } = request;
        let details = self.details.get().copied().unwrap_or_default();
        let longest = inputs.iter().map(EmbeddingInput::estimated_tokens).max().unwrap_or(1);
        let body = Body {
            model: &self.name,
            input: texts(&inputs)?,
            truncate: false,
            dimensions,
            keep_alive: self.server.keep_alive.as_ref().map(keep_alive_value),
            options: embedding_num_ctx(details, longest).map(|num_ctx| Options { num_ctx }),
        };
        let body = serde_json::to_vec(&body)
            .map_err(|error| GenerationError::Failed(format!("a request cannot be written: {error}")))?;
        let place = self.server.running.begin(owner)?;
        let deadline = Instant::now() + self.server.generation_timeout;
        let asking = async {
            match self.server.endpoint.call(Call::post("api/embed", body, deadline)).await {
                Ok(answer) => {
                    let made = answer.json::<Made>(answer_limit(inputs.len())).await;
                    made.map_err(|failure| midway_error(PROVIDER, failure))
                }
                Err(HttpFailure::Refused(refusal)) => Err(self.refused(*refusal, dimensions).await),
                Err(failure) => Err(generation_error(PROVIDER, failure)),
            }
        };
        let Made { embeddings, prompt_eval_count } = place.unless_cut(asking).await??;
        let vectors = checked(PROVIDER, embeddings, inputs.len(), None)?;
        if dimensions.is_some_and(|asked| vectors.iter().any(|vector| usize::try_from(asked) != Ok(vector.len()))) {
            // A version that does not know the field ignores it.
            return Err(GenerationError::Unsupported { field: "dimensions" });
        }
        let estimated = || inputs.iter().fold(0_u32, |sum, input| sum.saturating_add(input.estimated_tokens()));
        Ok(Embeddings { vectors, prompt_tokens: prompt_eval_count.unwrap_or_else(estimated) })
    }

    /// Ollama has no call for it.
    async fn count_tokens(&self, _inputs: &[EmbeddingInput]) -> Result<Option<Vec<u32>>, GenerationError> {
        Ok(None)
    }
}

fn texts(inputs: &[EmbeddingInput]) -> Result<Vec<&str>, GenerationError> {
    inputs.iter().map(text).collect()
}

fn text(input: &EmbeddingInput) -> Result<&str, GenerationError> {
    match input {
        EmbeddingInput::Text(prompt) => Ok(prompt.as_str()),
        EmbeddingInput::Tokens(_) => {
            Err(GenerationError::InputRefused("input: ollama reads text, no token identifiers".to_owned()))
        }
    }
}

impl OllamaModel {
    /// What a refusal says to whoever asked.
    async fn refused(&self, refusal: Refusal, dimensions: Option<u32>) -> GenerationError {
        let (message, name) = (refusal.message.to_lowercase(), &self.name);
        match refusal.status {
            400 if message.contains("context length") => {
                let known = self.context_length().map(|tokens| format!(", which is at most {tokens} tokens"));
                let known = known.unwrap_or_default();
                GenerationError::InputRefused(format!("an input is longer than the context of ollama's {name}{known}"))
            }
            400 if message.contains("dimension") && dimensions.is_some() => GenerationError::Unsupported { field: "dimensions" },
            400 | 501 if message.contains("does not support") => {
                GenerationError::ModelUnavailable(format!("ollama's {name} makes no embeddings: {}", refusal.message))
            }
            _ => self.server.meaning(refusal, name).await,
        }
    }
}
