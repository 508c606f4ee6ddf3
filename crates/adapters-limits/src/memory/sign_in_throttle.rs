//! Failed sign-ins, counted in this process.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use domain::{Failures, ThrottlePolicy, ThrottleWait};
use ports::SignInThrottle;

use super::bounded_states::BoundedStates;
use crate::TimeSource;
use crate::subject_key::subject_key;

/// Counts failed sign-ins in this process alone. Bounded: when `max_subjects` are known and another comes, those whose failures are
/// forgotten anyway go first, then the one nearest to that.
#[derive(Debug)]
pub struct MemorySignInThrottle {
    failures: Mutex<BoundedStates<Failures>>,
    time: TimeSource,
}

impl MemorySignInThrottle {
    /// Knows so many subjects at most ([`crate::DEFAULT_MAX_SUBJECTS`]; at least one), and takes the time from a clock that nobody can
    /// set back.
    pub fn new(max_subjects: usize) -> Self {
        Self::with_time(max_subjects, TimeSource::monotonic())
    }

    /// The same, by another clock.
    pub fn with_time(max_subjects: usize, time: TimeSource) -> Self {
        Self { failures: Mutex::new(BoundedStates::new(max_subjects)), time }
    }

    fn failures(&self) -> MutexGuard<'_, BoundedStates<Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SignInThrottle for MemorySignInThrottle {
    async fn attempt(&self, subject: &str, policy: ThrottlePolicy) -> Result<(), ThrottleWait> {
        let subject = subject_key(subject);
        let mut failures = self.failures();
        let now = self.time.now();
        let before = failures.get(&subject);
        let judged = policy.attempt(before, now);
        let kept = match judged {
            Ok(kept) => Some(kept),
            Err(wait) if wait.is_first => before.map(|before| Failures { turned_away: true, ..before }),
            Err(_) => None,
        };
        if let Some(kept) = kept {
            failures.put(&subject, kept, policy.remembered_until(kept), now);
        }
        judged.map(drop)
    }

    async fn forgive(&self, subject: &str, policy: ThrottlePolicy) {
        let subject = subject_key(subject);
        let mut failures = self.failures();
        let Some(kept) = failures.get(&subject) else { return };
        let kept = policy.forgive(kept);
        if kept.count == 0 {
            failures.remove(&subject);
        } else {
            let now = self.time.now();
            failures.put(&subject, kept, policy.remembered_until(kept), now);
        }
    }

    async fn clear(&self, subject: &str) {
        self.failures().remove(&subject_key(subject));
    }
}
