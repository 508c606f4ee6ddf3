//! Models of an Ollama server.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use ports::{
    GenerationError, GenerationInput, GenerationRequest, GeneratorDescription, Owner, TextGenerator, TokenStream, Truncation,
};
use serde_json::Value;
use tokio::time::Instant;

use super::context::{num_ctx, refuses_what_does_not_fit};
use super::wire::{Details, Lines, Tags, body, path};
use super::{PROVIDER, TAGS_PATH, VERSION_PATH};
use crate::config::{KeepAlive, OllamaConfig};
use crate::failures::{generation_error, key_refused, request_refused};
use crate::generation::{Generation, room};
use crate::http::{Call, Endpoint, EndpointConfig, HttpClient, HttpFailure, HttpLimits, Refusal};
use crate::running::Running;

/// How long a question about a model may take: nothing is computed for it.
const QUESTION_PATIENCE: Duration = Duration::from_secs(5);
/// With a long licence and a list of tensors the answer has some hundred kilobytes.
const MAX_ANSWER_BYTES: usize = 8 << 20;
/// Models that are named to whoever asked for one that is not there.
const NAMED_MODELS: usize = 10;

/// The server.
pub(crate) struct Ollama {
    pub(crate) endpoint: Endpoint,
    pub(super) keep_alive: Option<KeepAlive>,
    pub(super) generation_timeout: Duration,
    pub(super) running: Running,
    /// Whether its version refuses a prompt that does not fit; empty until it has said which one that is.
    refuses_what_does_not_fit: OnceLock<bool>,
}

impl Ollama {
    pub(crate) fn new(
        http: HttpClient,
        config: OllamaConfig,
        limits: HttpLimits,
        generation_timeout: Duration,
        running: Running,
    ) -> Result<Arc<Self>, String> {
        let OllamaConfig { base_url, keep_alive } = config;
        let endpoint =
            Endpoint::new(http, EndpointConfig { provider: PROVIDER, base_url, api_key: None, headers: Vec::new(), limits })?;
        Ok(Arc::new(Self { endpoint, keep_alive, generation_timeout, running, refuses_what_does_not_fit: OnceLock::new() }))
    }

    async fn ask(&self, call: Call<'_>) -> Result<Value, HttpFailure> {
        self.endpoint.call(call.once_within(QUESTION_PATIENCE)).await?.json(MAX_ANSWER_BYTES).await
    }

    /// Asks once which version it is. A server that does not tell, as those may that only speak like Ollama, is taken for an old one; one
    /// that cannot be asked now is asked again.
    async fn get_to_know(&self) {
        if self.refuses_what_does_not_fit.get().is_some() {
            return;
        }
        let refuses = match self.ask(Call::get(VERSION_PATH, Instant::now() + QUESTION_PATIENCE)).await {
            Ok(told) => told.get("version").and_then(Value::as_str).is_some_and(refuses_what_does_not_fit),
            Err(HttpFailure::Refused(_)) => false,
            Err(failure) => return tracing::debug!(provider = PROVIDER, %failure, "its version could not be asked for"),
        };
        if !refuses && self.refuses_what_does_not_fit.set(refuses).is_ok() {
            tracing::warn!(provider = PROVIDER, "this version cuts long prompts silently: what may not fit is refused here");
        }
        // Somebody else may have asked at the same time and got the same answer.
        let _ = self.refuses_what_does_not_fit.set(refuses);
    }

    /// Names of the models that are there, or nothing where it does not say.
    async fn models(&self) -> Vec<String> {
        let answer = self.ask(Call::get(TAGS_PATH, Instant::now() + QUESTION_PATIENCE)).await;
        let tags = answer.ok().and_then(|tags| serde_json::from_value::<Tags>(tags).ok());
        tags.map(|tags| tags.models.into_iter().take(NAMED_MODELS).map(|tag| tag.name).collect()).unwrap_or_default()
    }

    /// What a refusal says to whoever asked for this model.
    pub(super) async fn meaning(&self, refusal: Refusal, model: &str) -> GenerationError {
        match refusal.status {
            status @ (401 | 403) => key_refused(PROVIDER, status, "OLLAMA_HOST"),
            404 => self.missing(model).await,
            400 if refusal.message.contains("does not support") => {
                GenerationError::ModelUnavailable(format!("ollama's {model} makes no texts: {}", refusal.message))
            }
            400 | 422 => request_refused(PROVIDER, &refusal),
            _ => generation_error(PROVIDER, HttpFailure::Refused(Box::new(refusal))),
        }
    }

    async fn missing(&self, model: &str) -> GenerationError {
        let models = self.models().await;
        let there = if models.is_empty() { String::new() } else { format!("; it has {}", models.join(", ")) };
        GenerationError::ModelUnavailable(format!("ollama has no model {model}: run `ollama pull {model}` there{there}"))
    }
}

/// One of its models.
pub(crate) struct OllamaModel {
    pub(super) server: Arc<Ollama>,
    pub(super) name: String,
    pub(super) details: OnceLock<Details>,
}

impl OllamaModel {
    pub(crate) fn new(server: Arc<Ollama>, name: String) -> Self {
        Self { server, name, details: OnceLock::new() }
    }

    /// The context that the model was trained for, where it is known.
    pub(crate) fn context_length(&self) -> Option<u32> {
        self.details.get().map(|details| details.context_length).filter(|tokens| *tokens > 0)
    }

    /// Asks once what the model is. A server that cannot be asked now is asked again the next time; it is the generation that fails by
    /// it, with the reason. Fails where the server says that there is no such model.
    pub(crate) async fn get_to_know(&self) -> Result<(), GenerationError> {
        if self.details.get().is_some() {
            self.server.get_to_know().await;
            return Ok(());
        }
        let question = serde_json::json!({ "model": self.name }).to_string().into_bytes();
        let call = Call::post("api/show", question, Instant::now() + QUESTION_PATIENCE);
        let (shown, ()) = tokio::join!(self.server.ask(call), self.server.get_to_know());
        let shown = match shown {
            Ok(shown) => shown,
            Err(HttpFailure::Refused(refusal)) if refusal.status == 404 => return Err(self.server.missing(&self.name).await),
            Err(failure) => {
                tracing::debug!(provider = PROVIDER, model = self.name, %failure, "a model could not be asked about");
                return Ok(());
            }
        };
        let Ok(details) = Details::read(shown) else { return Ok(()) };
        // Somebody else may have asked at the same time and got the same answer.
        let _ = self.details.set(details);
        Ok(())
    }

    /// Fails where the server says that the model makes no texts.
    pub(crate) fn must_generate(&self) -> Result<(), GenerationError> {
        match self.details.get() {
            Some(details) if !details.generates => {
                Err(GenerationError::ModelUnavailable(format!("ollama's {} makes no texts", self.name)))
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl TextGenerator for OllamaModel {
    fn describe(&self) -> GeneratorDescription {
        let answers_chats = self.details.get().is_none_or(|details| details.answers_chats);
        let context_length = self.context_length().unwrap_or(0);
        GeneratorDescription { context_length, weights_digest: None, reproducible: false, answers_chats }
    }

    fn admits(&self, owner: Owner) -> Result<(), GenerationError> {
        self.server.running.admits(owner)
    }

    /// Answers once the provider has begun to answer, so that its refusals are this call's. A model that Ollama must load first begins
    /// after that.
    async fn generate(&self, request: GenerationRequest) -> Result<TokenStream, GenerationError> {
        if matches!(request.input, GenerationInput::Text(_)) && request.truncation == Truncation::Oldest {
            return Err(GenerationError::Unsupported { field: "truncate" });
        }
        if !request.parameters.logit_bias.as_map().is_empty() {
            return Err(GenerationError::Unsupported { field: "logit_bias" });
        }
        let server = &self.server;
        let max_new_tokens = room(request.parameters.length, self.context_length().unwrap_or(0))?;
        let details = self.details.get().copied().unwrap_or_default();
        let refuses = server.refuses_what_does_not_fit.get().copied().unwrap_or(false);
        let num_ctx = num_ctx(details, refuses, &request.input, max_new_tokens)?;
        let body = body(&self.name, &request, max_new_tokens, num_ctx, server.keep_alive.as_ref())?;
        let place = server.running.begin(request.owner)?;
        let deadline = Instant::now() + server.generation_timeout;
        let answer = place.unless_cut(server.endpoint.call(Call::post(path(&request.input), body, deadline))).await?;
        let answer = match answer {
            Ok(answer) => answer,
            Err(HttpFailure::Refused(refusal)) => return Err(server.meaning(*refusal, &self.name).await),
            Err(failure) => return Err(generation_error(PROVIDER, failure)),
        };
        Ok(Generation::stream(PROVIDER, answer, Lines::new(request.logprobs), place, &request, max_new_tokens))
    }

    /// Ollama has no call for it.
    async fn count_tokens(&self, _input: &GenerationInput) -> Result<Option<u32>, GenerationError> {
        Ok(None)
    }
}
