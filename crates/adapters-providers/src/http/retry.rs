//! What to repeat, and after how long.
//!
//! A generation costs money, so only what cannot have begun one is repeated: a connection that never came about, and a refusal that says
//! so. An answer that broke off, or never came, is the caller's to repeat.

use std::time::Duration;

use super::failure::HttpFailure;

/// How often, and how patiently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries in all; 1 repeats nothing.
    pub max_attempts: u32,
    /// The first wait; each further one doubles it.
    pub first_wait: Duration,
    /// The longest wait. A provider that asks for more is not waited for.
    pub longest_wait: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_attempts: 3, first_wait: Duration::from_millis(100), longest_wait: Duration::from_secs(2) }
    }
}

impl RetryPolicy {
    /// Whoever has no time for a second try.
    pub const ONCE: Self = Self { max_attempts: 1, first_wait: Duration::ZERO, longest_wait: Duration::ZERO };

    /// How long to wait after the try number `attempt` (from 1) failed so, or `None` where it is not to be repeated.
    ///
    /// `chance` between 0 and 1 spreads the waits of many callers, so that they do not come back together.
    pub fn wait_after(&self, attempt: u32, failure: &HttpFailure, chance: f64) -> Option<Duration> {
        if attempt >= self.max_attempts {
            return None;
        }
        let backoff = self.first_wait.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(self.longest_wait);
        let jittered = backoff.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
        match failure {
            HttpFailure::Unreachable { .. } => Some(jittered),
            HttpFailure::Refused(refusal) => match (refusal.status, refusal.retry_after) {
                (429 | 502..=504, Some(asked)) => (asked <= self.longest_wait).then(|| asked + jittered),
                (502 | 503, None) => Some(jittered),
                // A gateway that gave up waiting leaves a generation running behind it; a limit without a date may be the month's.
                _ => None,
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Refusal;

    const POLICY: RetryPolicy =
        RetryPolicy { max_attempts: 3, first_wait: Duration::from_millis(100), longest_wait: Duration::from_secs(2) };

    fn refused(status: u16, retry_after_ms: Option<u64>) -> HttpFailure {
        HttpFailure::Refused(Box::new(Refusal::new(status, retry_after_ms.map(Duration::from_millis), b"{}", &[])))
    }

    #[test]
    fn a_connection_that_did_not_come_about_is_tried_again_after_growing_waits() {
        let failure = HttpFailure::Unreachable { cause: String::new() };
        let waits: Vec<_> = (1..=3).map(|attempt| POLICY.wait_after(attempt, &failure, 1.0)).collect();
        assert_eq!(waits, [Some(Duration::from_millis(100)), Some(Duration::from_millis(200)), None]);
        assert_eq!(POLICY.wait_after(1, &failure, 0.0), Some(Duration::from_millis(50)));
        assert_eq!(RetryPolicy::ONCE.wait_after(1, &failure, 0.5), None);
    }

    #[test]
    fn a_provider_that_asks_for_a_moment_gets_it_and_one_that_asks_for_more_does_not() {
        for status in [429, 502, 503, 504] {
            let wait = POLICY.wait_after(1, &refused(status, Some(1000)), 0.5).unwrap();
            assert!(wait >= Duration::from_secs(1), "never before the time it named");
            assert_eq!(POLICY.wait_after(1, &refused(status, Some(60_000)), 0.5), None);
        }
    }

    #[test]
    fn what_may_have_begun_is_never_repeated() {
        let silent = HttpFailure::Silent { patience: Duration::ZERO };
        let broken = HttpFailure::Broken { cause: String::new() };
        for failure in [silent, broken, HttpFailure::DeadlineExceeded, HttpFailure::Redirected, refused(504, None)] {
            assert_eq!(POLICY.wait_after(1, &failure, 0.5), None, "{failure:?}");
        }
        for status in [400, 401, 404, 429, 500] {
            assert_eq!(POLICY.wait_after(1, &refused(status, None), 0.5), None, "{status}");
        }
    }
}
