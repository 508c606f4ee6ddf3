//! Work that outlives the request that began it.

use std::future::Future;
use std::pin::Pin;

/// Runs small tasks beside the requests: to store what a caller who went away was given, say.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Background: Send + Sync {
    /// Starts `task` and returns at once. At shutdown the process waits for it, as long as the grace period lasts. The task logs its
    /// own failure: nobody awaits its result.
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send + 'static>>);
}
