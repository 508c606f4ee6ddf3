//! The models that this process opens: those that run in it, and those of providers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use adapters_ml::text::local_models::{LocalModels, LocalModelsConfig};
use adapters_ml::text::model::ModelOptions;
use adapters_providers::Providers;
use async_trait::async_trait;
use domain::LlmId;
use ports::{GenerationError, HealthCheck, HubModel, LanguageModels, LlmState, TextEmbedder, TextGenerator, Unhealthy};

use super::hub::Hub;
use crate::config::Config;
use crate::start_error::StartError;
use crate::{locate, machine};

/// The models of this process, until it is told to stop.
pub(crate) struct ProcessModels {
    local: LocalModels,
    hub: Hub,
    providers: Providers,
    stopping: AtomicBool,
}

impl ProcessModels {
    /// Finds what models need; loads none.
    pub(crate) fn new(config: &Config) -> Result<Self, StartError> {
        let (model, defaults) = (&config.model, ModelOptions::default());
        let options = ModelOptions {
            precision: model.precision,
            memory_bytes: model.memory_bytes.or_else(|| Some(machine::memory_bytes()? / 2)).unwrap_or(defaults.memory_bytes),
            max_slots: config.generations.max_running,
            intra_threads: model.threads.unwrap_or(defaults.intra_threads),
            spin: model.spin,
            ..defaults
        };
        let hub = Hub::new(config)?;
        let local = LocalModels::new(LocalModelsConfig {
            bundled_folder: locate::bundled_models(model.bundled_dir.as_deref())?,
            hub: Some(hub.repository()),
            onnxruntime_library: locate::onnxruntime(model.onnxruntime.as_deref())?,
            // The first start makes no folder before it has succeeded; there is nothing to be remembered yet.
            digest_cache: config.data_dir.is_dir().then(|| config.data_dir.join("cache")),
            model: options,
            engine: config.generations.engine.clone(),
            idle_after: model.idle_after,
        });
        let providers = Providers::new(config.providers.clone()).map_err(StartError::Model)?;
        Ok(Self { local: local.map_err(StartError::Model)?, hub, providers, stopping: AtomicBool::new(false) })
    }

    /// The hub's models on this machine.
    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The providers, for what they do besides texts.
    pub(crate) const fn providers(&self) -> &Providers {
        &self.providers
    }

    /// Loads a model at the start. One of the hub that is not here is fetched first.
    pub(crate) async fn load(&self, llm: &LlmId) -> Result<Arc<dyn TextGenerator>, StartError> {
        if let Some(model) = HubModel::of(llm) {
            self.hub.fetch_if_absent(&model).await?;
        }
        self.runner(llm).open(llm).await.map_err(|error| StartError::Model(format!("{error} (LLM_ID chooses another model)")))
    }

    /// Whether each provider is called now.
    pub(crate) fn provider_checks(&self) -> Vec<Arc<dyn HealthCheck>> {
        self.providers.health_checks()
    }

    /// Who opens models of this kind.
    fn runner(&self, llm: &LlmId) -> &dyn LanguageModels {
        match llm {
            LlmId::Bundled(_) | LlmId::Folder(_) | LlmId::Hub { .. } => &self.local,
            LlmId::OpenAi(_) | LlmId::Ollama(_) => &self.providers,
        }
    }

    /// A connection that is kept alive may still bring a request; it must not load a model that was just unloaded.
    fn check_open(&self) -> Result<(), GenerationError> {
        if self.stopping.load(Ordering::Relaxed) { Err(GenerationError::ShuttingDown) } else { Ok(()) }
    }

    /// Refuses what comes from now on, and ends what runs: by itself, or cut within the engine's grace period.
    pub(crate) async fn shutdown(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.hub.shutdown();
        tokio::join!(self.local.shutdown(), self.providers.shutdown());
    }
}

#[async_trait]
impl LanguageModels for ProcessModels {
    async fn open(&self, llm: &LlmId) -> Result<Arc<dyn TextGenerator>, GenerationError> {
        self.check_open()?;
        self.runner(llm).open(llm).await
    }

    async fn open_embedder(&self, llm: &LlmId) -> Result<Arc<dyn TextEmbedder>, GenerationError> {
        self.check_open()?;
        self.runner(llm).open_embedder(llm).await
    }

    fn state(&self, llm: &LlmId) -> LlmState {
        self.runner(llm).state(llm)
    }
}

#[async_trait]
impl HealthCheck for ProcessModels {
    fn name(&self) -> &'static str {
        self.local.name()
    }

    async fn check(&self) -> Result<(), Unhealthy> {
        self.local.check().await
    }
}
