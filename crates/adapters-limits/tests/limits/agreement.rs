//! The scripts and the domain say the same, whatever happens: also to the nanosecond, and where the clock is set back.

use std::time::Duration;

use chrono::TimeDelta;
use domain::{RateLimit, ThrottlePolicy};
use ports::{RateLimiter, SignInThrottle};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use test_support::{FakeClock, FakeRateLimiter, FakeSignInThrottle};

use crate::support::{limiter_on_redis, throttle_on_redis};

/// Mostly the small steps of a busy caller, at times a long pause, rarely a clock that is set back.
fn a_step_us() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => 0_i64..2_000,
        4 => 0_i64..20_000_000,
        2 => 0_i64..3_000_000_000,
        1 => -3_000_000_000_i64..0,
    ]
}

fn a_limit() -> impl Strategy<Value = RateLimit> {
    prop_oneof![4 => 1_u32..10, 2 => 10_u32..1_000, 1 => 1_000..=RateLimit::MAX_REQUESTS]
        .prop_map(|requests| RateLimit::per_minute(requests).unwrap())
}

fn a_policy() -> impl Strategy<Value = ThrottlePolicy> {
    (0_u32..4, 1_u64..1_000_000_000, 0_u64..100_000_000).prop_map(|(free_failures, window_us, first_wait_us)| ThrottlePolicy {
        free_failures,
        window: Duration::from_micros(window_us),
        first_wait: Duration::from_micros(first_wait_us),
    })
}

fn a_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn a_runner() -> TestRunner {
    TestRunner::new(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })
}

#[test]
fn the_rate_script_judges_as_the_domain_does() {
    let runtime = a_runtime();
    let limits = prop::collection::vec(a_limit(), 1..3);
    let steps = prop::collection::vec((a_step_us(), 0_usize..2, any::<prop::sample::Index>()), 1..80);
    let judged = a_runner().run(&(limits, steps), |(limits, steps)| {
        runtime.block_on(async {
            let clock = FakeClock::default();
            let model = FakeRateLimiter::on(clock.clone());
            let redis = limiter_on_redis(clock.clone()).await;
            for (step_us, subject, limit) in steps {
                clock.advance(TimeDelta::microseconds(step_us));
                let (subject, limit) = (["user:1", "user:2"][subject], *limit.get(&limits));
                prop_assert_eq!(redis.limiter.judge(subject, limit).await, model.judge(subject, limit).await);
            }
            Ok(())
        })
    });
    judged.unwrap();
}

#[derive(Debug, Clone)]
enum Deed {
    Attempt,
    Forgive,
    Clear,
}

#[test]
fn the_throttle_scripts_judge_as_the_domain_does() {
    let runtime = a_runtime();
    let deed = prop_oneof![10 => Just(Deed::Attempt), 3 => Just(Deed::Forgive), 1 => Just(Deed::Clear)];
    let steps = prop::collection::vec((a_step_us(), 0_usize..2, deed), 1..80);
    let judged = a_runner().run(&(a_policy(), steps), |(policy, steps)| {
        runtime.block_on(async {
            let clock = FakeClock::default();
            let model = FakeSignInThrottle::on(clock.clone());
            let redis = throttle_on_redis(clock.clone()).await;
            for (step_us, subject, deed) in steps {
                clock.advance(TimeDelta::microseconds(step_us));
                let subject = ["account:alice", "address:127.0.0.1"][subject];
                match deed {
                    Deed::Attempt => {
                        prop_assert_eq!(redis.throttle.attempt(subject, policy).await, model.attempt(subject, policy).await);
                    }
                    Deed::Forgive => {
                        redis.throttle.forgive(subject, policy).await;
                        model.forgive(subject, policy).await;
                    }
                    Deed::Clear => {
                        redis.throttle.clear(subject).await;
                        model.clear(subject).await;
                    }
                }
            }
            Ok(())
        })
    });
    judged.unwrap();
}
