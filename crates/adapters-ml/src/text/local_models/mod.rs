//! Opens models that run in the process, by their identifiers, and decides how long they stay.
//!
//! A model is loaded when it is first asked for, once however many ask at the same time, on a thread where it holds nobody up. Who waited
//! for a load that failed is told so; the next request tries again, since the operator may have put the missing file there. An engine
//! that broke down is replaced in the same way.
//!
//! All models together stay within one limit of memory. For a new one that does not fit, others are unloaded that nobody uses, the least
//! recently used first; after a time in which nobody used it, a model goes by itself. A model is **in use** while a generation of it waits
//! or runs, or while somebody holds the generator that [`LanguageModels::open`] gave out. Which ones go is chosen in [`super::residency`].

mod shelf;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::LlmId;
use ports::{GenerationError, HealthCheck, LanguageModels, LlmState, ModelRepository, TextEmbedder, TextGenerator, Unhealthy};

use self::shelf::Shelf;
use super::engine_config::EngineConfig;
use super::generator::TextEngine;
use super::model::ModelOptions;

/// Where models and their runtime lie, how they run and how long they stay.
#[derive(Clone)]
pub struct LocalModelsConfig {
    /// The folder with a folder for each bundled model: `bundled:NAME` is `NAME` in it.
    pub bundled_folder: PathBuf,
    /// The models of the hub that lie on this machine; `None` where there are none.
    pub hub: Option<Arc<dyn ModelRepository>>,
    /// ONNX Runtime's shared library.
    pub onnxruntime_library: PathBuf,
    /// Where the digests of weights are kept between starts, since computing one reads the whole file; `None` to compute them each time.
    pub digest_cache: Option<PathBuf>,
    /// How models are loaded. `memory_bytes` is for all of them together; `max_chunk` is set to what the engine may send.
    pub model: ModelOptions,
    /// How each model is shared out.
    pub engine: EngineConfig,
    /// How long a model may lie unused before it is unloaded; `None` for as long as its memory is not needed. It goes within a tenth of
    /// that time, and ten seconds, afterwards.
    pub idle_after: Option<Duration>,
}

/// The models of this process. See the module.
pub struct LocalModels {
    shelf: Arc<Shelf>,
}

impl LocalModels {
    /// A set of models, none of them loaded. Checks the engine's settings; the error names the field.
    pub fn new(config: LocalModelsConfig) -> Result<Self, String> {
        config.engine.check()?;
        Ok(Self { shelf: Arc::new(Shelf::new(config)) })
    }

    /// Stops every engine, all at the same time; see [`TextEngine::shutdown`]. Waits for a load that is under way. What is asked for
    /// afterwards is refused with [`GenerationError::ShuttingDown`].
    pub async fn shutdown(&self) {
        self.shelf.close().await;
    }

    /// The engine behind an identifier, loaded if it was not. Errors as [`LanguageModels::open`].
    pub async fn open_engine(&self, llm: &LlmId) -> Result<Arc<TextEngine>, GenerationError> {
        self.shelf.check_open()?;
        if let Some(engine) = self.shelf.ready(llm) {
            return Ok(engine);
        }
        let folder = self.shelf.folder(llm)?;
        // A task of its own: a caller that goes away does not stop what others wait for.
        let (models, asked, asked_at) = (Arc::clone(&self.shelf), llm.clone(), Instant::now());
        let task = tokio::spawn(async move { models.open(asked, folder, asked_at).await });
        task.await.map_err(|panic| GenerationError::Failed(format!("loading broke down: {panic}")))?
    }
}

#[async_trait]
impl LanguageModels for LocalModels {
    async fn open(&self, llm: &LlmId) -> Result<Arc<dyn TextGenerator>, GenerationError> {
        Ok(self.open_engine(llm).await?)
    }

    async fn open_embedder(&self, llm: &LlmId) -> Result<Arc<dyn TextEmbedder>, GenerationError> {
        Ok(self.open_engine(llm).await?)
    }

    fn state(&self, llm: &LlmId) -> LlmState {
        self.shelf.state(llm)
    }
}

#[async_trait]
impl HealthCheck for LocalModels {
    fn name(&self) -> &'static str {
        "model"
    }

    /// Unhealthy while a model that was loaded has broken down and nobody has asked for it since.
    async fn check(&self) -> Result<(), Unhealthy> {
        self.shelf.health()
    }
}
