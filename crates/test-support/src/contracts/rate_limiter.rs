//! The stories of [`ports::RateLimiter`].

use std::sync::Arc;
use std::time::Duration;

use domain::{RateDecision, RateLimit};
use futures_util::future::join_all;
use ports::RateLimiter;

use crate::FakeClock;

/// A limiter that has judged nothing yet.
pub struct SteppedLimiter {
    /// The limiter under test.
    pub limiter: Arc<dyn RateLimiter>,
    /// What it takes the time from.
    pub clock: FakeClock,
}

impl SteppedLimiter {
    async fn judge(&self, subject: &str, limit: RateLimit) -> RateDecision {
        self.limiter.judge(subject, limit).await
    }

    /// Makes this many requests at once, each on a task of its own, and counts those that may go on.
    async fn passed_of_many_at_once(&self, subject: &str, limit: RateLimit, requests: usize) -> usize {
        let calls = (0..requests).map(|_| {
            let (limiter, subject) = (Arc::clone(&self.limiter), subject.to_owned());
            tokio::spawn(async move { limiter.judge(&subject, limit).await })
        });
        join_all(calls).await.into_iter().filter(|decision| decision.as_ref().unwrap().retry_after.is_none()).count()
    }
}

fn a_minute(requests: u32) -> RateLimit {
    RateLimit::per_minute(requests).unwrap()
}

/// And each says how many are left.
pub async fn the_whole_limit_passes_at_once_and_the_next_request_must_wait(limiter: &SteppedLimiter) {
    for left in (0..6).rev() {
        let decision = limiter.judge("user:1", a_minute(6)).await;
        assert_eq!((decision.limit, decision.remaining, decision.retry_after), (6, left, None));
    }
    let refused = limiter.judge("user:1", a_minute(6)).await;
    assert_eq!((refused.limit, refused.remaining), (6, 0));
    assert_eq!((refused.retry_after, refused.reset_after), (Some(Duration::from_secs(10)), Duration::from_mins(1)));
}

/// However the calls overlap.
pub async fn of_many_requests_at_once_exactly_the_limit_passes(limiter: &SteppedLimiter) {
    assert_eq!(limiter.passed_of_many_at_once("user:1", a_minute(20), 200).await, 20);
    limiter.clock.advance(chrono::TimeDelta::seconds(9));
    assert_eq!(limiter.passed_of_many_at_once("user:1", a_minute(20), 50).await, 3, "nine seconds let three more through");
}

/// Nor does one that begins with another's name.
pub async fn subjects_do_not_influence_each_other(limiter: &SteppedLimiter) {
    let (ones, twos) = tokio::join!(
        limiter.passed_of_many_at_once("user:1", a_minute(10), 50),
        limiter.passed_of_many_at_once("user:2", a_minute(7), 50),
    );
    assert_eq!((ones, twos), (10, 7));
    for other in ["user:", "user:11", "USER:1", "address:1", "key:1"] {
        assert_eq!(limiter.judge(other, a_minute(10)).await.remaining, 9, "{other}");
    }
}

/// Whoever keeps knocking waits no longer than who waits.
pub async fn a_refused_request_costs_nothing(limiter: &SteppedLimiter) {
    limiter.judge("user:1", a_minute(1)).await;
    for _ in 0..20 {
        let refused = limiter.judge("user:1", a_minute(1)).await;
        assert_eq!(refused.retry_after, Some(Duration::from_mins(1)));
    }
    limiter.clock.advance(chrono::TimeDelta::seconds(60));
    assert_eq!(limiter.judge("user:1", a_minute(1)).await.retry_after, None);
}

/// To the microsecond, for a limit whose turns are no whole microseconds too.
pub async fn after_the_wait_that_was_told_one_more_passes(limiter: &SteppedLimiter) {
    for requests in [7, 60, 999] {
        let limit = a_minute(requests);
        let name = format!("user:{requests}");
        for _ in 0..requests {
            limiter.judge(&name, limit).await;
        }
        let wait = limiter.judge(&name, limit).await.retry_after.unwrap();
        let wait_us = i64::try_from(wait.as_nanos().div_ceil(1000)).unwrap();
        limiter.clock.advance(chrono::TimeDelta::microseconds(wait_us - 1));
        assert!(limiter.judge(&name, limit).await.retry_after.is_some(), "{requests}: a moment too early");
        limiter.clock.advance(chrono::TimeDelta::microseconds(1));
        assert_eq!(limiter.judge(&name, limit).await.retry_after, None, "{requests}");
        assert!(limiter.judge(&name, limit).await.retry_after.is_some(), "{requests}: and only one");
    }
}

/// So a client that waits for it may use the whole limit at once again.
pub async fn after_the_reset_that_was_told_the_whole_limit_is_free(limiter: &SteppedLimiter) {
    for _ in 0..3 {
        limiter.judge("user:1", a_minute(30)).await;
    }
    let reset = limiter.judge("user:1", a_minute(30)).await.reset_after;
    assert_eq!(reset, Duration::from_secs(8));
    limiter.clock.advance(chrono::TimeDelta::from_std(reset).unwrap());
    assert_eq!(limiter.passed_of_many_at_once("user:1", a_minute(30), 50).await, 30);
}

/// An admin changes it while its subject is at work; what was used of the old one is used of the new one.
pub async fn another_limit_applies_from_the_next_request_on(limiter: &SteppedLimiter) {
    for _ in 0..30 {
        limiter.judge("user:1", a_minute(60)).await;
    }
    assert_eq!(limiter.judge("user:1", a_minute(6)).await.remaining, 2);
    assert_eq!(limiter.judge("user:1", a_minute(600)).await.remaining, 199);
}

/// Names come from outside.
pub async fn whatever_a_subject_is_called_it_is_counted(limiter: &SteppedLimiter) {
    for name in ["", " ", "a b\r\nc", "\0", "ñ🐦", "{user}:*", &"x".repeat(10_000)] {
        assert_eq!(limiter.passed_of_many_at_once(name, a_minute(2), 5).await, 2, "{name:.20}");
    }
    assert_eq!(limiter.judge(&"x".repeat(9_999), a_minute(2)).await.remaining, 1, "long names are told apart");
}

/// Makes a test of every story, of what `$make` gives.
#[macro_export]
macro_rules! rate_limiter_contract {
    ($make:path) => {
        $crate::stories! {
            $make, rate_limiter,
            the_whole_limit_passes_at_once_and_the_next_request_must_wait,
            of_many_requests_at_once_exactly_the_limit_passes,
            subjects_do_not_influence_each_other,
            a_refused_request_costs_nothing,
            after_the_wait_that_was_told_one_more_passes,
            after_the_reset_that_was_told_the_whole_limit_is_free,
            another_limit_applies_from_the_next_request_on,
            whatever_a_subject_is_called_it_is_counted,
        }
    };
}
