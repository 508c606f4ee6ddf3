//! Whether the server can do its work.

use std::sync::Arc;

use futures_util::future::join_all;
use ports::{HealthCheck, Unhealthy};

/// How a part of the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartHealth {
    /// It can do its work.
    Healthy,
    /// It cannot, and the server does its work without it, if less well.
    Degraded(Unhealthy),
    /// It cannot, and so the server cannot.
    Failing(Unhealthy),
}

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
    pub async fn readiness(&self) -> Vec<(&'static str, PartHealth)> {
        let ask = async |check: &Arc<dyn HealthCheck>| {
            let health = match check.check().await {
                Ok(()) => PartHealth::Healthy,
                Err(problem) if check.is_essential() => PartHealth::Failing(problem),
                Err(problem) => PartHealth::Degraded(problem),
            };
            (check.name(), health)
        };
        join_all(self.checks.iter().map(ask)).await
    }
}
