//! How many calls run at the same time, and how many may wait for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ports::GenerationError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Places to work in, and a bounded queue before them. Copies share them.
#[derive(Debug, Clone)]
pub struct Places {
    running: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    max_waiting: usize,
}

impl Places {
    /// So many places, at least one, and so many who may wait.
    pub fn new(max_running: usize, max_waiting: usize) -> Self {
        let running = Arc::new(Semaphore::new(max_running.clamp(1, Semaphore::MAX_PERMITS)));
        Self { running, waiting: Arc::default(), max_waiting }
    }

    /// Takes a place, in the order of coming; it is free again when the permit is dropped. Dropping the call gives up its turn.
    pub(super) async fn take(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, GenerationError> {
        if let Ok(place) = Arc::clone(&self.running).try_acquire_owned() {
            return Ok(place);
        }
        let waiting = Waiting(&self.waiting);
        // The drop of a refused one takes its own place in the queue back.
        if waiting.0.fetch_add(1, Ordering::Relaxed) >= self.max_waiting {
            return Err(GenerationError::Overloaded { retry_after_seconds: 5 });
        }
        match timeout_at(deadline, Arc::clone(&self.running).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_closed)) => Err(GenerationError::ShuttingDown),
            Err(_) => Err(GenerationError::DeadlineExceeded),
        }
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn one_too_many_is_refused_and_the_others_wait_for_their_turn() {
        let (places, soon) = (Places::new(1, 1), Instant::now() + Duration::from_secs(20));
        let first = places.take(soon).await.unwrap();
        let mut second = Box::pin(places.take(soon));
        assert!((&mut second).now_or_never().is_none(), "it waits");
        assert!(matches!(places.take(soon).await, Err(GenerationError::Overloaded { .. })));
        drop(first);
        drop(second.await.unwrap());
        let _held = places.take(soon).await.unwrap();
        let late = Instant::now() + Duration::from_millis(5);
        assert!(matches!(places.take(late).await, Err(GenerationError::DeadlineExceeded)));
        assert_eq!(places.waiting.load(Ordering::Relaxed), 0, "nobody is counted who has gone");
    }
}
