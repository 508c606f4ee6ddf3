//! What must be known of a Redis before it can be used.

use std::time::Duration;

use secrecy::SecretString;

use crate::TimeSource;

/// Where the Redis is and how patient to be with it.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// `redis://[[user]:password@]host[:port][/database]`, or `unix:///path`. May hold a password: it is never printed.
    pub url: SecretString,
    /// What every key begins with, so that several servers can use one Redis.
    pub key_prefix: String,
    /// How long a request waits for a judgement before it is judged in this process.
    pub response_timeout: Duration,
    /// How long a connection may take to come about. No request waits for it.
    pub connect_timeout: Duration,
    /// How long a Redis that could not be reached is left alone before it is tried again.
    pub retry_interval: Duration,
    /// Whose clock counts.
    pub time: RedisTime,
}

/// Whose clock counts.
#[derive(Debug, Clone, Default)]
pub enum RedisTime {
    /// The Redis server's, which is the same for all replicas.
    #[default]
    OfTheServer,
    /// This one: for tests, which cannot wait for an hour to pass. Whole microseconds are told apart.
    Given(TimeSource),
}

impl RedisConfig {
    /// This Redis, with the patience that suits one in the same network: 250 ms for an answer, 500 ms for a connection, a new try every
    /// second.
    pub fn of(url: SecretString) -> Self {
        Self {
            url,
            key_prefix: "tertulia:".to_owned(),
            response_timeout: Duration::from_millis(250),
            connect_timeout: Duration::from_millis(500),
            retry_interval: Duration::from_secs(1),
            time: RedisTime::OfTheServer,
        }
    }
}

impl RedisTime {
    /// What the scripts expect: microseconds, or nothing where they shall look at their own clock.
    pub(super) fn argument(&self) -> String {
        match self {
            Self::OfTheServer => String::new(),
            Self::Given(time) => time.now().as_micros().to_string(),
        }
    }
}

/// The URL cannot be used. Neither it nor its password is part of the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRedisUrl {
    /// Not a URL of a Redis.
    #[error("must be redis://[[user]:password@]host[:port][/database] or unix:///path")]
    Malformed,
    /// A `rediss://` URL.
    #[error("must not be rediss://: this server speaks to Redis without TLS; put a tunnel between them")]
    Tls,
}
