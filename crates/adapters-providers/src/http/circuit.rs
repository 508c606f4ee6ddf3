//! A breaker that callers share, and the permit by which each hands in its outcome.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::breaker::{Admission, BreakerConfig, BreakerState, CircuitBreaker};

/// The breaker of one provider at one base URL.
pub struct Circuit {
    provider: &'static str,
    breaker: Mutex<CircuitBreaker>,
}

impl Circuit {
    pub(super) fn new(provider: &'static str, config: BreakerConfig) -> Arc<Self> {
        Arc::new(Self { provider, breaker: Mutex::new(CircuitBreaker::new(config)) })
    }

    /// Whether the provider is called now.
    pub fn state(&self) -> BreakerState {
        self.lock().state(Instant::now())
    }

    /// Lets a caller through, or says how long to wait.
    pub(super) fn admit(self: &Arc<Self>) -> Result<Permit, Duration> {
        let admission = self.lock().admit(Instant::now())?;
        Ok(Permit { circuit: Arc::clone(self), admission, settled: false })
    }

    fn lock(&self) -> MutexGuard<'_, CircuitBreaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to call the provider. Dropped without an outcome, it says that nothing was learnt.
pub(super) struct Permit {
    circuit: Arc<Circuit>,
    admission: Admission,
    settled: bool,
}

impl Permit {
    /// The provider began to answer.
    pub(super) fn answered(&self) {
        if self.circuit.lock().answered(self.admission) {
            tracing::info!(provider = self.circuit.provider, "the provider answers again");
        }
    }

    /// It answered to the end.
    pub(super) fn succeeded(&mut self) {
        self.settled = true;
        self.circuit.lock().succeeded();
    }

    /// It could not be reached or broke off.
    pub(super) fn failed(&mut self) {
        if !std::mem::replace(&mut self.settled, true) && self.circuit.lock().failed(self.admission, Instant::now()) {
            tracing::warn!(provider = self.circuit.provider, "the provider keeps failing: it is left alone for a while");
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.settled {
            self.circuit.lock().abandoned(self.admission, Instant::now());
        }
    }
}
