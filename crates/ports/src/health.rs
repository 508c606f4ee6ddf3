//! Whether a part of the server can do its work now.

use async_trait::async_trait;

/// Why a part cannot do its work. The reason is logged and, in general terms, shown by `readyz`; it holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unhealthy(pub String);

/// A part of the server that can be asked how it is.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait HealthCheck: Send + Sync {
    /// What is checked, in a word: `database`, `storage`, `model`.
    fn name(&self) -> &'static str;

    /// Asks. Answers within about a second: a part that hangs is unhealthy.
    async fn check(&self) -> Result<(), Unhealthy>;

    /// Whether the server cannot do its work without this part. Where it can, if less well, an unhealthy part is told of and the server
    /// stays ready.
    fn is_essential(&self) -> bool {
        true
    }
}
