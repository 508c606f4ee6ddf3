//! Whether the server can do its work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use chrono::TimeDelta;
use futures_util::future::join_all;
use ports::{HealthCheck, Unhealthy};
use services::{HealthService, PartHealth};
use test_support::FakeClock;

/// A part that takes a moment to answer, and counts how often it was asked.
#[derive(Default)]
struct Counted(AtomicU32);

#[async_trait]
impl HealthCheck for Counted {
    fn name(&self) -> &'static str {
        "database"
    }

    async fn check(&self) -> Result<(), Unhealthy> {
        self.0.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        Ok(())
    }
}

#[tokio::test]
async fn however_many_ask_a_part_is_asked_once_a_second() {
    let (part, clock) = (Arc::new(Counted::default()), FakeClock::default());
    let health = HealthService::new(vec![part.clone()], Arc::new(clock.clone()));
    for (milliseconds, asked) in [(0, 1), (999, 1), (1, 2), (1000, 3)] {
        clock.advance(TimeDelta::milliseconds(milliseconds));
        let answers = join_all((0..100).map(|_| health.readiness())).await;
        assert!(answers.iter().all(|answer| *answer == [("database", PartHealth::Healthy)]));
        assert_eq!(part.0.load(Ordering::Relaxed), asked, "after {milliseconds} ms more");
    }
}

#[tokio::test]
async fn who_stops_waiting_for_an_answer_keeps_it_from_nobody() {
    let (part, clock) = (Arc::new(Counted::default()), FakeClock::default());
    let health = HealthService::new(vec![part.clone()], Arc::new(clock));
    assert!(futures_util::FutureExt::now_or_never(health.readiness()).is_none());
    assert_eq!(health.readiness().await.len(), 1);
}
