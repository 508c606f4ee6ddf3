//! What the port promises, on the real thing.

use std::sync::Arc;

use async_trait::async_trait;
use ports::{HubModel, ModelRepository, PullStream, RepositoryError, StoredModel};

use crate::support::{World, weights};

/// A repository with the folder and the hub that it needs.
struct Standing(World);

#[async_trait]
impl ModelRepository for Standing {
    async fn pull(&self, model: &HubModel) -> Result<PullStream, RepositoryError> {
        self.0.repository.pull(model).await
    }

    fn find(&self, model: &HubModel) -> Option<StoredModel> {
        self.0.repository.find(model)
    }

    async fn list(&self) -> Result<Vec<StoredModel>, RepositoryError> {
        self.0.repository.list().await
    }

    async fn remove(&self, model: &HubModel) -> Result<(), RepositoryError> {
        self.0.repository.remove(model).await
    }
}

#[expect(clippy::unused_async, reason = "every maker is async")]
async fn repository() -> Arc<dyn ModelRepository> {
    let world = World::new();
    world.publish("org/one", &weights(3 << 20));
    world.publish("org/two", &weights(1000));
    Arc::new(Standing(world))
}

test_support::model_repository_contract!(repository);
