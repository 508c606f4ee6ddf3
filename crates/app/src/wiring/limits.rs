//! Where requests and failed sign-ins are counted: in this process, or in a Redis that replicas share.

use std::sync::Arc;
use std::time::Duration;

use adapters_limits::{
    LimitsHealth, MemoryRateLimiter, MemorySignInThrottle, RedisRateLimiter, RedisSignInThrottle, SharedRedis,
};
use ports::{HealthCheck, RateLimiter, SignInThrottle};
use services::LimitDefaults;

use crate::config::{Config, ConfigError, LimitsConfig};
use crate::start_error::StartError;

/// A generation that took as long as it may is settled well within this.
const SETTLING_TIME: Duration = Duration::from_mins(1);

/// What counts.
pub(crate) struct Counters {
    pub(crate) limiter: Arc<dyn RateLimiter>,
    pub(crate) throttle: Arc<dyn SignInThrottle>,
    /// Whether replicas count together; `None` where there is only one.
    pub(crate) health: Option<Arc<dyn HealthCheck>>,
}

/// Connects to the Redis if there is to be one. One that is away stops no start. Must be called on the main runtime.
pub(crate) async fn connect(config: &LimitsConfig) -> Result<Option<SharedRedis>, StartError> {
    let Some(redis) = config.redis.clone() else { return Ok(None) };
    let connected = SharedRedis::connect(redis).await;
    connected.map(Some).map_err(|problem| ConfigError::new("REDIS_URL", problem.to_string()).into())
}

/// Counts there where it is given, and here otherwise.
pub(crate) fn counters(config: &LimitsConfig, redis: Option<SharedRedis>) -> Counters {
    let limiter = MemoryRateLimiter::new(config.max_subjects);
    let throttle = MemorySignInThrottle::new(config.max_subjects);
    match redis {
        None => Counters { limiter: Arc::new(limiter), throttle: Arc::new(throttle), health: None },
        Some(redis) => Counters {
            limiter: Arc::new(RedisRateLimiter::new(redis.clone(), limiter)),
            throttle: Arc::new(RedisSignInThrottle::new(redis.clone(), throttle)),
            health: Some(Arc::new(LimitsHealth::new(redis))),
        },
    }
}

/// What applies where an admin made no exception.
pub(crate) fn defaults(config: &Config) -> LimitDefaults {
    LimitDefaults {
        user: config.limits.requests,
        guest: config.limits.guest_requests,
        tokens_per_day: config.limits.tokens_per_day,
        reservation_lifetime: config.generations.engine.generation_timeout + config.shutdown_grace + SETTLING_TIME,
    }
}
