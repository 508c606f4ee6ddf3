//! What the stories share: providers over scripted servers, requests, and a way to listen.

#![allow(dead_code, reason = "each test takes what it needs")]

pub(crate) mod scripted_server;

use std::sync::Arc;
use std::time::Duration;

use adapters_providers::http::BaseUrl;
use adapters_providers::http::breaker::BreakerConfig;
use adapters_providers::http::retry::RetryPolicy;
use adapters_providers::{OllamaConfig, OpenAiConfig, OpenAiTextApi, Providers, ProvidersConfig, RunningLimits};
use domain::{ChatMessage, ChatRole, LengthLimit, LlmId, SamplingParameters};
use futures_util::StreamExt as _;
use ports::{
    Completion, GenerationError, GenerationInput, GenerationRequest, GenerationStart, LanguageModels as _, TextGenerator,
    TokenEvent, TokenLogprob, TokenStream,
};
use secrecy::SecretString;
use test_support::builders::{a_generation_request, some_parameters};

use scripted_server::ScriptedServer;

/// No provider may ever say it back, and no log may hold it.
pub(crate) const KEY: &str = "sk-hunter2-hunter2";

/// A provider that says nothing for so long is given up.
pub(crate) const PATIENCE: Duration = Duration::from_millis(400);

/// Both providers at one server.
pub(crate) fn config(url: &str) -> ProvidersConfig {
    ProvidersConfig {
        openai: OpenAiConfig {
            base_url: BaseUrl::parse(&format!("{url}/v1")).unwrap(),
            api_key: Some(SecretString::from(KEY)),
            organization: None,
            text_api: OpenAiTextApi::Auto,
            extra_parameters: false,
        },
        ollama: OllamaConfig { base_url: BaseUrl::parse_ollama_host(url).unwrap(), keep_alive: None },
        connect_timeout: PATIENCE,
        limits: adapters_providers::http::HttpLimits {
            patience: PATIENCE,
            retry: RetryPolicy { first_wait: Duration::from_millis(5), ..RetryPolicy::default() },
            breaker: BreakerConfig { failures_to_open: 1000, ..BreakerConfig::default() },
        },
        generation_timeout: Duration::from_secs(20),
        running: RunningLimits { total: 64, per_owner: 32 },
        shutdown_grace: Duration::from_millis(50),
    }
}

pub(crate) fn providers(server: &ScriptedServer) -> Providers {
    Providers::new(config(&server.url)).unwrap()
}

/// The model behind an identifier.
pub(crate) async fn open(providers: &Providers, llm: &str) -> Arc<dyn TextGenerator> {
    providers.open(&LlmId::parse(llm).unwrap()).await.unwrap()
}

/// Parameters that every provider has a field for.
pub(crate) fn parameters(max_new_tokens: u32) -> SamplingParameters {
    SamplingParameters { length: LengthLimit::New(max_new_tokens), ..some_parameters() }
}

pub(crate) fn text(prompt: &str) -> GenerationRequest {
    GenerationRequest { parameters: parameters(20), ..a_generation_request(prompt) }
}

pub(crate) fn chat(words: &str) -> GenerationRequest {
    let system = ChatMessage { role: ChatRole::System, content: "Be brief.".to_owned() };
    let user = ChatMessage { role: ChatRole::User, content: words.to_owned() };
    GenerationRequest { input: GenerationInput::Chat(vec![system, user]), ..text("unused") }
}

/// What was told until the end, or until it broke.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) start: Option<GenerationStart>,
    pub(crate) pieces: Vec<String>,
    pub(crate) completion_tokens: u32,
    pub(crate) logprobs: Vec<TokenLogprob>,
    pub(crate) end: Result<Completion, GenerationError>,
}

impl Heard {
    pub(crate) fn text(&self) -> String {
        self.pieces.concat()
    }

    pub(crate) fn problem(&self) -> String {
        self.end.as_ref().unwrap_err().to_string()
    }
}

pub(crate) async fn listen(mut events: TokenStream) -> Heard {
    let broke = Err(GenerationError::Failed("the stream has no end".to_owned()));
    let mut heard = Heard { start: None, pieces: Vec::new(), completion_tokens: 0, logprobs: Vec::new(), end: broke };
    while let Some(event) = events.next().await {
        match event {
            Ok(TokenEvent::Queued { .. }) => panic!("nobody waits for a place at a provider"),
            Ok(TokenEvent::Started(start)) => assert!(heard.start.replace(start).is_none()),
            Ok(TokenEvent::Text { text, completion_tokens, logprobs }) => {
                heard.pieces.push(text);
                heard.completion_tokens = completion_tokens;
                heard.logprobs.extend(logprobs);
            }
            Ok(TokenEvent::Finished(completion)) => {
                heard.end = Ok(completion);
                assert!(events.next().await.is_none(), "nothing follows the end");
                break;
            }
            Err(error) => {
                heard.end = Err(error);
                assert!(events.next().await.is_none(), "nothing follows an error");
                break;
            }
        }
    }
    heard
}

/// A whole generation, refusals included.
pub(crate) async fn generate(generator: &Arc<dyn TextGenerator>, request: GenerationRequest) -> Heard {
    match generator.generate(request).await {
        Ok(events) => listen(events).await,
        Err(error) => Heard { start: None, pieces: Vec::new(), completion_tokens: 0, logprobs: Vec::new(), end: Err(error) },
    }
}
