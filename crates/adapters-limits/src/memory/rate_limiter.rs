//! Requests, counted in this process.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::{RateDecision, RateLimit};
use ports::RateLimiter;

use super::bounded_states::BoundedStates;
use crate::TimeSource;
use crate::subject_key::subject_key;

/// Counts requests in this process alone. Bounded: when `max_subjects` are known and another comes, those whose limit is all free again
/// are forgotten first, then the one nearest to that.
#[derive(Debug)]
pub struct MemoryRateLimiter {
    arrivals: Mutex<BoundedStates<Duration>>,
    time: TimeSource,
}

impl MemoryRateLimiter {
    /// Knows so many subjects at most ([`crate::DEFAULT_MAX_SUBJECTS`]; at least one), and takes the time from a clock that nobody can
    /// set back.
    pub fn new(max_subjects: usize) -> Self {
        Self::with_time(max_subjects, TimeSource::monotonic())
    }

    /// The same, by another clock.
    pub fn with_time(max_subjects: usize, time: TimeSource) -> Self {
        Self { arrivals: Mutex::new(BoundedStates::new(max_subjects)), time }
    }
}

#[async_trait]
impl RateLimiter for MemoryRateLimiter {
    async fn judge(&self, subject: &str, limit: RateLimit) -> RateDecision {
        let subject = subject_key(subject);
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.time.now();
        let kept = arrivals.get(&subject);
        let (arrival, decision) = limit.judge(kept, now);
        if kept != Some(arrival) {
            arrivals.put(&subject, arrival, arrival, now);
        }
        decision
    }
}
