//! Whether the storage answers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::ObjectKey;
use ports::{HealthCheck, ObjectStorage, StoreError, Unhealthy};

/// How long an answer may take.
const WAIT: Duration = Duration::from_secs(1);

/// Asks the storage for an object that need not be there.
pub struct StorageHealth {
    storage: Arc<dyn ObjectStorage>,
}

impl StorageHealth {
    /// Asks this storage.
    pub fn new(storage: Arc<dyn ObjectStorage>) -> Self {
        Self { storage }
    }
}

#[async_trait]
impl HealthCheck for StorageHealth {
    fn name(&self) -> &'static str {
        "storage"
    }

    async fn check(&self) -> Result<(), Unhealthy> {
        let key = ObjectKey::parse("health").map_err(|error| Unhealthy(error.to_string()))?;
        match tokio::time::timeout(WAIT, self.storage.info(&key)).await {
            Ok(Ok(_) | Err(StoreError::NotFound)) => Ok(()),
            Ok(Err(error)) => Err(Unhealthy(error.to_string())),
            Err(_) => Err(Unhealthy("the storage does not answer".to_owned())),
        }
    }
}
