//! Failed sign-ins, counted for all replicas together.

use std::time::Duration;

use async_trait::async_trait;
use domain::{ThrottlePolicy, ThrottleWait};
use ports::SignInThrottle;
use redis::{Script, ScriptInvocation};

use super::connection::SharedRedis;
use crate::MemorySignInThrottle;
use crate::subject_key::subject_key;

/// Counts failed sign-ins in a Redis, so that waits hold for all replicas together; while that is away, in this process. A sign-in waits
/// for it no longer than [`crate::RedisConfig::response_timeout`] a call.
///
/// Neither side learns what the other counted. Forgiving and clearing are done on both: an attempt may have begun on the one and end
/// when the other is in charge.
pub struct RedisSignInThrottle {
    redis: SharedRedis,
    fallback: MemorySignInThrottle,
    attempt: Script,
    forgive: Script,
    clear: Script,
}

impl RedisSignInThrottle {
    /// Counts there and, while it is away, here.
    pub fn new(redis: SharedRedis, fallback: MemorySignInThrottle) -> Self {
        Self {
            redis,
            fallback,
            attempt: Script::new(include_str!("attempt.lua")),
            forgive: Script::new(include_str!("forgive.lua")),
            clear: Script::new("return redis.call('DEL', KEYS[1])"),
        }
    }

    fn invocation<'a>(&self, script: &'a Script, subject: &str) -> ScriptInvocation<'a> {
        script.key(format!("{}sign-in:{}", self.redis.config().key_prefix, subject_key(subject)))
    }
}

#[async_trait]
impl SignInThrottle for RedisSignInThrottle {
    async fn attempt(&self, subject: &str, policy: ThrottlePolicy) -> Result<(), ThrottleWait> {
        let mut call = self.invocation(&self.attempt, subject);
        call.arg(policy.free_failures)
            .arg(microseconds(policy.window))
            .arg(microseconds(policy.first_wait))
            .arg(self.redis.config().time.argument());
        match self.redis.call::<(u64, u64)>(&call).await {
            Some((0, _)) => Ok(()),
            Some((wait_us, first)) => Err(ThrottleWait { duration: Duration::from_micros(wait_us), is_first: first == 1 }),
            None => self.fallback.attempt(subject, policy).await,
        }
    }

    async fn forgive(&self, subject: &str, policy: ThrottlePolicy) {
        self.redis.call::<u64>(&self.invocation(&self.forgive, subject)).await;
        self.fallback.forgive(subject, policy).await;
    }

    async fn clear(&self, subject: &str) {
        self.redis.call::<u64>(&self.invocation(&self.clear, subject)).await;
        self.fallback.clear(subject).await;
    }
}

/// Ten years at most, so that a script's sums stay exact (2^53).
fn microseconds(time: Duration) -> u64 {
    const MOST: Duration = Duration::from_hours(24 * 365 * 10);
    u64::try_from(time.min(MOST).as_nanos().div_ceil(1000)).unwrap_or(u64::MAX)
}
