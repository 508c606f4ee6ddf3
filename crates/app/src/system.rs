//! What the operating system gives: the time, chance, and tasks that outlive their request.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use ports::{Background, Clock, Randomness, Timer};
use rand::TryRng as _;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// The system's clock, cut to microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        let now = Utc::now();
        now.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(now)
    }
}

/// The system's source of randomness.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemRandomness;

impl Randomness for SystemRandomness {
    fn uuid_v7(&self) -> Uuid {
        // The crate keeps one counter a process, so that identifiers of one instant stay in order (RFC 9562, section 6.2, method 1).
        Uuid::now_v7()
    }

    fn bits(&self) -> u64 {
        // The thread's generator is seeded from the system, and stands in should the system fail to answer.
        rand::rngs::SysRng.try_next_u64().unwrap_or_else(|_| rand::random())
    }
}

/// Tasks on the main runtime. The HTTP workers have runtimes of their own, which end before the tasks they began.
#[derive(Debug, Clone)]
pub(crate) struct BackgroundTasks {
    tasks: TaskTracker,
    runtime: Handle,
}

impl BackgroundTasks {
    /// Tasks will run on the runtime that this is called from.
    pub(crate) fn on_this_runtime() -> Self {
        Self { tasks: TaskTracker::new(), runtime: Handle::current() }
    }

    /// Waits until all tasks have ended, at most so long; answers how many had not.
    pub(crate) async fn finish(&self, at_most: Duration) -> usize {
        self.tasks.close();
        let _ = tokio::time::timeout(at_most, self.tasks.wait()).await;
        self.tasks.len()
    }
}

/// Waits on tokio's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokioTimer;

impl Timer for TokioTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

impl Background for BackgroundTasks {
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send + 'static>>) {
        self.tasks.spawn_on(task, &self.runtime);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn the_time_has_no_more_than_microseconds() {
        assert_eq!(SystemClock.now().timestamp_subsec_nanos() % 1000, 0);
    }

    #[test]
    fn identifiers_come_in_order_also_within_one_instant() {
        let drawn: Vec<Uuid> = (0..10_000).map(|_| SystemRandomness.uuid_v7()).collect();
        assert!(drawn.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_task_outlives_the_runtime_of_the_worker_that_began_it() {
        let main = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let background = main.block_on(async { BackgroundTasks::on_this_runtime() });
        let done = Arc::new(AtomicBool::new(false));
        let worker = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (for_task, spawner) = (Arc::clone(&done), background.clone());
        worker.block_on(async move {
            spawner.spawn(Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                for_task.store(true, Ordering::SeqCst);
            }));
        });
        drop(worker);
        assert_eq!(main.block_on(background.finish(Duration::from_secs(10))), 0);
        assert!(done.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn a_task_that_does_not_end_is_not_waited_for_beyond_the_grace_period() {
        let background = BackgroundTasks::on_this_runtime();
        background.spawn(Box::pin(std::future::pending()));
        assert_eq!(background.finish(Duration::from_millis(10)).await, 1);
    }
}
