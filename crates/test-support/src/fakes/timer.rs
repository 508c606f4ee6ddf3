//! Waiting, on the test's runtime.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use ports::Timer;

/// Waits for real, so many times shorter than it is told to.
#[derive(Debug, Clone, Copy)]
pub struct TokioTimer {
    times: u32,
}

impl TokioTimer {
    /// A second takes as long as `1 / times` seconds do.
    pub const fn faster(times: u32) -> Self {
        Self { times }
    }
}

/// Waits as long as it is told to.
impl Default for TokioTimer {
    fn default() -> Self {
        Self::faster(1)
    }
}

impl Timer for TokioTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        Box::pin(tokio::time::sleep(duration / self.times))
    }
}
