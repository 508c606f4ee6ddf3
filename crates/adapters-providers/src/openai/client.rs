//! Models of a server that speaks OpenAI's API.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ports::{
    GenerationError, GenerationInput, GenerationRequest, GeneratorDescription, Owner, TextGenerator, TokenStream, Truncation,
};
use tokio::time::Instant;

use super::PROVIDER;
use super::refusals::{Lesson, lesson, meaning};
use super::wire::{Api, Events, Form, body};
use crate::config::{OpenAiConfig, OpenAiTextApi};
use crate::failures::generation_error;
use crate::generation::{Generation, room};
use crate::http::{Answer, Call, Endpoint, EndpointConfig, HttpClient, HttpFailure, HttpLimits};
use crate::running::Running;

/// So often a request is put differently: each lesson once.
const MAX_LESSONS: usize = 4;

/// The server.
pub(crate) struct OpenAi {
    pub(crate) endpoint: Endpoint,
    text_api: OpenAiTextApi,
    extra_parameters: bool,
    pub(super) generation_timeout: Duration,
    pub(super) running: Running,
}

impl OpenAi {
    /// The error names the setting that cannot be used.
    pub(crate) fn new(
        http: HttpClient,
        config: OpenAiConfig,
        limits: HttpLimits,
        generation_timeout: Duration,
        running: Running,
    ) -> Result<Arc<Self>, String> {
        let OpenAiConfig { base_url, api_key, organization, text_api, extra_parameters } = config;
        let headers = organization.map(|organization| ("openai-organization", organization)).into_iter().collect();
        let endpoint = Endpoint::new(http, EndpointConfig { provider: PROVIDER, base_url, api_key, headers, limits });
        let endpoint = endpoint.map_err(|problem| format!("OPENAI_API_KEY or OPENAI_ORGANIZATION: {problem}"))?;
        Ok(Arc::new(Self { endpoint, text_api, extra_parameters, generation_timeout, running }))
    }
}

/// What is known of how a model must be asked.
#[derive(Debug, Clone, Copy)]
struct Habits {
    text_by_chat: bool,
    max_completion_tokens: bool,
    stream_options: bool,
}

/// One of its models.
pub(crate) struct OpenAiModel {
    pub(super) server: Arc<OpenAi>,
    pub(super) name: String,
    habits: Mutex<Habits>,
}

impl OpenAiModel {
    pub(crate) fn new(server: Arc<OpenAi>, name: String) -> Self {
        let text_by_chat = server.text_api == OpenAiTextApi::Chat;
        let habits = Habits { text_by_chat, max_completion_tokens: false, stream_options: true };
        Self { server, name, habits: Mutex::new(habits) }
    }

    fn habits(&self) -> Habits {
        *self.habits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, and asks again where a refusal says how; answers with the head of the answer and the tokens that may follow.
    async fn ask(
        &self,
        request: &GenerationRequest,
        max_new_tokens: u32,
        deadline: Instant,
    ) -> Result<(Answer, u32), GenerationError> {
        let (mut habits, mut max_new_tokens) = (self.habits(), max_new_tokens);
        let is_text = matches!(request.input, GenerationInput::Text(_));
        let may_chat = is_text && self.server.text_api == OpenAiTextApi::Auto;
        let mut lessons = 0;
        loop {
            let form = Form {
                api: if is_text && !habits.text_by_chat { Api::Completions } else { Api::Chat },
                extra_parameters: self.server.extra_parameters,
                max_completion_tokens: habits.max_completion_tokens,
                stream_options: habits.stream_options,
            };
            let body = body(&self.name, request, form, max_new_tokens)?;
            let refusal = match self.server.endpoint.call(Call::post(form.api.path(), body, deadline)).await {
                Ok(answer) => {
                    if lessons > 0 {
                        *self.habits.lock().unwrap_or_else(PoisonError::into_inner) = habits;
                    }
                    return Ok((answer, max_new_tokens));
                }
                Err(HttpFailure::Refused(refusal)) => refusal,
                Err(failure) => return Err(generation_error(PROVIDER, failure)),
            };
            lessons += 1;
            match lesson(&refusal, form, may_chat, max_new_tokens).filter(|_| lessons <= MAX_LESSONS) {
                Some(Lesson::AskByChat) => habits.text_by_chat = true,
                Some(Lesson::MaxCompletionTokens) => habits.max_completion_tokens = true,
                Some(Lesson::NoStreamOptions) => habits.stream_options = false,
                Some(Lesson::Room(room)) => max_new_tokens = room,
                None => return Err(meaning(*refusal, &self.name, request.parameters.length)),
            }
        }
    }

    /// What the API has no field for is refused; its neutral value asks for nothing.
    fn refuse_what_is_not_supported(&self, request: &GenerationRequest) -> Result<(), GenerationError> {
        let parameters = &request.parameters;
        let is_text = matches!(request.input, GenerationInput::Text(_));
        let lacking = [
            ("truncate", is_text && request.truncation == Truncation::Oldest),
            ("top_k", !self.server.extra_parameters && parameters.top_k.is_some()),
            ("min_p", !self.server.extra_parameters && parameters.min_p > 0.0),
            ("repetition_penalty", !self.server.extra_parameters && (parameters.repetition_penalty - 1.0).abs() > f64::EPSILON),
        ];
        match lacking.into_iter().find(|(_, lacks)| *lacks) {
            Some((field, _)) => Err(GenerationError::Unsupported { field }),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl TextGenerator for OpenAiModel {
    /// The API does not tell a model's context. A seed is sent, and the provider promises nothing of it.
    fn describe(&self) -> GeneratorDescription {
        GeneratorDescription { context_length: 0, weights_digest: None, reproducible: false, answers_chats: true }
    }

    fn admits(&self, owner: Owner) -> Result<(), GenerationError> {
        self.server.running.admits(owner)
    }

    /// Answers once the provider has begun to answer, so that its refusals are this call's.
    async fn generate(&self, request: GenerationRequest) -> Result<TokenStream, GenerationError> {
        self.refuse_what_is_not_supported(&request)?;
        let max_new_tokens = room(request.parameters.length, 0)?;
        let place = self.server.running.begin(request.owner)?;
        let deadline = Instant::now() + self.server.generation_timeout;
        let (answer, max_new_tokens) = place.unless_cut(self.ask(&request, max_new_tokens, deadline)).await??;
        let events = Events::new(request.logprobs, self.server.endpoint.secrets());
        Ok(Generation::stream(PROVIDER, answer, events, place, &request, max_new_tokens))
    }

    /// The API has no call for it.
    async fn count_tokens(&self, _input: &GenerationInput) -> Result<Option<u32>, GenerationError> {
        Ok(None)
    }
}
