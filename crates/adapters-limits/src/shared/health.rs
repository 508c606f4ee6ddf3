//! Whether limits are shared.

use async_trait::async_trait;
use ports::{HealthCheck, Unhealthy};

use super::connection::SharedRedis;

/// Tells whether the replicas share their limits.
///
/// A Redis that is away makes `check` fail, yet the server still does its work, with limits of its own. So this part is not essential:
/// `readyz` names it as degraded and stays ready, lest every replica leave the load balancer together with the Redis.
/// Asking also makes a try to connect where one is due.
#[derive(Clone)]
pub struct LimitsHealth {
    redis: SharedRedis,
}

impl LimitsHealth {
    /// Asks this Redis.
    pub const fn new(redis: SharedRedis) -> Self {
        Self { redis }
    }
}

#[async_trait]
impl HealthCheck for LimitsHealth {
    fn name(&self) -> &'static str {
        "limits"
    }

    async fn check(&self) -> Result<(), Unhealthy> {
        if self.redis.is_up().await {
            Ok(())
        } else {
            Err(Unhealthy("degraded: Redis cannot be reached; limits hold per replica".to_owned()))
        }
    }

    fn is_essential(&self) -> bool {
        false
    }
}
