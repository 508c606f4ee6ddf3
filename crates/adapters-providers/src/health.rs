//! Whether a provider is called now.

use std::time::Duration;

use async_trait::async_trait;
use ports::{HealthCheck, Unhealthy};
use tokio::time::Instant;

use crate::http::breaker::BreakerState;
use crate::http::{Call, Endpoint, HttpFailure};

/// `readyz` is answered within about a second.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tells whether a provider's circuit is closed.
///
/// A provider that was never called, or that answered last, is healthy: nothing is known against it, and asking it each time would cost
/// its owner. One that is left alone because it keeps failing is not; once its time is up, the check is the one who tries it, so that it
/// is found well again without anybody's request being staked on it. It is never essential: other models, accounts and histories work
/// without it, and all replicas would leave the load balancer together with it.
pub struct ProviderHealth {
    endpoint: Endpoint,
    /// What is asked for to try it: something cheap.
    probe_path: &'static str,
}

impl ProviderHealth {
    /// Watches this endpoint's circuit.
    pub const fn new(endpoint: Endpoint, probe_path: &'static str) -> Self {
        Self { endpoint, probe_path }
    }
}

#[async_trait]
impl HealthCheck for ProviderHealth {
    fn name(&self) -> &'static str {
        self.endpoint.provider()
    }

    async fn check(&self) -> Result<(), Unhealthy> {
        match self.endpoint.circuit().state() {
            BreakerState::Closed => Ok(()),
            BreakerState::Open { retry_in } if retry_in.is_zero() => {
                let call = Call::get(self.probe_path, Instant::now() + PATIENCE).once_within(PATIENCE);
                match self.endpoint.call(call).await {
                    Ok(_) => Ok(()),
                    // Whatever it thinks of us, it is there.
                    Err(HttpFailure::Refused(refusal)) if !matches!(refusal.status, 502..=504) => Ok(()),
                    Err(failure) => Err(Unhealthy(failure.to_string())),
                }
            }
            BreakerState::Open { retry_in } => Err(Unhealthy(HttpFailure::CircuitOpen { retry_in }.to_string())),
            BreakerState::HalfOpen => Err(Unhealthy("it kept failing and is being tried again".to_owned())),
        }
    }

    fn is_essential(&self) -> bool {
        false
    }
}
