//! The adapters of several replicas: the state lies in a Redis (5 or later) that they share.
//!
//! A judgement is one call of a script there, so it is atomic, and its time is that server's, so the replicas' clocks need not agree.
//! Every key belongs to one subject and expires by itself. Nothing else is asked of the server: it needs no disk, and an eviction policy
//! such as `volatile-ttl` where its memory is bounded.

mod config;
mod connection;
mod health;
mod rate_limiter;
mod sign_in_throttle;

pub use config::{InvalidRedisUrl, RedisConfig, RedisTime};
pub use connection::SharedRedis;
pub use health::LimitsHealth;
pub use rate_limiter::RedisRateLimiter;
pub use sign_in_throttle::RedisSignInThrottle;
