//! The stories of [`ports::SignInThrottle`].

use std::sync::Arc;
use std::time::Duration;

use domain::ThrottlePolicy;
use futures_util::future::join_all;
use ports::SignInThrottle;

use crate::FakeClock;

/// A throttle that knows of no failure yet.
pub struct SteppedThrottle {
    /// The throttle under test.
    pub throttle: Arc<dyn SignInThrottle>,
    /// What it takes the time from.
    pub clock: FakeClock,
}

const POLICY: ThrottlePolicy =
    ThrottlePolicy { free_failures: 5, window: Duration::from_mins(15), first_wait: Duration::from_secs(2) };
const ALICE: &str = "account:alice";

impl SteppedThrottle {
    async fn attempt(&self, subject: &str) -> Result<(), Duration> {
        self.throttle.attempt(subject, POLICY).await.map_err(|wait| wait.duration)
    }

    /// Fails as often as there are no waits.
    async fn use_up_the_free_failures(&self, subject: &str) {
        for _ in 0..POLICY.free_failures {
            self.attempt(subject).await.expect("the first failures are free");
        }
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(chrono::TimeDelta::from_std(time).unwrap());
    }
}

/// Up to the window, and no further.
pub async fn after_the_free_failures_the_waits_double(throttle: &SteppedThrottle) {
    throttle.use_up_the_free_failures(ALICE).await;
    let mut waits = Vec::new();
    for _ in 0..12 {
        throttle.attempt(ALICE).await.expect("who waited may try");
        let wait = throttle.attempt(ALICE).await.expect_err("the next attempt must wait");
        waits.push(wait.as_secs());
        throttle.pass(wait);
    }
    assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
}

/// Impatience lengthens no wait.
pub async fn an_attempt_that_must_wait_is_not_counted(throttle: &SteppedThrottle) {
    throttle.use_up_the_free_failures(ALICE).await;
    throttle.attempt(ALICE).await.unwrap();
    for left in (1..=2).rev() {
        for _ in 0..10 {
            assert_eq!(throttle.attempt(ALICE).await, Err(Duration::from_secs(left)));
        }
        throttle.pass(Duration::from_secs(1));
    }
    assert_eq!(throttle.attempt(ALICE).await, Ok(()));
    assert_eq!(throttle.attempt(ALICE).await, Err(Duration::from_secs(4)));
}

/// A flood leaves one trace for each wait.
pub async fn of_a_flood_one_attempt_is_the_first_that_a_wait_turns_away(throttle: &SteppedThrottle) {
    throttle.use_up_the_free_failures(ALICE).await;
    for seconds in [2, 4] {
        throttle.attempt(ALICE).await.unwrap();
        let flood = (0..50).map(|_| {
            let throttle = Arc::clone(&throttle.throttle);
            tokio::spawn(async move { throttle.attempt(ALICE, POLICY).await.unwrap_err() })
        });
        let waits: Vec<_> = join_all(flood).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(waits.iter().filter(|wait| wait.is_first).count(), 1, "{waits:?}");
        throttle.pass(Duration::from_secs(seconds));
    }
}

/// They count as failed while they last, so guessing in parallel wins nothing.
pub async fn of_many_attempts_at_once_only_the_free_ones_and_one_more_begin(throttle: &SteppedThrottle) {
    let attempts = (0..200).map(|_| {
        let throttle = Arc::clone(&throttle.throttle);
        tokio::spawn(async move { throttle.attempt(ALICE, POLICY).await })
    });
    let begun = join_all(attempts).await.into_iter().filter(|attempt| attempt.as_ref().unwrap().is_ok()).count();
    assert_eq!(begun, 6);
}

/// Alice's failures are not Bob's, nor her address's.
pub async fn subjects_do_not_influence_each_other(throttle: &SteppedThrottle) {
    throttle.use_up_the_free_failures(ALICE).await;
    throttle.attempt(ALICE).await.unwrap();
    for other in ["account:bob", "account:alic", "account:alicex", "address:alice", "account:Alice"] {
        throttle.use_up_the_free_failures(other).await;
    }
    assert!(throttle.attempt(ALICE).await.is_err());
}

/// Whoever signs in all day is never told to wait.
pub async fn a_forgiven_attempt_leaves_no_trace(throttle: &SteppedThrottle) {
    for _ in 0..50 {
        throttle.attempt(ALICE).await.expect("nothing was held against her");
        throttle.throttle.forgive(ALICE, POLICY).await;
    }
    throttle.use_up_the_free_failures(ALICE).await;
    throttle.attempt(ALICE).await.unwrap();
    assert_eq!(throttle.attempt(ALICE).await, Err(Duration::from_secs(2)), "the waits begin where they always do");
}

/// The failures before it are still held against its subject.
pub async fn forgiving_takes_back_one_failure_and_its_wait(throttle: &SteppedThrottle) {
    throttle.use_up_the_free_failures(ALICE).await;
    throttle.attempt(ALICE).await.unwrap();
    assert!(throttle.attempt(ALICE).await.is_err());
    throttle.throttle.forgive(ALICE, POLICY).await;
    assert_eq!(throttle.attempt(ALICE).await, Ok(()), "the wait went with the failure");
    assert_eq!(throttle.attempt(ALICE).await, Err(Duration::from_secs(2)), "the five before it did not");
}

/// The right password, after many wrong ones.
pub async fn clearing_forgets_every_failure(throttle: &SteppedThrottle) {
    throttle.use_up_the_free_failures(ALICE).await;
    throttle.attempt(ALICE).await.unwrap();
    assert!(throttle.attempt(ALICE).await.is_err());
    throttle.throttle.clear(ALICE).await;
    throttle.use_up_the_free_failures(ALICE).await;
}

/// It begins when the last wait has ended.
pub async fn failures_are_forgotten_after_a_quiet_window(throttle: &SteppedThrottle) {
    throttle.use_up_the_free_failures(ALICE).await;
    throttle.attempt(ALICE).await.unwrap();
    throttle.pass(Duration::from_secs(1) + POLICY.window + Duration::from_micros(999_999));
    throttle.attempt(ALICE).await.unwrap();
    assert_eq!(throttle.attempt(ALICE).await, Err(Duration::from_secs(4)), "a moment before, they are remembered");
    throttle.pass(Duration::from_secs(4) + POLICY.window);
    throttle.use_up_the_free_failures(ALICE).await;
}

/// The attempt was cleared in between, perhaps, or forgotten.
pub async fn nothing_comes_of_forgiving_or_clearing_who_never_failed(throttle: &SteppedThrottle) {
    throttle.throttle.forgive(ALICE, POLICY).await;
    throttle.throttle.clear(ALICE).await;
    throttle.throttle.forgive(ALICE, POLICY).await;
    throttle.use_up_the_free_failures(ALICE).await;
    throttle.attempt(ALICE).await.unwrap();
    assert!(throttle.attempt(ALICE).await.is_err(), "no credit was gathered");
}

/// Account names come from outside.
pub async fn whatever_a_subject_is_called_its_failures_count(throttle: &SteppedThrottle) {
    let long = "x".repeat(10_000);
    for name in ["", " ", "a b\r\nc", "\0", "ñ🐦", "{user}:*", &long] {
        throttle.use_up_the_free_failures(name).await;
        throttle.attempt(name).await.unwrap();
        assert!(throttle.attempt(name).await.is_err(), "{name:.20}");
    }
    assert_eq!(throttle.attempt(&"x".repeat(9_999)).await, Ok(()), "long names are told apart");
}

/// Makes a test of every story, of what `$make` gives.
#[macro_export]
macro_rules! sign_in_throttle_contract {
    ($make:path) => {
        $crate::stories! {
            $make, sign_in_throttle,
            after_the_free_failures_the_waits_double,
            an_attempt_that_must_wait_is_not_counted,
            of_a_flood_one_attempt_is_the_first_that_a_wait_turns_away,
            of_many_attempts_at_once_only_the_free_ones_and_one_more_begin,
            subjects_do_not_influence_each_other,
            a_forgiven_attempt_leaves_no_trace,
            forgiving_takes_back_one_failure_and_its_wait,
            clearing_forgets_every_failure,
            failures_are_forgotten_after_a_quiet_window,
            nothing_comes_of_forgiving_or_clearing_who_never_failed,
            whatever_a_subject_is_called_its_failures_count,
        }
    };
}
