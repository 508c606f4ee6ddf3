//! Where loaded models lie: loading, unloading, and making room.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use domain::LlmId;
use ports::{GenerationError, HubModel, LlmState, Unhealthy};
use tokio::sync::watch;
use tracing::{error, info};

use super::LocalModelsConfig;
use crate::text::engine_config::milliseconds;
use crate::text::generator::{ModelIdentity, TextEngine};
use crate::text::metrics::{UnloadReason, model_loaded, model_unloaded};
use crate::text::model::{
    LoadError, LoadedModel, ModelOptions, QuantisedStore, init_runtime, known_digest, memory_needs, quantised_file_name,
    remember_digest, return_freed_memory, weights_digest,
};
use crate::text::residency::{MemoryNeeds, Resident, idle_too_long, make_room};

/// A loaded model.
struct Loaded {
    engine: Arc<TextEngine>,
    memory_bytes: u64,
    /// When it was last opened, or seen in use.
    last_used: Instant,
}

impl Loaded {
    /// Whether somebody else holds the engine, or a generation does. Only while the models are locked can this not change.
    fn is_in_use(&self) -> bool {
        self.engine.why_ended().is_none() && (Arc::strong_count(&self.engine) > 1 || self.engine.idle_for().is_none())
    }

    fn as_resident(&mut self, llm: &LlmId, now: Instant) -> Resident {
        let in_use = self.is_in_use();
        if in_use {
            self.last_used = now;
        } else if let Some(last) = self.engine.idle_for().and_then(|idle| now.checked_sub(idle)) {
            self.last_used = self.last_used.max(last);
        }
        Resident { name: llm.to_string(), memory_bytes: self.memory_bytes, in_use, last_used: self.last_used }
    }
}

/// The models of a process.
pub(super) struct Shelf {
    config: LocalModelsConfig,
    models: Mutex<Models>,
    /// Held while a model is loaded or unloaded: two loads at once could each take the memory that is left.
    moving: tokio::sync::Mutex<Moving>,
    closed: watch::Sender<bool>,
}

#[derive(Default)]
struct Models {
    loaded: HashMap<LlmId, Loaded>,
    /// Of every model that was ever loaded, also where it is unloaded now.
    context_lengths: HashMap<LlmId, u32>,
}

#[derive(Default)]
struct Moving {
    /// The last load that failed, and when: for those who waited for it.
    failure: Option<(LlmId, Instant, GenerationError)>,
    /// Whether a task unloads what is idle.
    is_tidied: bool,
}

impl Shelf {
    pub(super) fn new(config: LocalModelsConfig) -> Self {
        let (models, moving, closed) = (Mutex::default(), tokio::sync::Mutex::default(), watch::Sender::new(false));
        Self { config, models, moving, closed }
    }

    /// Stops every engine, once no load is under way, and refuses what comes.
    pub(super) async fn close(&self) {
        self.closed.send_replace(true);
        let _nothing_moves = self.moving.lock().await;
        let loaded: Vec<(LlmId, Loaded)> = self.lock().loaded.drain().collect();
        futures_util::future::join_all(loaded.iter().map(|(_, loaded)| loaded.engine.shutdown())).await;
        for (llm, _) in &loaded {
            model_unloaded(&llm.to_string(), UnloadReason::Shutdown);
        }
    }

    pub(super) fn check_open(&self) -> Result<(), GenerationError> {
        if *self.closed.borrow() { Err(GenerationError::ShuttingDown) } else { Ok(()) }
    }

    pub(super) fn state(&self, llm: &LlmId) -> LlmState {
        let models = self.lock();
        let loaded = models.loaded.get(llm).is_some_and(|loaded| loaded.engine.why_ended().is_none());
        LlmState { loaded, context_length: models.context_lengths.get(llm).copied() }
    }

    /// Whether every engine works. None is held for it: a probe does not count as use.
    pub(super) fn health(&self) -> Result<(), Unhealthy> {
        self.lock().loaded.values().try_for_each(|loaded| loaded.engine.health())
    }

    /// Where a model lies.
    pub(super) fn folder(&self, llm: &LlmId) -> Result<PathBuf, GenerationError> {
        let unavailable = |problem: String| Err(GenerationError::ModelUnavailable(problem));
        match llm {
            LlmId::Bundled(name) => Ok(self.config.bundled_folder.join(name)),
            LlmId::Folder(path) => Ok(PathBuf::from(path)),
            LlmId::Hub { repository, revision } => {
                let Some(hub) = &self.config.hub else {
                    return unavailable(format!("{llm} cannot be opened: this server keeps no models of the hub"));
                };
                let model = HubModel { repository: repository.clone(), revision: revision.clone() };
                match hub.find(&model) {
                    Some(stored) => Ok(stored.folder),
                    None => unavailable(format!(
                        "{llm} is not on this machine yet: `tertulia models pull {llm}` or POST /models/pull fetches it"
                    )),
                }
            }
            LlmId::OpenAi(_) | LlmId::Ollama(_) => unavailable(format!("{llm} does not run in this process")),
        }
    }

    /// The engine of a model that is loaded and works.
    pub(super) fn ready(&self, llm: &LlmId) -> Option<Arc<TextEngine>> {
        let mut models = self.lock();
        let loaded = models.loaded.get_mut(llm).filter(|loaded| loaded.engine.why_ended().is_none())?;
        loaded.last_used = Instant::now();
        Some(Arc::clone(&loaded.engine))
    }

    /// Loads a model, unless somebody else did in the meantime.
    pub(super) async fn open(
        self: Arc<Self>,
        llm: LlmId,
        folder: PathBuf,
        asked_at: Instant,
    ) -> Result<Arc<TextEngine>, GenerationError> {
        let mut moving = self.moving.lock().await;
        self.check_open()?;
        if let Some(engine) = self.ready(&llm) {
            return Ok(engine);
        }
        if let Some((_, _, error)) = moving.failure.as_ref().filter(|(failed, at, _)| *failed == llm && *at >= asked_at) {
            return Err(error.clone());
        }
        match self.load(&llm, folder).await {
            Ok(engine) => {
                self.begin_tidying(&mut moving);
                Ok(engine)
            }
            Err(error) => {
                moving.failure = Some((llm, Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Loads a model into the memory that the others leave, once those have gone that must. The caller holds `moving`.
    async fn load(&self, llm: &LlmId, folder: PathBuf) -> Result<Arc<TextEngine>, GenerationError> {
        let name = llm.to_string();
        let refused = |problem: String| {
            error!(model = name, problem, "a model could not be loaded");
            GenerationError::ModelUnavailable(format!("{name} cannot be loaded: {problem}"))
        };
        let broken = self.lock().loaded.remove(llm);
        drop(broken);
        let options = self.options();
        let needs = {
            let folder = folder.clone();
            let needs = move || memory_needs(&folder, &options).map_err(|error| error.to_string());
            run_blocking(needs).await.map_err(refused)?
        };
        self.make_room(needs).await.map_err(refused)?;
        let taken: u64 = self.lock().loaded.values().map(|loaded| loaded.memory_bytes).sum();
        let mut config = self.config.clone();
        config.model = self.options();
        // What fits nowhere is refused by the whole limit, although nobody was unloaded for it.
        let taken = if needs.least_bytes > config.model.memory_bytes { 0 } else { taken };
        config.model.memory_bytes = config.model.memory_bytes.saturating_sub(taken);
        let loading = {
            let name = name.clone();
            move || load_blocking(&name, &folder, &config)
        };
        let loaded = run_blocking(loading).await.map_err(refused)?;
        let engine = Arc::clone(&loaded.engine);
        let mut models = self.lock();
        models.context_lengths.insert(llm.clone(), engine.context_length());
        models.loaded.insert(llm.clone(), loaded);
        Ok(engine)
    }

    fn options(&self) -> ModelOptions {
        // A chunk that the engine may send must fit into the memory that is planned for activations.
        ModelOptions { max_chunk: self.config.engine.largest_chunk(), ..self.config.model.clone() }
    }

    /// Unloads what must go for a model that needs so much.
    async fn make_room(&self, needs: MemoryNeeds) -> Result<(), String> {
        let limit = self.config.model.memory_bytes;
        let chosen = self.take(|residents| make_room(residents, limit, needs)).map_err(|no_room| no_room.to_string())?;
        self.unload(chosen, UnloadReason::Room).await;
        Ok(())
    }

    /// Unloads what nobody has used for so long.
    async fn unload_idle(&self, idle_after: Duration) {
        let _nothing_else_moves = self.moving.lock().await;
        let chosen = self.take(|residents| Ok::<_, ()>(idle_too_long(residents, Instant::now(), idle_after)));
        self.unload(chosen.unwrap_or_default(), UnloadReason::Idle).await;
    }

    /// Takes the models that `choose` chooses off the shelf. Nobody can open one of them in between.
    fn take<E>(&self, choose: impl FnOnce(&[Resident]) -> Result<Vec<usize>, E>) -> Result<Vec<(LlmId, Loaded)>, E> {
        let (mut models, now) = (self.lock(), Instant::now());
        let mut llms: Vec<LlmId> = models.loaded.keys().cloned().collect();
        llms.sort_by_key(ToString::to_string);
        let residents: Vec<Resident> =
            llms.iter().filter_map(|llm| models.loaded.get_mut(llm).map(|loaded| loaded.as_resident(llm, now))).collect();
        let chosen = choose(&residents)?;
        let taken = chosen.into_iter().filter_map(|index| models.loaded.remove_entry(llms.get(index)?));
        Ok(taken.collect())
    }

    /// Ends engines that nobody uses, and frees their memory.
    async fn unload(&self, models: Vec<(LlmId, Loaded)>, reason: UnloadReason) {
        if models.is_empty() {
            return;
        }
        for (llm, loaded) in models {
            loaded.engine.shutdown().await;
            let name = llm.to_string();
            model_unloaded(&name, reason);
            info!(model = name, reason = reason.as_str(), memory_bytes = loaded.memory_bytes, "model unloaded");
        }
        // Giving pages back takes some milliseconds.
        let _ = run_blocking(|| {
            return_freed_memory();
            Ok(())
        })
        .await;
    }

    /// Sees to it that one task unloads what is idle. It ends with these models.
    fn begin_tidying(self: &Arc<Self>, moving: &mut Moving) {
        if let Some(idle_after) = self.config.idle_after
            && !std::mem::replace(&mut moving.is_tidied, true)
        {
            tokio::spawn(tidy(Arc::downgrade(self), self.closed.subscribe(), idle_after));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Models> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn tidy(shelf: Weak<Shelf>, mut closed: watch::Receiver<bool>, idle_after: Duration) {
    let interval = (idle_after / 10).clamp(Duration::from_millis(20), Duration::from_secs(10));
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            // An error means that the models are gone.
            _ = closed.wait_for(|closed| *closed) => return,
        }
        let Some(shelf) = shelf.upgrade() else { return };
        shelf.unload_idle(idle_after).await;
    }
}

async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| Err(format!("loading broke down: {panic}")))
}

fn load_blocking(name: &str, folder: &Path, config: &LocalModelsConfig) -> Result<Loaded, String> {
    let begun = Instant::now();
    let said = |error: LoadError| error.to_string();
    init_runtime(&config.onnxruntime_library).map_err(said)?;
    let (model, digest) = load_weights(folder, config)?;
    let memory_bytes = model.memory().total_bytes();
    // At every precision, which tests/model_int8.rs and tests/text_generation.rs hold each of them to.
    let identity = ModelIdentity { name: name.to_owned(), weights_digest: Some(digest), reproducible: true };
    let engine = TextEngine::start(Box::new(model), folder, identity, &config.engine).map_err(|error| error.to_string())?;
    // Reading a tokenizer leaves several times its size behind.
    return_freed_memory();
    let taken = begun.elapsed();
    model_loaded(name, taken, memory_bytes);
    let context_length = engine.context_length();
    info!(model = name, folder = %folder.display(), context_length, memory_bytes, milliseconds = milliseconds(taken), "model loaded");
    Ok(Loaded { engine: Arc::new(engine), memory_bytes, last_used: Instant::now() })
}

/// The model and the digest of its weights. What was quantised before is read from where it is kept.
fn load_weights(folder: &Path, config: &LocalModelsConfig) -> Result<(LoadedModel, String), String> {
    let said = |error: LoadError| error.to_string();
    let (digests, precision) = (config.digest_cache.as_deref(), config.model.precision);
    let quantised_file = |digest: &str| quantised_file_name(folder, precision, digest);
    let store = QuantisedStore::new(folder, digests);
    let known_in = store.folders().iter().find(|digests| known_digest(folder, digests).is_some());
    let known = known_in.and_then(|digests| known_digest(folder, digests)).and_then(|digest| quantised_file(&digest));
    let digests = known_in.map(PathBuf::as_path).or(digests);
    let options = ModelOptions { quantised: store.weights(known.as_deref()), ..config.model.clone() };
    let (model, digest) = std::thread::scope(|scope| {
        let digest = scope.spawn(|| weights_digest(folder, digests));
        (LoadedModel::load(folder, &options), digest.join())
    });
    let digest = digest.unwrap_or_else(|_| Err(LoadError::Runtime("the digest of the weights could not be computed".to_owned())));
    let kept_as = digest.as_ref().ok().filter(|_| model.is_ok()).and_then(|digest| quantised_file(digest));
    if let (Some(kept_in), Ok(digest)) = (store.settle(kept_as.as_deref()), &digest) {
        remember_digest(folder, kept_in, digest);
    }
    Ok((model.map_err(said)?, digest.map_err(said)?))
}
