//! The one connection to the shared Redis: who notices that it is away, and that it is back.
//!
//! All calls are multiplexed over one connection. The first call that fails declares the Redis away; from then on calls are told so at
//! once, without waiting for anything. Every so often one of them starts a new try on a task of its own, bounded in time, and goes its
//! way. So recovery needs neither a standing task nor a request that waits for it, and the health check drives it where there are no
//! requests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, RedisResult, Script, ScriptInvocation};
use secrecy::ExposeSecret;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::config::{InvalidRedisUrl, RedisConfig};

/// A Redis that replicas share. Clones share its connection, its state and its log lines.
#[derive(Clone)]
pub struct SharedRedis(Arc<Inner>);

struct Inner {
    client: Client,
    config: RedisConfig,
    probe: Script,
    link: Mutex<Link>,
    /// Connections live here, and not on the short-lived runtime of whichever worker happened to ask.
    runtime: Handle,
}

struct Link {
    /// Counts the connections, so that a late failure of an old one is not held against a new one.
    epoch: u64,
    state: LinkState,
}

enum LinkState {
    Up(MultiplexedConnection),
    Away {
        since: Instant,
        /// When the next try may begin. Set anew when one begins, so there is one at a time.
        retry_at: Instant,
    },
}

impl SharedRedis {
    /// Takes what it needs and tries to connect, once. A Redis that is away is no error: the log says so, and limits hold per replica
    /// until it is there. Must be called on the runtime that lives as long as the server.
    pub async fn connect(config: RedisConfig) -> Result<Self, InvalidRedisUrl> {
        let url = config.url.expose_secret();
        if url.starts_with("rediss:") {
            return Err(InvalidRedisUrl::Tls);
        }
        // The library's own words may quote the URL.
        let client = Client::open(url).map_err(|_| InvalidRedisUrl::Malformed)?;
        let now = Instant::now();
        let redis = Self(Arc::new(Inner {
            client,
            config,
            probe: Script::new("redis.call('SET', KEYS[1], '', 'PX', 1000) return redis.call('TIME')[1]"),
            link: Mutex::new(Link { epoch: 0, state: LinkState::Away { since: now, retry_at: now } }),
            runtime: Handle::current(),
        }));
        if let Err(reason) = redis.try_to_connect().await {
            warn_that_it_is_away(&reason);
        }
        Ok(redis)
    }

    /// What every key begins with.
    pub fn key_prefix(&self) -> &str {
        &self.0.config.key_prefix
    }

    pub(super) fn config(&self) -> &RedisConfig {
        &self.0.config
    }

    /// Runs a script, in no more than the response timeout. `None` if the Redis is away: then nothing was waited for, save by those who
    /// find it out. The script may have run nevertheless where its answer came too late, or where the caller went away meanwhile.
    pub(super) async fn call<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Option<T> {
        let Some((mut connection, epoch)) = self.connection() else {
            if self.claim_a_try() {
                let redis = self.clone();
                self.0.runtime.spawn(async move { redis.try_again().await });
            }
            return None;
        };
        match within(self.0.config.response_timeout, script.invoke_async(&mut connection)).await {
            Ok(answer) => Some(answer),
            Err(reason) => {
                self.declare_away(epoch, &reason);
                None
            }
        }
    }

    /// Whether the Redis does its work now. Tries to connect where that is due; takes no longer than the two timeouts.
    pub(super) async fn is_up(&self) -> bool {
        if let Some((mut connection, epoch)) = self.connection() {
            return match self.probe(&mut connection).await {
                Ok(()) => true,
                Err(reason) => {
                    self.declare_away(epoch, &reason);
                    false
                }
            };
        }
        if self.claim_a_try() {
            let redis = self.clone();
            // On its own runtime and task: whoever asks may go away, and the connection stays.
            let tried = self.0.runtime.spawn(async move { redis.try_again().await }).await;
            return tried.unwrap_or(false);
        }
        false
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.0.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connection(&self) -> Option<(MultiplexedConnection, u64)> {
        let link = self.link();
        match &link.state {
            LinkState::Up(connection) => Some((connection.clone(), link.epoch)),
            LinkState::Away { .. } => None,
        }
    }

    /// Whether the caller is the one who shall try to connect.
    fn claim_a_try(&self) -> bool {
        let now = Instant::now();
        match &mut self.link().state {
            LinkState::Away { retry_at, .. } if *retry_at <= now => {
                *retry_at = now + self.0.config.connect_timeout + self.0.config.retry_interval;
                true
            }
            _ => false,
        }
    }

    async fn try_again(&self) -> bool {
        match self.try_to_connect().await {
            Ok(away_for) => {
                // A number of 128 bits would be text in a log of JSON.
                let away_for_ms = u64::try_from(away_for.as_millis()).unwrap_or(u64::MAX);
                tracing::info!(away_for_ms, "Redis is back: limits are shared by all replicas again");
                true
            }
            Err(reason) => {
                tracing::debug!(%reason, "Redis still cannot be reached");
                false
            }
        }
    }

    /// Answers for how long there was no connection.
    async fn try_to_connect(&self) -> Result<Duration, String> {
        let config = &self.0.config;
        let options = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(config.connect_timeout))
            .set_response_timeout(Some(config.response_timeout));
        let connecting = async {
            let mut connection =
                within(config.connect_timeout, self.0.client.get_multiplexed_async_connection_with_config(&options)).await?;
            self.probe(&mut connection).await.map(|()| connection)
        };
        let connected = connecting.await;
        let now = Instant::now();
        let mut link = self.link();
        let since = match &mut link.state {
            LinkState::Away { since, retry_at } => {
                *retry_at = now + config.retry_interval;
                *since
            }
            LinkState::Up(_) => now,
        };
        link.state = LinkState::Up(connected?);
        link.epoch += 1;
        Ok(now - since)
    }

    /// Asks for what a judgement needs: a script that writes. A Redis that answers but is full, read-only or still loading is away.
    async fn probe(&self, connection: &mut MultiplexedConnection) -> Result<(), String> {
        let config = &self.0.config;
        let script = self.0.probe.key(format!("{}probe", config.key_prefix));
        within(config.response_timeout, script.invoke_async::<u64>(connection)).await.map(|_| ())
    }

    fn declare_away(&self, epoch: u64, reason: &str) {
        let mut link = self.link();
        if link.epoch == epoch && matches!(link.state, LinkState::Up(_)) {
            let since = Instant::now();
            link.state = LinkState::Away { since, retry_at: since + self.0.config.retry_interval };
            drop(link);
            warn_that_it_is_away(reason);
        }
    }
}

fn warn_that_it_is_away(reason: &str) {
    tracing::warn!(%reason, "Redis cannot be reached: limits hold per replica until it is back");
}

/// The errors of the library tell of sockets and answers; none holds the URL or its password.
async fn within<T>(patience: Duration, asked: impl Future<Output = RedisResult<T>>) -> Result<T, String> {
    match timeout(patience, asked).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} ms", patience.as_millis())),
    }
}
