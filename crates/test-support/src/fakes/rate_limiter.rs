//! A rate limiter on a clock that a test moves.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use domain::{RateDecision, RateLimit};
use ports::{Clock, RateLimiter};

use crate::FakeClock;

/// Applies the domain's rule to what it keeps of every subject, for ever.
#[derive(Debug, Default)]
pub struct FakeRateLimiter {
    clock: FakeClock,
    arrivals: Mutex<HashMap<String, Duration>>,
}

impl FakeRateLimiter {
    /// Judges by this clock.
    pub fn on(clock: FakeClock) -> Self {
        Self { clock, arrivals: Mutex::default() }
    }
}

#[async_trait]
impl RateLimiter for FakeRateLimiter {
    async fn judge(&self, subject: &str, limit: RateLimit) -> RateDecision {
        let mut arrivals = self.arrivals.lock().unwrap();
        let (arrival, decision) = limit.judge(arrivals.get(subject).copied(), since_epoch(&self.clock));
        arrivals.insert(subject.to_owned(), arrival);
        decision
    }
}

/// What a clock shows, as the time since 1970.
pub(super) fn since_epoch(clock: &FakeClock) -> Duration {
    (clock.now() - chrono::DateTime::UNIX_EPOCH).to_std().expect("a test's clock is set after 1970")
}
