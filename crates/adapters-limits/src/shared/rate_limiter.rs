//! Requests, counted for all replicas together.

use std::time::Duration;

use async_trait::async_trait;
use domain::{RateDecision, RateLimit};
use ports::RateLimiter;
use redis::Script;

use super::connection::SharedRedis;
use crate::MemoryRateLimiter;
use crate::subject_key::subject_key;

/// Counts requests in a Redis, so that a limit holds for all replicas together; while that is away, in this process. A request waits for
/// it no longer than [`crate::RedisConfig::response_timeout`].
///
/// Neither side learns what the other counted: when the Redis goes, and again when it comes back empty, every subject has its whole
/// limit once more.
pub struct RedisRateLimiter {
    redis: SharedRedis,
    fallback: MemoryRateLimiter,
    script: Script,
}

impl RedisRateLimiter {
    /// Counts there and, while it is away, here.
    pub fn new(redis: SharedRedis, fallback: MemoryRateLimiter) -> Self {
        Self { redis, fallback, script: Script::new(include_str!("rate.lua")) }
    }

    async fn judge_there(&self, subject: &str, limit: RateLimit) -> Option<RateDecision> {
        let config = self.redis.config();
        let mut call = self.script.key(format!("{}rate:{}", config.key_prefix, subject_key(subject)));
        call.arg(nanoseconds(limit.interval())).arg(nanoseconds(limit.burst())).arg(config.time.argument());
        let (reset_after, retry_after) = self.redis.call::<(u64, u64)>(&call).await?;
        let retry_after = (retry_after > 0).then(|| Duration::from_nanos(retry_after));
        Some(limit.decision(Duration::from_nanos(reset_after), retry_after))
    }
}

#[async_trait]
impl RateLimiter for RedisRateLimiter {
    async fn judge(&self, subject: &str, limit: RateLimit) -> RateDecision {
        match self.judge_there(subject, limit).await {
            Some(decision) => decision,
            None => self.fallback.judge(subject, limit).await,
        }
    }
}

/// A limit's times are a minute at most.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
