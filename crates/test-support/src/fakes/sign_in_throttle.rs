//! A sign-in throttle on a clock that a test moves.

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use domain::{Failures, ThrottlePolicy, ThrottleWait};
use ports::SignInThrottle;

use super::rate_limiter::since_epoch;
use crate::FakeClock;

/// Applies the domain's rule to what it keeps of every subject.
#[derive(Debug, Default)]
pub struct FakeSignInThrottle {
    clock: FakeClock,
    failures: Mutex<HashMap<String, Failures>>,
}

impl FakeSignInThrottle {
    /// Judges by this clock.
    pub fn on(clock: FakeClock) -> Self {
        Self { clock, failures: Mutex::default() }
    }
}

#[async_trait]
impl SignInThrottle for FakeSignInThrottle {
    async fn attempt(&self, subject: &str, policy: ThrottlePolicy) -> Result<(), ThrottleWait> {
        let mut failures = self.failures.lock().unwrap();
        let judged = policy.attempt(failures.get(subject).copied(), since_epoch(&self.clock));
        match judged {
            Ok(kept) => drop(failures.insert(subject.to_owned(), kept)),
            Err(_) => failures.get_mut(subject).expect("who must wait has failed").turned_away = true,
        }
        judged.map(drop)
    }

    async fn forgive(&self, subject: &str, policy: ThrottlePolicy) {
        if let Some(kept) = self.failures.lock().unwrap().get_mut(subject) {
            *kept = policy.forgive(*kept);
        }
    }

    async fn clear(&self, subject: &str) {
        self.failures.lock().unwrap().remove(subject);
    }
}
