//! All providers' models, by their identifiers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::LlmId;
use ports::{GenerationError, HealthCheck, LanguageModels, LlmState, TextEmbedder, TextGenerator};

use crate::config::ProvidersConfig;
use crate::health::ProviderHealth;
use crate::http::breaker::BreakerState;
use crate::http::{Endpoint, HttpClient};
use crate::ollama::{Ollama, OllamaModel, TAGS_PATH};
use crate::openai::{OpenAi, OpenAiModel, PROBE_PATH};
use crate::running::Running;

/// Models that are remembered. Each is small; what is forgotten is asked for again.
const MAX_REMEMBERED_MODELS: usize = 256;

/// Opens models of OpenAI's API and of Ollama.
pub struct Providers {
    http: HttpClient,
    openai: Arc<OpenAi>,
    ollama: Arc<Ollama>,
    openai_models: Shelf<OpenAiModel>,
    ollama_models: Shelf<OllamaModel>,
    running: Running,
    shutdown_grace: Duration,
}

impl Providers {
    /// Calls nobody. The error names the setting that cannot be used, without its value.
    pub fn new(config: ProvidersConfig) -> Result<Self, String> {
        let ProvidersConfig { openai, ollama, connect_timeout, limits, generation_timeout, running, shutdown_grace } = config;
        let http = HttpClient::new(connect_timeout.min(limits.patience))?;
        let running = Running::new(running);
        Ok(Self {
            openai: OpenAi::new(http.clone(), openai, limits, generation_timeout, running.clone())?,
            ollama: Ollama::new(http.clone(), ollama, limits, generation_timeout, running.clone())?,
            http,
            openai_models: Shelf::default(),
            ollama_models: Shelf::default(),
            running,
            shutdown_grace,
        })
    }

    /// Whether each provider is called now, for `readyz`.
    pub fn health_checks(&self) -> Vec<Arc<dyn HealthCheck>> {
        vec![
            Arc::new(ProviderHealth::new(self.openai.endpoint.clone(), PROBE_PATH)),
            Arc::new(ProviderHealth::new(self.ollama.endpoint.clone(), TAGS_PATH)),
        ]
    }

    /// The client that all providers share, for whoever speaks to further ones.
    pub fn http_client(&self) -> HttpClient {
        self.http.clone()
    }

    /// The server that speaks OpenAI's API, with its key and its breaker, for what it does besides texts.
    pub fn openai_endpoint(&self) -> Endpoint {
        self.openai.endpoint.clone()
    }

    fn openai_model(&self, name: &str) -> Arc<OpenAiModel> {
        self.openai_models.get_or(name, || OpenAiModel::new(Arc::clone(&self.openai), name.to_owned()))
    }

    async fn ollama_model(&self, name: &str) -> Result<Arc<OllamaModel>, GenerationError> {
        let model = self.ollama_models.get_or(name, || OllamaModel::new(Arc::clone(&self.ollama), name.to_owned()));
        model.get_to_know().await?;
        Ok(model)
    }

    /// Refuses what comes from now on with [`GenerationError::ShuttingDown`], and ends what runs: by itself, or cut when the grace
    /// period ends.
    pub async fn shutdown(&self) {
        self.running.shut_down(self.shutdown_grace).await;
    }
}

#[async_trait]
impl LanguageModels for Providers {
    /// Cheap: Ollama is asked once what the model is. A provider that is away fails the generation, not this. Fails for what does not
    /// run at a provider.
    async fn open(&self, llm: &LlmId) -> Result<Arc<dyn TextGenerator>, GenerationError> {
        match llm {
            LlmId::OpenAi(name) => Ok(self.openai_model(name)),
            LlmId::Ollama(name) => {
                let model = self.ollama_model(name).await?;
                model.must_generate()?;
                Ok(model)
            }
            LlmId::Bundled(_) | LlmId::Folder(_) | LlmId::Hub { .. } => Err(not_at_a_provider(llm)),
        }
    }

    async fn open_embedder(&self, llm: &LlmId) -> Result<Arc<dyn TextEmbedder>, GenerationError> {
        match llm {
            LlmId::OpenAi(name) => Ok(self.openai_model(name)),
            LlmId::Ollama(name) => Ok(self.ollama_model(name).await?),
            LlmId::Bundled(_) | LlmId::Folder(_) | LlmId::Hub { .. } => Err(not_at_a_provider(llm)),
        }
    }

    /// Nothing needs to be loaded here; a provider that is left alone cannot be asked.
    fn state(&self, llm: &LlmId) -> LlmState {
        let called = |endpoint: &Endpoint| endpoint.circuit().state() == BreakerState::Closed;
        match llm {
            LlmId::OpenAi(_) => LlmState { loaded: called(&self.openai.endpoint), context_length: None },
            LlmId::Ollama(name) => {
                let context_length = self.ollama_models.get(name).and_then(|model| model.context_length());
                LlmState { loaded: called(&self.ollama.endpoint), context_length }
            }
            LlmId::Bundled(_) | LlmId::Folder(_) | LlmId::Hub { .. } => LlmState::default(),
        }
    }
}

fn not_at_a_provider(llm: &LlmId) -> GenerationError {
    GenerationError::ModelUnavailable(format!("{llm} does not run at a provider"))
}

/// Models by name, no more than [`MAX_REMEMBERED_MODELS`].
struct Shelf<M>(Mutex<HashMap<String, Arc<M>>>);

impl<M> Default for Shelf<M> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<M> Shelf<M> {
    fn get(&self, name: &str) -> Option<Arc<M>> {
        self.lock().get(name).cloned()
    }

    fn get_or(&self, name: &str, make: impl FnOnce() -> M) -> Arc<M> {
        let mut models = self.lock();
        if models.len() >= MAX_REMEMBERED_MODELS && !models.contains_key(name) {
            // Which one goes hardly matters, as long as one that is in use stays.
            let idle = models.iter().find(|(_, model)| Arc::strong_count(model) == 1).or_else(|| models.iter().next());
            let idle = idle.map(|(name, _)| name.clone());
            idle.map(|name| models.remove(&name));
        }
        Arc::clone(models.entry(name.to_owned()).or_insert_with(|| Arc::new(make())))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<M>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_shared_by_name_and_bounded_in_number() {
        let shelf = Shelf::<usize>::default();
        let first = shelf.get_or("first", || 0);
        for number in 0..2 * MAX_REMEMBERED_MODELS {
            shelf.get_or(&number.to_string(), || number);
        }
        assert_eq!(shelf.lock().len(), MAX_REMEMBERED_MODELS);
        assert!(Arc::ptr_eq(&first, &shelf.get("first").unwrap()), "what is in use stays");
    }
}
