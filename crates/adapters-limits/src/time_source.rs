//! Where the adapters take the time from, so that a test can step it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Tells the time as what has passed since some beginning. Clones tell the same time.
#[derive(Clone)]
pub struct TimeSource(Arc<dyn Fn() -> Duration + Send + Sync>);

impl TimeSource {
    /// The time since this call, by a clock that nobody can set back.
    pub fn monotonic() -> Self {
        let beginning = Instant::now();
        Self::new(move || beginning.elapsed())
    }

    /// Whatever this function tells.
    pub fn new(now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(crate) fn now(&self) -> Duration {
        (self.0)()
    }
}

impl fmt::Debug for TimeSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("TimeSource").field(&self.now()).finish()
    }
}
