//! A hub and its models on this machine, in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use futures_util::stream;
use ports::{HubModel, ModelRepository, PullEvent, PullStream, RepositoryError, StoredModel};

use crate::Gate;

/// Bytes of every model here.
const MODEL_BYTES: u64 = 1000;

/// Offers the models that a test names, each at the revision `main`, and nothing else.
#[derive(Default)]
pub struct FakeModelRepository {
    offered: Vec<String>,
    stored: Arc<Mutex<BTreeMap<(String, String), StoredModel>>>,
    /// What every fetch ends with, halfway.
    failure: Mutex<Option<RepositoryError>>,
    /// What every fetch waits at, halfway.
    gate: Mutex<Option<Gate>>,
    running: Arc<AtomicUsize>,
}

impl FakeModelRepository {
    /// A hub with these models, none of them fetched.
    pub fn offering<'a>(repositories: impl IntoIterator<Item = &'a str>) -> Self {
        Self { offered: repositories.into_iter().map(str::to_owned).collect(), ..Self::default() }
    }

    /// From now on every fetch fails halfway.
    pub fn fail_with(&self, error: RepositoryError) {
        *self.failure.lock().unwrap() = Some(error);
    }

    /// From now on every fetch waits halfway.
    pub fn wait_at(&self, gate: Gate) {
        *self.gate.lock().unwrap() = Some(gate);
    }

    /// Fetches that have neither ended nor been dropped.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }
}

/// Counts a fetch for as long as it lives.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn key(model: &HubModel) -> (String, String) {
    (model.repository.clone(), model.revision.clone())
}

#[async_trait]
impl ModelRepository for FakeModelRepository {
    async fn pull(&self, model: &HubModel) -> Result<PullStream, RepositoryError> {
        if !self.offered.contains(&model.repository) || model.revision != "main" {
            return Err(RepositoryError::NotFound(format!("{} is not on the test's hub", model.repository)));
        }
        let stored = StoredModel {
            model: model.clone(),
            commit: "0".repeat(40),
            folder: PathBuf::from("/models").join(&model.repository),
            bytes: MODEL_BYTES,
        };
        let progress = |fetched_bytes| {
            let file = "model.safetensors".to_owned();
            Ok(PullEvent::Progress { file, fetched_bytes, total_bytes: MODEL_BYTES })
        };
        let failure = self.failure.lock().unwrap().clone();
        let place = Arc::clone(&self.stored);
        let end = move || {
            if let Some(error) = failure {
                return Err(error);
            }
            place.lock().unwrap_or_else(PoisonError::into_inner).insert(key(&stored.model), stored.clone());
            Ok(PullEvent::Done(stored))
        };
        let (gate, running) = (self.gate.lock().unwrap().clone(), Running::new(&self.running));
        let halfway = stream::iter([progress(0), progress(MODEL_BYTES / 2)]);
        let rest = stream::once(async move {
            let _counted = running;
            if let Some(gate) = gate {
                gate.pass().await;
            }
            end()
        });
        Ok(Box::pin(futures_util::StreamExt::chain(halfway, rest)))
    }

    fn find(&self, model: &HubModel) -> Option<StoredModel> {
        self.stored.lock().unwrap().get(&key(model)).cloned()
    }

    async fn list(&self) -> Result<Vec<StoredModel>, RepositoryError> {
        Ok(self.stored.lock().unwrap().values().cloned().collect())
    }

    async fn remove(&self, model: &HubModel) -> Result<(), RepositoryError> {
        let removed = self.stored.lock().unwrap().remove(&key(model));
        removed.map(drop).ok_or_else(|| RepositoryError::NotFound(format!("{} is not here", model.repository)))
    }
}
