//! Settings of how much each caller may ask for, and of the Redis by which replicas share the counting.

use std::time::Duration;

use adapters_limits::{DEFAULT_MAX_SUBJECTS, RedisConfig};
use domain::RateLimit;
use secrecy::SecretString;

use super::{ConfigError, Reader};

/// What applies where an admin made no exception, and where it is counted.
#[derive(Debug, Clone)]
pub(crate) struct LimitsConfig {
    /// Of a user.
    pub(crate) requests: RateLimit,
    /// Of an address that is not signed in.
    pub(crate) guest_requests: RateLimit,
    /// Of a user; `None` is without limit.
    pub(crate) tokens_per_day: Option<u64>,
    /// How many users and addresses this process remembers.
    pub(crate) max_subjects: usize,
    /// `None` to count in this process alone.
    pub(crate) redis: Option<RedisConfig>,
}

impl LimitsConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, ConfigError> {
        let tokens_per_day = reader.number("TOKENS_PER_DAY", 0, 0..=1 << 50)?;
        Ok(Self {
            requests: per_minute(reader, "REQUESTS_PER_MINUTE", 600)?,
            guest_requests: per_minute(reader, "GUEST_REQUESTS_PER_MINUTE", 60)?,
            tokens_per_day: (tokens_per_day > 0).then_some(tokens_per_day),
            max_subjects: reader.number("LIMITS_MAX_SUBJECTS", DEFAULT_MAX_SUBJECTS, 1000..=100_000_000)?,
            redis: redis(reader)?,
        })
    }
}

fn per_minute(reader: &mut Reader<'_>, name: &'static str, default: u32) -> Result<RateLimit, ConfigError> {
    let requests = reader.number(name, default, 1..=RateLimit::MAX_REQUESTS)?;
    RateLimit::per_minute(requests).map_err(|problem| ConfigError::new(name, problem.to_string()))
}

fn redis(reader: &mut Reader<'_>) -> Result<Option<RedisConfig>, ConfigError> {
    let url = reader.text("REDIS_URL");
    let key_prefix = reader.text_or("REDIS_KEY_PREFIX", "tertulia:");
    let response_timeout = Duration::from_millis(reader.number("REDIS_TIMEOUT_MS", 250, 10..=10_000)?);
    Ok(url.map(|url| RedisConfig { key_prefix, response_timeout, ..RedisConfig::of(SecretString::from(url)) }))
}
