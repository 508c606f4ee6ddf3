//! Several replicas over one Redis, by that server's own clock.

use std::sync::Arc;
use std::time::Duration;

use adapters_limits::{LimitsHealth, SharedRedis};
use domain::{RateLimit, ThrottlePolicy};
use futures_util::future::join_all;
use ports::{HealthCheck, RateLimiter, SignInThrottle};
use redis::AsyncCommands;

use crate::support::{RedisServer, a_free_port, limiter, replicas, shared_server_url, throttle};

const POLICY: ThrottlePolicy =
    ThrottlePolicy { free_failures: 5, window: Duration::from_mins(15), first_wait: Duration::from_mins(1) };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_requests_at_once_to_two_replicas_exactly_the_limit_passes() {
    let limit = RateLimit::per_minute(5).unwrap();
    let connections: [SharedRedis; 2] = replicas(&shared_server_url()).await;
    let limiters = connections.map(|redis| Arc::new(limiter(&redis)));
    let calls = limiters.iter().cycle().take(100).map(|limiter| {
        let limiter = Arc::clone(limiter);
        tokio::spawn(async move { limiter.judge("user:1", limit).await })
    });
    let passed = join_all(calls).await.into_iter().filter(|decision| decision.as_ref().unwrap().retry_after.is_none()).count();
    assert_eq!(passed, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_sign_ins_at_once_at_two_replicas_only_the_free_ones_and_one_more_begin() {
    let connections: [SharedRedis; 2] = replicas(&shared_server_url()).await;
    let throttles = connections.map(|redis| Arc::new(throttle(&redis)));
    let attempts = throttles.iter().cycle().take(100).map(|throttle| {
        let throttle = Arc::clone(throttle);
        tokio::spawn(async move { throttle.attempt("account:alice", POLICY).await })
    });
    let begun = join_all(attempts).await.into_iter().filter(|attempt| attempt.as_ref().unwrap().is_ok()).count();
    assert_eq!(begun, 6);
    throttles[0].clear("account:alice").await;
    assert_eq!(throttles[1].attempt("account:alice", POLICY).await, Ok(()), "what one replica clears is clear for the other");
}

#[tokio::test]
async fn by_the_servers_own_clock_a_wait_comes_to_its_end() {
    let limit = RateLimit::per_minute(60).unwrap();
    let [redis] = replicas(&shared_server_url()).await;
    let limiter = limiter(&redis);
    let wait = loop {
        if let Some(wait) = limiter.judge("user:1", limit).await.retry_after {
            break wait;
        }
    };
    assert!(wait <= Duration::from_secs(1), "{wait:?}");
    tokio::time::sleep(wait + Duration::from_millis(10)).await;
    assert_eq!(limiter.judge("user:1", limit).await.retry_after, None);
}

#[tokio::test]
async fn every_key_expires_and_one_that_cannot_be_read_is_written_anew() {
    let server = RedisServer::start(a_free_port(), &[]).await;
    let [redis] = replicas(&server.url()).await;
    let (limiter, throttle) = (limiter(&redis), throttle(&redis));
    let limit = RateLimit::per_minute(60).unwrap();
    let mut connection = redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap();

    for _ in 0..3 {
        limiter.judge("user:1", limit).await;
        throttle.attempt("account:alice", POLICY).await.unwrap();
        throttle.attempt("account:bob", POLICY).await.unwrap();
        throttle.attempt("account:bob", POLICY).await.unwrap();
        throttle.forgive("account:bob", POLICY).await;
        throttle.attempt("account:carol", POLICY).await.unwrap();
        throttle.forgive("account:carol", POLICY).await;
        LimitsHealth::new(redis.clone()).check().await.unwrap();

        let keys: Vec<String> = connection.keys("*").await.unwrap();
        assert_eq!(keys.len(), 4, "nothing is left of whoever just signed in: {keys:?}");
        for key in keys {
            let lifetime_ms: i64 = connection.pttl(&key).await.unwrap();
            assert!((1..=(15 * 60 + 10) * 1000).contains(&lifetime_ms), "{key}: {lifetime_ms} ms");
            let _: () = redis::pipe().del(&key).rpush(&key, "a list").query_async(&mut connection).await.unwrap();
        }
    }
    assert_eq!(limiter.judge("user:1", limit).await.remaining, 59);
}
