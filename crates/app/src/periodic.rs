//! Work that comes around again and again, until the server stops.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

/// Does the work once a period, first after one period, until `stop`; what is being done then is broken off at its next wait.
pub(crate) async fn every(period: Duration, stop: CancellationToken, mut work: impl AsyncFnMut()) {
    let mut ticks = interval_at(Instant::now() + period, period);
    // Work that took longer than a period must not be followed by a burst.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let forever = async {
        loop {
            ticks.tick().await;
            work().await;
        }
    };
    stop.run_until_cancelled(forever).await;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn the_work_comes_around_until_it_is_told_to_stop() {
        let (stop, times) = (CancellationToken::new(), AtomicU32::new(0));
        let work = async || {
            if times.fetch_add(1, Ordering::SeqCst) == 2 {
                stop.cancel();
            }
        };
        every(Duration::from_millis(1), stop.clone(), work).await;
        assert_eq!(times.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn a_stop_breaks_off_what_is_being_done() {
        let stop = CancellationToken::new();
        let work = async || {
            stop.cancel();
            std::future::pending::<()>().await;
        };
        every(Duration::from_millis(1), stop.clone(), work).await;
    }
}
