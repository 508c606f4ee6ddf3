//! Work that must come to its end: whoever waits for it may go away meanwhile, and the database may be away for a moment.

use std::future::Future;
use std::time::Duration;

use futures_util::FutureExt as _;
use ports::{Background, StoreError, Timer};
use tracing::Instrument as _;

/// How often a store is offered what it cannot take, and how long is waited in between.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(300);

/// Begins `work` in the background and answers a wait for its result. Dropping the wait leaves the work going on, to its end.
pub(crate) fn to_the_end<T: Clone + Send + Sync + 'static>(
    background: &dyn Background,
    work: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = T> + Send + 'static {
    // Its lines in the log carry the request's identifiers all the same.
    let work = work.in_current_span().boxed().shared();
    background.spawn(Box::pin(work.clone().map(drop)));
    work
}

/// Offers something to a store until it takes it, or has been unavailable too often. `is_there` tells the error by which the store says
/// that an attempt before, which seemed to fail, did not.
pub(crate) async fn persistently<F: Future<Output = Result<(), StoreError>>>(
    timer: &dyn Timer,
    is_there: fn(&StoreError) -> bool,
    mut offer: impl FnMut() -> F,
) -> Result<(), StoreError> {
    let mut attempt = 1;
    loop {
        match offer().await {
            Err(StoreError::Unavailable(_)) if attempt < ATTEMPTS => {
                attempt += 1;
                timer.sleep(PAUSE).await;
            }
            Err(error) if attempt > 1 && is_there(&error) => return Ok(()),
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use test_support::TokioTimer;

    use super::*;

    /// Answers one result after the other, and how many were asked for.
    async fn offered(results: &[Result<(), StoreError>]) -> (Result<(), StoreError>, usize) {
        let asked = Cell::new(0);
        let offer = || {
            let result = results[asked.get()].clone();
            asked.set(asked.get() + 1);
            async move { result }
        };
        let is_there = |error: &StoreError| matches!(error, StoreError::Conflict { .. });
        (persistently(&TokioTimer::faster(1000), is_there, offer).await, asked.get())
    }

    #[tokio::test]
    async fn a_store_that_is_away_for_a_moment_is_asked_again_and_no_other_failure_is_repeated() {
        let away = || Err(StoreError::Unavailable("busy".into()));
        let taken = || Err(StoreError::Conflict { field: "id" });
        assert_eq!(offered(&[away(), away(), Ok(())]).await, (Ok(()), 3));
        assert_eq!(offered(&[away(), away(), away(), away(), away()]).await, (away(), 5));
        assert_eq!(offered(&[away(), taken()]).await, (Ok(()), 2), "the first attempt did succeed");
        assert_eq!(offered(&[taken()]).await, (taken(), 1));
    }
}
