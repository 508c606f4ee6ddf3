//! A repository in a folder of its own over a scripted hub.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use adapters_hub::{HubConfig, HubRepository, Retries};
use futures_util::TryStreamExt;
use ports::{HubModel, ModelRepository, PullEvent, RepositoryError, StoredModel};
use tempfile::TempDir;
use test_support::ScriptedHub;

pub(crate) const CONFIG: &[u8] = br#"{"model_type": "gpt2"}"#;
pub(crate) const TOKENIZER: &[u8] = br#"{"version": "1.0"}"#;

pub(crate) fn model(repository: &str) -> HubModel {
    at(repository, "main")
}

pub(crate) fn at(repository: &str, revision: &str) -> HubModel {
    HubModel { repository: repository.to_owned(), revision: revision.to_owned() }
}

/// Weights of this many bytes, none like its neighbours.
pub(crate) fn weights(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|place| u8::try_from((place * 31 + place / 251) % 256).unwrap()).collect()
}

pub(crate) struct World {
    pub(crate) hub: ScriptedHub,
    pub(crate) home: TempDir,
    pub(crate) repository: Arc<HubRepository>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// What a test needs otherwise.
    pub(crate) fn with(change: impl FnOnce(&mut HubConfig)) -> Self {
        let (hub, home) = (ScriptedHub::start(), tempfile::tempdir().unwrap());
        let mut config = config(&hub, home.path());
        change(&mut config);
        let repository = Arc::new(HubRepository::new(&config).unwrap());
        Self { hub, home, repository }
    }

    /// Puts a model with these weights on the hub.
    pub(crate) fn publish(&self, repository: &str, weights: &[u8]) -> String {
        let files =
            [("config.json", CONFIG), ("tokenizer.json", TOKENIZER), ("model.safetensors", weights), ("README.md", b"hello")];
        self.hub.publish(repository, &files)
    }

    /// Another process's repository on the same folder.
    pub(crate) fn another(&self) -> HubRepository {
        HubRepository::new(&config(&self.hub, self.home.path())).unwrap()
    }

    pub(crate) async fn pull(&self, model: &HubModel) -> Result<StoredModel, RepositoryError> {
        pull(&*self.repository, model).await
    }

    pub(crate) fn folder(&self, repository: &str) -> PathBuf {
        self.home.path().join("hub").join(format!("models--{}", repository.replace('/', "--")))
    }

    /// Where the weights that a fetch has so far lie, and how many bytes they are.
    pub(crate) fn unfinished(&self, repository: &str) -> Vec<u64> {
        let Ok(blobs) = std::fs::read_dir(self.folder(repository).join("blobs")) else { return Vec::new() };
        let unfinished = blobs.map(Result::unwrap).filter(|blob| blob.path().extension().is_some_and(|end| end == "incomplete"));
        unfinished.map(|blob| blob.metadata().unwrap().len()).collect()
    }
}

pub(crate) async fn pull(repository: &dyn ModelRepository, model: &HubModel) -> Result<StoredModel, RepositoryError> {
    let events: Vec<PullEvent> = repository.pull(model).await?.try_collect().await?;
    match events.into_iter().last() {
        Some(PullEvent::Done(stored)) => Ok(stored),
        other => panic!("a fetch ends with Done, not with {other:?}"),
    }
}

fn config(hub: &ScriptedHub, home: &Path) -> HubConfig {
    let check_config = |text: &[u8]| {
        let known = text.windows(6).any(|part| part == br#""gpt2""#);
        if known { Ok(()) } else { Err("model_type \"bert\" is not supported (supported: gpt2)".to_owned()) }
    };
    HubConfig {
        endpoint: hub.url().parse().unwrap(),
        home: home.to_owned(),
        token: None,
        max_model_bytes: 64 << 20,
        connect_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(10),
        retries: Retries { attempts: 4, first_wait: Duration::from_millis(1), longest_wait: Duration::from_millis(5) },
        check_config: Arc::new(check_config),
    }
}
