//! Models of the Hugging Face hub: the repository, and fetching for somebody who watches.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adapters_hub::{HubConfig, HubRepository, Retries};
use adapters_ml::text::model::check_config;
use futures_util::StreamExt as _;
use ports::{HubModel, ModelRepository, PullEvent, RepositoryError, StoredModel};

use super::data_dir;
use crate::config::{Config, ConfigError};
use crate::pull_progress::PullProgress;
use crate::start_error::StartError;

/// A hub that has not answered by then is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that is silent for so long within a response is dead.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The hub's models on this machine.
pub(crate) struct Hub {
    repository: Arc<HubRepository>,
    /// Made, for its owner alone, before models are put below it.
    data_dir: Option<PathBuf>,
}

impl Hub {
    /// Touches neither the disk nor the network.
    pub(crate) fn new(config: &Config) -> Result<Self, StartError> {
        let settings = &config.hub;
        // Commands and logs tell folders: as such that lead there from anywhere.
        let home = std::path::absolute(&settings.home).unwrap_or_else(|_| settings.home.clone());
        let repository = HubRepository::new(&HubConfig {
            endpoint: settings.endpoint.clone(),
            home,
            token: settings.token.clone(),
            max_model_bytes: settings.max_model_bytes,
            connect_timeout: CONNECT_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            retries: Retries::default(),
            check_config: Arc::new(check_config),
        });
        // Of all that a repository is made with, the token alone can be unfit.
        let repository = repository.map_err(|problem| ConfigError::new("HF_TOKEN", problem))?;
        let data_dir = settings.home.starts_with(&config.data_dir).then(|| config.data_dir.clone());
        Ok(Self { repository: Arc::new(repository), data_dir })
    }

    /// The port.
    pub(crate) fn repository(&self) -> Arc<dyn ModelRepository> {
        Arc::clone(&self.repository) as _
    }

    /// Fetches a model, or what is missing of it, and shows on standard error how far it has come.
    pub(crate) async fn fetch(&self, model: &HubModel) -> Result<StoredModel, StartError> {
        if let Some(folder) = &self.data_dir {
            data_dir::make(folder)?;
        }
        let mut progress = PullProgress::of(model);
        let mut events = self.repository.pull(model).await?;
        while let Some(event) = events.next().await {
            match event? {
                PullEvent::Progress { file, fetched_bytes, total_bytes } => progress.show(&file, fetched_bytes, total_bytes),
                PullEvent::Done(stored) => return Ok(stored),
            }
        }
        Err(RepositoryError::Storage(format!("the fetch of {} ended without a result", model.repository)).into())
    }

    /// The same for a model that may lie here already; then nobody is asked.
    pub(crate) async fn fetch_if_absent(&self, model: &HubModel) -> Result<(), StartError> {
        if self.repository.find(model).is_none() {
            self.fetch(model).await?;
        }
        Ok(())
    }

    /// Ends every fetch; what has come is kept.
    pub(crate) fn shutdown(&self) {
        self.repository.shutdown();
    }
}
