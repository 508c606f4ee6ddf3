//! Who may call how often: the adapters of [`ports::RateLimiter`] and [`ports::SignInThrottle`].
//!
//! The rules are the domain's pure functions; what differs is where their state is kept. [`MemoryRateLimiter`] and
//! [`MemorySignInThrottle`] keep it in this process, for a server that runs alone. [`RedisRateLimiter`] and [`RedisSignInThrottle`] keep
//! it in a Redis that several replicas share, and judge in a script there, so that two replicas never read the same state at once. When
//! that Redis is away they judge in memory, each replica for itself, until it is back; [`SharedRedis`] notices both and
//! [`LimitsHealth`] tells.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod memory;
mod shared;
mod subject_key;
mod time_source;

pub use memory::{DEFAULT_MAX_SUBJECTS, MemoryRateLimiter, MemorySignInThrottle};
pub use shared::{InvalidRedisUrl, LimitsHealth, RedisConfig, RedisRateLimiter, RedisSignInThrottle, RedisTime, SharedRedis};
pub use time_source::TimeSource;
