//! Opens models that run in the process, by their identifiers.
//!
//! A model is loaded when it is first asked for, once however many ask at the same time, on a thread where it holds nobody up. A load
//! that failed is forgotten, so the next request tries again: the operator may have put the missing file there. An engine that broke
//! down is replaced in the same way. All models together stay within one limit of memory: each is loaded into what the others leave.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use domain::LlmId;
use ports::{GenerationError, HealthCheck, LanguageModels, LlmState, TextGenerator, Unhealthy};
use tokio::sync::OnceCell;
use tracing::{error, info};

use super::engine_config::EngineConfig;
use super::generator::{ModelIdentity, TextEngine};
use super::metrics::model_loaded;
use super::model::{LoadError, LoadedModel, ModelOptions, Precision, init_runtime, weights_digest};

/// Where models and their runtime lie, and how they run.
#[derive(Debug, Clone)]
pub struct LocalModelsConfig {
    /// The folder with a folder for each bundled model: `bundled:NAME` is `NAME` in it.
    pub bundled_folder: PathBuf,
    /// ONNX Runtime's shared library.
    pub onnxruntime_library: PathBuf,
    /// Where the digests of weights are kept between starts, since computing one reads the whole file; `None` to compute them each time.
    pub digest_cache: Option<PathBuf>,
    /// How models are loaded. `memory_bytes` is for all of them together; `max_chunk` is set to what the engine may send.
    pub model: ModelOptions,
    /// How each model is shared out.
    pub engine: EngineConfig,
}

/// A loaded model and what it takes of the memory.
struct Loaded {
    engine: Arc<TextEngine>,
    memory_bytes: u64,
}

type Place = Arc<OnceCell<Loaded>>;

/// The models of this process. See the module.
pub struct LocalModels {
    shelf: Arc<Shelf>,
}

struct Shelf {
    config: LocalModelsConfig,
    places: Mutex<HashMap<LlmId, Place>>,
    /// Held while a model is loaded: two at once could each take the memory that is left.
    loading: tokio::sync::Mutex<()>,
    closed: AtomicBool,
}

impl LocalModels {
    /// A set of models, none of them loaded. Checks the engine's settings; the error names the field.
    pub fn new(config: LocalModelsConfig) -> Result<Self, String> {
        config.engine.check()?;
        let (places, loading, closed) = (Mutex::default(), tokio::sync::Mutex::default(), AtomicBool::new(false));
        Ok(Self { shelf: Arc::new(Shelf { config, places, loading, closed }) })
    }

    /// Stops every engine, all at the same time; see [`TextEngine::shutdown`]. Waits for a load that is under way. What is asked for
    /// afterwards is refused with [`GenerationError::ShuttingDown`].
    pub async fn shutdown(&self) {
        self.shelf.closed.store(true, Ordering::SeqCst);
        let _no_load_is_under_way = self.shelf.loading.lock().await;
        let places: Vec<Place> = self.shelf.lock().drain().map(|(_, place)| place).collect();
        let engines = places.iter().filter_map(|place| place.get()).map(|loaded| &loaded.engine);
        futures_util::future::join_all(engines.map(|engine| engine.shutdown())).await;
    }

    /// The engine behind an identifier, loaded if it was not. Errors as [`LanguageModels::open`].
    pub async fn open_engine(&self, llm: &LlmId) -> Result<Arc<TextEngine>, GenerationError> {
        let folder = self.shelf.folder(llm)?;
        if self.shelf.closed.load(Ordering::SeqCst) {
            return Err(GenerationError::ShuttingDown);
        }
        let place = self.shelf.place(llm);
        if let Some(ready) = place.get() {
            return Ok(Arc::clone(&ready.engine));
        }
        // A task of its own: a caller that goes away does not stop what others wait for.
        let kept = Arc::clone(&self.shelf);
        let name = llm.to_string();
        let task = tokio::spawn(async move {
            let _one_at_a_time = kept.loading.lock().await;
            let loaded = place.get_or_try_init(|| kept.load(name, folder)).await?;
            Ok(Arc::clone(&loaded.engine))
        });
        task.await.map_err(|panic| GenerationError::Failed(format!("loading broke down: {panic}")))?
    }
}

impl Shelf {
    fn folder(&self, llm: &LlmId) -> Result<PathBuf, GenerationError> {
        match llm {
            LlmId::Bundled(name) => Ok(self.config.bundled_folder.join(name)),
            LlmId::Folder(path) => Ok(PathBuf::from(path)),
            LlmId::Hub { .. } | LlmId::OpenAi(_) | LlmId::Ollama(_) => Err(GenerationError::ModelUnavailable(format!(
                "{llm} cannot be opened by this server yet; use bundled:NAME or file:PATH"
            ))),
        }
    }

    /// The place of a model. One whose engine has ended is given up for an empty one.
    fn place(&self, llm: &LlmId) -> Place {
        let mut places = self.lock();
        if places.get(llm).and_then(|place| place.get()).is_some_and(|loaded| loaded.engine.why_ended().is_some()) {
            places.remove(llm);
        }
        Arc::clone(places.entry(llm.clone()).or_default())
    }

    /// Loads a model into the memory that the others leave. The caller holds `loading`.
    async fn load(&self, name: String, folder: PathBuf) -> Result<Loaded, GenerationError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(GenerationError::ShuttingDown);
        }
        let taken: u64 = self.lock().values().filter_map(|place| place.get()).map(|loaded| loaded.memory_bytes).sum();
        let mut config = self.config.clone();
        config.model.memory_bytes = config.model.memory_bytes.saturating_sub(taken);
        let blocking = tokio::task::spawn_blocking({
            let name = name.clone();
            move || load_blocking(&name, &folder, &config)
        });
        let result = blocking.await.unwrap_or_else(|panic| Err(format!("loading broke down: {panic}")));
        result.map_err(|problem| {
            error!(model = name, problem, "a model could not be loaded");
            let others = if taken > 0 { format!(" ({taken} bytes are taken by other models)") } else { String::new() };
            GenerationError::ModelUnavailable(format!("{name} cannot be loaded: {problem}{others}"))
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LlmId, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn load_blocking(name: &str, folder: &Path, config: &LocalModelsConfig) -> Result<Loaded, String> {
    let begun = Instant::now();
    let said = |error: LoadError| error.to_string();
    init_runtime(&config.onnxruntime_library).map_err(said)?;
    // A chunk that the engine may send must fit into the memory that is planned for activations.
    let options = ModelOptions { max_chunk: config.engine.largest_chunk(), ..config.model.clone() };
    let (model, digest) = std::thread::scope(|scope| {
        let digest = scope.spawn(|| weights_digest(folder, config.digest_cache.as_deref()));
        (LoadedModel::load(folder, &options), digest.join())
    });
    let model = model.map_err(said)?;
    let digest = digest.map_err(|_| "the digest of the weights could not be computed".to_owned())?.map_err(said)?;
    let memory_bytes = model.memory().total_bytes();
    // In 4 bits nobody has shown yet that a text does not depend on its neighbours.
    let reproducible = config.model.precision != Precision::Int4;
    let identity = ModelIdentity { name: name.to_owned(), weights_digest: Some(digest), reproducible };
    let engine = TextEngine::start(Box::new(model), folder, identity, &config.engine).map_err(|error| error.to_string())?;
    let taken = begun.elapsed();
    model_loaded(name, taken);
    let context_length = engine.context_length();
    info!(model = name, folder = %folder.display(), context_length, memory_bytes, milliseconds = taken.as_millis(), "model loaded");
    Ok(Loaded { engine: Arc::new(engine), memory_bytes })
}

#[async_trait]
impl LanguageModels for LocalModels {
    async fn open(&self, llm: &LlmId) -> Result<Arc<dyn TextGenerator>, GenerationError> {
        Ok(self.open_engine(llm).await?)
    }

    fn state(&self, llm: &LlmId) -> LlmState {
        let places = self.shelf.lock();
        let loaded = places.get(llm).and_then(|place| place.get()).filter(|loaded| loaded.engine.why_ended().is_none());
        LlmState { loaded: loaded.is_some(), context_length: loaded.map(|loaded| loaded.engine.context_length()) }
    }
}

#[async_trait]
impl HealthCheck for LocalModels {
    fn name(&self) -> &'static str {
        "model"
    }

    /// Unhealthy while a model that was loaded has broken down and nobody has asked for it since.
    async fn check(&self) -> Result<(), Unhealthy> {
        let places: Vec<Place> = self.shelf.lock().values().cloned().collect();
        for engine in places.iter().filter_map(|place| place.get()).map(|loaded| &loaded.engine) {
            engine.check().await?;
        }
        Ok(())
    }
}
