//! Whether the server can do its work.

use std::sync::Arc;

use domain::Timestamp;
use futures_util::future::join_all;
use futures_util::lock::Mutex;
use ports::{Clock, HealthCheck, Unhealthy};

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

/// How every part is, by its name.
type Readiness = Vec<(&'static str, PartHealth)>;

/// How long an answer is given again. Anybody may ask, as often as they like, and the checks reach the database and other servers.
const FRESH_MILLISECONDS: i64 = 1000;

/// Asks every part of the server how it is.
#[derive(Clone)]
pub struct HealthService {
    checks: Vec<Arc<dyn HealthCheck>>,
    clock: Arc<dyn Clock>,
    /// Held while the parts are asked, so that all who come meanwhile get that one answer.
    last: Arc<Mutex<Option<(Timestamp, Readiness)>>>,
}

impl HealthService {
    /// Takes the parts to ask.
    pub fn new(checks: Vec<Arc<dyn HealthCheck>>, clock: Arc<dyn Clock>) -> Self {
        Self { checks, clock, last: Arc::default() }
    }

    /// Each part's name and how it is, or was within the last second; all are asked at once. A part that fails is logged.
    pub async fn readiness(&self) -> Readiness {
        let mut last = self.last.lock().await;
        let now = self.clock.now();
        if let Some((asked_at, found)) = &*last
            && (0..FRESH_MILLISECONDS).contains(&(now - *asked_at).num_milliseconds())
        {
            return found.clone();
        }
        let found = join_all(self.checks.iter().map(ask)).await;
        *last = Some((now, found.clone()));
        found
    }
}

async fn ask(check: &Arc<dyn HealthCheck>) -> (&'static str, PartHealth) {
    let part = check.name();
    let health = match check.check().await {
        Ok(()) => PartHealth::Healthy,
        Err(problem) if check.is_essential() => {
            tracing::warn!(part, %problem, "not ready");
            PartHealth::Failing(problem)
        }
        // Whoever noticed it has logged it, once; this is asked every few seconds.
        Err(problem) => PartHealth::Degraded(problem),
    };
    (part, health)
}
