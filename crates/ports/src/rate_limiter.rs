//! How often each caller may call.

use async_trait::async_trait;
use domain::{RateDecision, RateLimit};

/// Counts requests against limits.
///
/// It never fails: where the shared counter cannot be reached it falls back to one of this process alone, says so in the log once and in
/// its health check, and goes back to the shared one by itself. A limiter that refused everyone when its store is down would be worse
/// than one that is less exact.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait RateLimiter: Send + Sync {
    /// Judges one request of `subject` (`user:…`, `address:…`, `key:…`) and, if it may go on, counts it: atomically, so that of any
    /// number at once exactly as many pass as the limit allows. Subjects do not influence each other.
    async fn judge(&self, subject: &str, limit: RateLimit) -> RateDecision;
}
