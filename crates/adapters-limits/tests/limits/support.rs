//! Limiters and throttles on a stepped clock, and Redis servers to start and stop.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use adapters_limits::{
    DEFAULT_MAX_SUBJECTS, MemoryRateLimiter, MemorySignInThrottle, RedisConfig, RedisRateLimiter, RedisSignInThrottle, RedisTime,
    SharedRedis, TimeSource,
};
use ports::Clock;
use test_support::FakeClock;
use test_support::contracts::rate_limiter::SteppedLimiter;
use test_support::contracts::sign_in_throttle::SteppedThrottle;

pub async fn a_memory_limiter() -> SteppedLimiter {
    let clock = FakeClock::default();
    SteppedLimiter { limiter: Arc::new(MemoryRateLimiter::with_time(DEFAULT_MAX_SUBJECTS, time_of(&clock))), clock }
}

pub async fn a_memory_throttle() -> SteppedThrottle {
    let clock = FakeClock::default();
    SteppedThrottle { throttle: Arc::new(MemorySignInThrottle::with_time(DEFAULT_MAX_SUBJECTS, time_of(&clock))), clock }
}

pub async fn a_redis_limiter() -> SteppedLimiter {
    limiter_on_redis(FakeClock::default()).await
}

pub async fn a_redis_throttle() -> SteppedThrottle {
    throttle_on_redis(FakeClock::default()).await
}

/// What it falls back to fails the test: nothing but Redis judges.
pub async fn limiter_on_redis(clock: FakeClock) -> SteppedLimiter {
    let fallback = MemoryRateLimiter::with_time(1, nobody_should_ask());
    SteppedLimiter { limiter: Arc::new(RedisRateLimiter::new(stepped(&shared_server_url(), &clock).await, fallback)), clock }
}

/// What it falls back to fails the test: nothing but Redis judges.
pub async fn throttle_on_redis(clock: FakeClock) -> SteppedThrottle {
    let fallback = MemorySignInThrottle::with_time(1, nobody_should_ask());
    SteppedThrottle { throttle: Arc::new(RedisSignInThrottle::new(stepped(&shared_server_url(), &clock).await, fallback)), clock }
}

fn nobody_should_ask() -> TimeSource {
    TimeSource::new(|| panic!("this was judged in memory"))
}

pub async fn a_limiter_without_redis() -> SteppedLimiter {
    let clock = FakeClock::default();
    let fallback = MemoryRateLimiter::with_time(DEFAULT_MAX_SUBJECTS, time_of(&clock));
    SteppedLimiter { limiter: Arc::new(RedisRateLimiter::new(stepped(&url_of(a_free_port()), &clock).await, fallback)), clock }
}

pub async fn a_throttle_without_redis() -> SteppedThrottle {
    let clock = FakeClock::default();
    let fallback = MemorySignInThrottle::with_time(DEFAULT_MAX_SUBJECTS, time_of(&clock));
    SteppedThrottle {
        throttle: Arc::new(RedisSignInThrottle::new(stepped(&url_of(a_free_port()), &clock).await, fallback)),
        clock,
    }
}

async fn stepped(url: &str, clock: &FakeClock) -> SharedRedis {
    let config = RedisConfig { time: RedisTime::Given(time_of(clock)), ..patient(url) };
    SharedRedis::connect(config).await.unwrap()
}

/// With an empty space of keys to itself, and the patience of a machine that does other things besides.
fn patient(url: &str) -> RedisConfig {
    RedisConfig {
        key_prefix: format!("{}:", uuid::Uuid::new_v4()),
        response_timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(10),
        ..RedisConfig::of(url.to_owned().into())
    }
}

/// Replicas of one server: each has a connection of its own to the same Redis and the same keys, and that server's time.
pub async fn replicas<const N: usize>(url: &str) -> [SharedRedis; N] {
    let config = patient(url);
    let mut connections = Vec::new();
    for _ in 0..N {
        connections.push(SharedRedis::connect(config.clone()).await.unwrap());
    }
    connections.try_into().ok().unwrap()
}

/// A connection that finds out soon that its Redis is away, and that it is back.
pub async fn impatient(url: &str) -> SharedRedis {
    let config = RedisConfig {
        response_timeout: Duration::from_millis(500),
        connect_timeout: Duration::from_millis(500),
        retry_interval: Duration::from_millis(50),
        ..patient(url)
    };
    SharedRedis::connect(config).await.unwrap()
}

pub fn limiter(redis: &SharedRedis) -> RedisRateLimiter {
    RedisRateLimiter::new(redis.clone(), MemoryRateLimiter::new(DEFAULT_MAX_SUBJECTS))
}

pub fn throttle(redis: &SharedRedis) -> RedisSignInThrottle {
    RedisSignInThrottle::new(redis.clone(), MemorySignInThrottle::new(DEFAULT_MAX_SUBJECTS))
}

fn time_of(clock: &FakeClock) -> TimeSource {
    let clock = clock.clone();
    TimeSource::new(move || (clock.now() - chrono::DateTime::UNIX_EPOCH).to_std().unwrap())
}

pub fn shared_server_url() -> String {
    setting("TEST_REDIS_URL")
}

fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set. Run `make test`, or this test alone with `scripts/with-test-redis.sh cargo nextest run NAME`")
    })
}

pub fn url_of(port: u16) -> String {
    format!("redis://127.0.0.1:{port}/")
}

pub fn a_free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A Redis of the test's own, stopped when dropped.
pub struct RedisServer {
    process: Child,
    pub port: u16,
}

impl RedisServer {
    /// Starts a server with these options and waits until it answers.
    pub async fn start(port: u16, options: &[&str]) -> Self {
        let port_text = port.to_string();
        let process = Command::new(setting("TEST_REDIS_SERVER"))
            .args(["--port", &port_text, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(options)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        let server = Self { process, port };
        tokio::time::timeout(Duration::from_secs(10), async {
            while tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("redis-server answers");
        server
    }

    pub fn url(&self) -> String {
        url_of(self.port)
    }

    /// Lets it hang: its socket stays open, and nothing answers.
    pub fn hang(&self) {
        self.signal("-STOP");
    }

    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.process.kill().expect("the server was running");
        self.process.wait().expect("the server ends");
    }
}
