//! Whether the server can do its work.

use std::sync::Arc;

use futures_util::future::join_all;
use ports::{HealthCheck, Unhealthy};

/// Asks every part of the server how it is.
#[derive(Clone)]
pub struct HealthService {
    checks: Vec<Arc<dyn HealthCheck>>,
}

impl HealthService {
    /// Takes the parts to ask.
    pub fn new(checks: Vec<Arc<dyn HealthCheck>>) -> Self {
        Self { checks }
    }

    /// Each part's name and how it is; all are asked at once.
    pub async fn readiness(&self) -> Vec<(&'static str, Result<(), Unhealthy>)> {
        join_all(self.checks.iter().map(async |check| (check.name(), check.check().await))).await
    }
}
