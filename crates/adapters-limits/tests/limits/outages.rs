//! What becomes of the limits when their Redis goes away, hangs, is full, or refuses.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapters_limits::{InvalidRedisUrl, LimitsHealth, RedisConfig, SharedRedis};
use domain::{RateLimit, ThrottlePolicy};
use ports::{HealthCheck, RateLimiter, SignInThrottle};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{RedisServer, a_free_port, impatient, limiter, throttle, url_of};

/// Long enough for the slowest machine; what is awaited takes a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(20);
const POLICY: ThrottlePolicy =
    ThrottlePolicy { free_failures: 2, window: Duration::from_mins(15), first_wait: Duration::from_mins(1) };

fn five() -> RateLimit {
    RateLimit::per_minute(5).unwrap()
}

async fn until_healthy(redis: &SharedRedis) {
    let health = LimitsHealth::new(redis.clone());
    tokio::time::timeout(PATIENCE, async {
        while health.check().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the limits recover by themselves");
}

async fn passed_of_twenty(limiter: &impl RateLimiter, subject: &str) -> usize {
    let mut passed = 0;
    for _ in 0..20 {
        passed += usize::from(limiter.judge(subject, five()).await.retry_after.is_none());
    }
    passed
}

/// The log of this thread, on which the whole runtime of a plain `#[tokio::test]` lives.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn of_this_thread() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let subscriber =
            tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).with_max_level(tracing::Level::TRACE);
        (log, tracing::subscriber::set_default(subscriber.finish()))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// How many lines there are of a level.
    fn count(&self, level: &str) -> usize {
        self.text().lines().filter(|line| line.contains(level) && line.contains("adapters_limits")).count()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn when_redis_is_killed_limits_hold_per_replica_and_when_it_is_back_they_are_shared_again() {
    let (log, _guard) = Log::of_this_thread();
    let server = RedisServer::start(a_free_port(), &[]).await;
    let port = server.port;
    let redis = impatient(&server.url()).await;
    let (limiter, throttle, health) = (limiter(&redis), throttle(&redis), LimitsHealth::new(redis.clone()));
    assert_eq!(passed_of_twenty(&limiter, "user:1").await, 5);
    assert_eq!((health.name(), health.check().await), ("limits", Ok(())));

    drop(server);
    assert_eq!(passed_of_twenty(&limiter, "user:1").await, 5, "limited, by this replica alone");
    for _ in 0..3 {
        throttle.attempt("account:alice", POLICY).await.unwrap();
    }
    assert!(throttle.attempt("account:alice", POLICY).await.is_err(), "guessing has to wait as ever");
    let unhealthy = health.check().await.unwrap_err();
    assert_eq!(unhealthy.0, "degraded: Redis cannot be reached; limits hold per replica");
    assert_eq!((log.count("WARN"), log.count("INFO")), (1, 0), "{}", log.text());

    let server = RedisServer::start(port, &[]).await;
    until_healthy(&redis).await;
    assert_eq!(passed_of_twenty(&limiter, "user:2").await, 5);
    let neighbour = limiter_of_a_neighbour(&redis, &server).await;
    assert_eq!(passed_of_twenty(&neighbour, "user:2").await, 0, "the neighbour sees what was counted");
    assert_eq!((log.count("WARN"), log.count("INFO")), (1, 1), "{}", log.text());
}

async fn limiter_of_a_neighbour(redis: &SharedRedis, server: &RedisServer) -> impl RateLimiter {
    let config = RedisConfig { key_prefix: redis.key_prefix().to_owned(), ..RedisConfig::of(server.url().into()) };
    limiter(&SharedRedis::connect(config).await.unwrap())
}

#[tokio::test]
async fn a_redis_that_comes_after_the_server_is_found_by_requests_alone() {
    let (log, _guard) = Log::of_this_thread();
    let port = a_free_port();
    let redis = impatient(&url_of(port)).await;
    let limiter = limiter(&redis);
    assert_eq!(passed_of_twenty(&limiter, "user:1").await, 5);
    assert_eq!((log.count("WARN"), log.count("INFO")), (1, 0), "{}", log.text());

    let _server = RedisServer::start(port, &[]).await;
    tokio::time::timeout(PATIENCE, async {
        // The empty Redis knows of nothing that this process counted.
        while limiter.judge("user:1", five()).await.retry_after.is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("requests find the Redis");
    assert_eq!((log.count("WARN"), log.count("INFO")), (1, 1), "{}", log.text());
}

#[tokio::test]
async fn a_redis_that_hangs_is_waited_for_once_and_not_by_every_request() {
    let server = RedisServer::start(a_free_port(), &[]).await;
    let redis = impatient(&server.url()).await;
    let limiter = limiter(&redis);
    assert_eq!(limiter.judge("user:1", five()).await.remaining, 4);

    server.hang();
    // Were every one of them to wait for half a second, this would take four minutes.
    let judged = tokio::time::timeout(PATIENCE, async {
        for n in 0..500 {
            assert_eq!(limiter.judge(&format!("user:{n}"), five()).await.remaining, 4);
        }
    });
    judged.await.expect("requests do not queue up behind a Redis that hangs");

    server.go_on();
    until_healthy(&redis).await;
    assert_eq!(limiter.judge("user:1", five()).await.remaining, 3, "it still knows what it counted");
}

#[tokio::test]
async fn a_redis_that_is_full_is_away_until_it_has_room() {
    let (log, _guard) = Log::of_this_thread();
    let server = RedisServer::start(a_free_port(), &["--maxmemory-policy", "noeviction"]).await;
    let redis = impatient(&server.url()).await;
    let limiter = limiter(&redis);
    let mut admin = redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let set_memory = |bytes: &'static str| redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes).to_owned();

    let _: () = set_memory("1000").query_async(&mut admin).await.unwrap();
    assert_eq!(passed_of_twenty(&limiter, "user:1").await, 5);
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert!(LimitsHealth::new(redis.clone()).check().await.is_err());
    }
    assert_eq!((log.count("WARN"), log.count("INFO")), (1, 0), "it does not come and go: {}", log.text());

    let _: () = set_memory("0").query_async(&mut admin).await.unwrap();
    until_healthy(&redis).await;
    assert_eq!((log.count("WARN"), log.count("INFO")), (1, 1), "{}", log.text());
}

#[tokio::test]
async fn a_password_opens_the_redis_and_appears_nowhere() {
    let (log, _guard) = Log::of_this_thread();
    let server = RedisServer::start(a_free_port(), &["--requirepass", "opensesame"]).await;
    let with = |password: &str| format!("redis://:{password}@127.0.0.1:{}/", server.port);
    let config = RedisConfig::of(with("opensesame").into());
    assert!(!format!("{config:?}").contains("opensesame"));
    LimitsHealth::new(impatient(&with("opensesame")).await).check().await.unwrap();

    let refused = impatient(&with("openbarley")).await;
    assert!(LimitsHealth::new(refused.clone()).check().await.is_err());
    assert_eq!(passed_of_twenty(&limiter(&refused), "user:1").await, 5);
    assert_eq!(log.count("WARN"), 1);
    assert!(!log.text().contains("opensesame") && !log.text().contains("openbarley"), "{}", log.text());
}

#[tokio::test]
async fn a_url_that_cannot_be_used_is_refused_without_being_repeated() {
    for (url, error) in [
        ("", InvalidRedisUrl::Malformed),
        ("http://user:opensesame@localhost", InvalidRedisUrl::Malformed),
        ("redis://user:opensesame@localhost/not-a-number", InvalidRedisUrl::Malformed),
        ("rediss://user:opensesame@localhost", InvalidRedisUrl::Tls),
    ] {
        let refused = SharedRedis::connect(RedisConfig::of(url.into())).await.err();
        assert_eq!(refused.as_ref(), Some(&error), "{url}");
        assert!(!error.to_string().contains("opensesame"));
    }
}
