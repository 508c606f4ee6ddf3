//! Waiting.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// Lets time pass, for work that is not bound to a request.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Timer: Send + Sync {
    /// Is ready after so long, and no sooner. Dropping it ends the wait. It may be polled where the tasks of [`crate::Background`] run, and
    /// where requests are served.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>>;
}
