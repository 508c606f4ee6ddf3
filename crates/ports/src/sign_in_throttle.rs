//! Who keeps failing to sign in, and how long they must wait.

use async_trait::async_trait;
use domain::{ThrottlePolicy, ThrottleWait};

/// Keeps the failures of accounts and addresses. Never fails, as [`crate::RateLimiter`] never does, and for the same reason.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait SignInThrottle: Send + Sync {
    /// Counts an attempt of `subject` (`account:…`, `address:…`) as failed until it is forgiven, or answers how long to wait before the
    /// next; then nothing is counted, but that this wait has turned somebody away. Atomic: a thousand attempts at once are judged as if one
    /// came after the other.
    async fn attempt(&self, subject: &str, policy: ThrottlePolicy) -> Result<(), ThrottleWait>;

    /// Forgives the last attempt: it succeeded, or was never made.
    async fn forgive(&self, subject: &str, policy: ThrottlePolicy);

    /// Forgets all failures of a subject.
    async fn clear(&self, subject: &str);
}
