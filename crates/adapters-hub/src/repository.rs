//! The repository of models: the port over the fetch, the cache and the removal.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream;
use ports::{HubModel, ModelRepository, PullEvent, PullStream, RepositoryError, StoredModel};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::HubConfig;
use crate::cache::Cache;
use crate::client::HubClient;
use crate::names::check_model;
use crate::progress::Progress;
use crate::pull::Fetcher;
use crate::removal::remove;

/// Models that are fetched at the same time. One alone fills most lines.
const MAX_FETCHES: usize = 4;

/// The hub's models on this machine. See the crate.
pub struct HubRepository {
    fetcher: Arc<Fetcher>,
    stopping: CancellationToken,
}

impl HubRepository {
    /// Touches neither the disk nor the network. The error says what of the settings cannot be used, and never repeats the token.
    pub fn new(config: &HubConfig) -> Result<Self, String> {
        let fetcher = Fetcher {
            client: HubClient::new(config)?,
            // `HF_HOME/hub`, and `HF_HOME` itself, which older tools had.
            caches: [Cache::new(config.home.join("hub")), Cache::new(config.home.clone())],
            locks: crate::lock::ModelLocks::default(),
            places: Semaphore::new(MAX_FETCHES),
            max_model_bytes: config.max_model_bytes,
            check_config: Arc::clone(&config.check_config),
        };
        Ok(Self { fetcher: Arc::new(fetcher), stopping: CancellationToken::new() })
    }

    /// Ends every fetch that runs, and those that are begun from now on. What has come is kept.
    pub fn shutdown(&self) {
        self.stopping.cancel();
    }
}

#[async_trait]
impl ModelRepository for HubRepository {
    /// Must be called on a Tokio runtime, on which the fetch then runs, however slowly the stream is read.
    async fn pull(&self, model: &HubModel) -> Result<PullStream, RepositoryError> {
        check_model(model)?;
        let (sender, newest) = watch::channel(None);
        let (fetcher, model, stopping) = (Arc::clone(&self.fetcher), model.clone(), self.stopping.clone());
        let fetch = async move {
            tokio::select! {
                biased;
                () = stopping.cancelled() => {
                    let told = format!("{} was not fetched to the end: the server is stopping; what has come is kept", model.repository);
                    Err(RepositoryError::Unreachable(told))
                }
                result = fetcher.pull(&model, Progress::new(sender)) => result,
            }
        };
        let task = AbortOnDropHandle::new(tokio::spawn(fetch));
        Ok(Box::pin(stream::unfold(Some(Pull { newest, task, is_over: false }), next_event)))
    }

    fn find(&self, model: &HubModel) -> Option<StoredModel> {
        check_model(model).ok()?;
        self.fetcher.caches.iter().find_map(|cache| cache.model(&model.repository).find(model))
    }

    async fn list(&self) -> Result<Vec<StoredModel>, RepositoryError> {
        let caches = self.fetcher.caches.clone();
        let listed = tokio::task::spawn_blocking(move || {
            let mut models: Vec<StoredModel> = caches.iter().flat_map(Cache::whole_models).collect();
            let name = |stored: &StoredModel| (stored.model.repository.clone(), stored.model.revision.clone());
            models.sort_by_key(name);
            // What lies in both is found in the first.
            models.dedup_by_key(|stored| name(stored));
            models
        });
        listed.await.map_err(|error| RepositoryError::Storage(format!("reading the models broke down: {error}")))
    }

    async fn remove(&self, model: &HubModel) -> Result<(), RepositoryError> {
        check_model(model)?;
        let mut removed = false;
        for cache in &self.fetcher.caches {
            let folder = cache.model(&model.repository);
            if folder.path().is_dir() {
                let lock = self.fetcher.locks.lock(&folder.lock_path()).await?;
                let model = model.clone();
                let removal = tokio::task::spawn_blocking(move || {
                    let _held_until_the_end = lock;
                    remove(&folder, &model)
                });
                removed |= removal.await.map_err(|error| RepositoryError::Storage(format!("removing broke down: {error}")))??;
            }
        }
        let HubModel { repository, revision } = model;
        let missing = || RepositoryError::NotFound(format!("{repository} ({revision}) is not on this machine"));
        removed.then_some(()).ok_or_else(missing)
    }
}

/// A fetch and what it tells.
struct Pull {
    newest: watch::Receiver<Option<PullEvent>>,
    task: AbortOnDropHandle<Result<StoredModel, RepositoryError>>,
    /// Whether all progress was told.
    is_over: bool,
}

/// The newest state when there is a new one, and at last the result.
async fn next_event(pull: Option<Pull>) -> Option<(Result<PullEvent, RepositoryError>, Option<Pull>)> {
    let mut pull = pull?;
    while !pull.is_over {
        match pull.newest.changed().await {
            Ok(()) => {
                let event = pull.newest.borrow_and_update().clone();
                if let Some(event) = event {
                    return Some((Ok(event), Some(pull)));
                }
            }
            Err(_) => pull.is_over = true,
        }
    }
    let result = (&mut pull.task).await;
    let result = result.unwrap_or_else(|error| Err(RepositoryError::Storage(format!("the fetch broke down: {error}"))));
    Some((result.map(PullEvent::Done), None))
}
