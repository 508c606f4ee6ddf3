//! The models that run in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use adapters_ml::text::local_models::{LocalModels, LocalModelsConfig};
use adapters_ml::text::model::ModelOptions;
use async_trait::async_trait;
use domain::LlmId;
use ports::{GenerationError, HealthCheck, LanguageModels, LlmState, TextGenerator, Unhealthy};

use crate::config::Config;
use crate::start_error::StartError;
use crate::{locate, machine};

/// The models of this process, until it is told to stop.
pub(crate) struct ProcessModels {
    local: LocalModels,
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
        let local = LocalModels::new(LocalModelsConfig {
            bundled_folder: locate::bundled_models(model.bundled_dir.as_deref())?,
            onnxruntime_library: locate::onnxruntime(model.onnxruntime.as_deref())?,
            // The first start makes no folder before it has succeeded; there is nothing to be remembered yet.
            digest_cache: config.data_dir.is_dir().then(|| config.data_dir.join("cache")),
            model: options,
            engine: config.generations.engine.clone(),
        });
        Ok(Self { local: local.map_err(StartError::Model)?, stopping: AtomicBool::new(false) })
    }

    /// Loads a model at the start.
    pub(crate) async fn load(&self, llm: &LlmId) -> Result<Arc<dyn TextGenerator>, StartError> {
        self.local.open(llm).await.map_err(|error| StartError::Model(format!("{error} (LLM_ID chooses another model)")))
    }

    /// Refuses what comes from now on, and ends what runs: by itself, or cut within the engine's grace period.
    pub(crate) async fn shutdown(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.local.shutdown().await;
    }
}

#[async_trait]
impl LanguageModels for ProcessModels {
    async fn open(&self, llm: &LlmId) -> Result<Arc<dyn TextGenerator>, GenerationError> {
        // A connection that is kept alive may still bring a request; it must not load a model that was just unloaded.
        if self.stopping.load(Ordering::Relaxed) {
            return Err(GenerationError::ShuttingDown);
        }
        self.local.open(llm).await
    }

    fn state(&self, llm: &LlmId) -> LlmState {
        self.local.state(llm)
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
