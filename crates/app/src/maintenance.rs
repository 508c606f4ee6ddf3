//! What is tidied up while the server runs, as background tasks that end when it does.

use std::time::Duration;

use ports::Background as _;
use services::{AccountService, LimitService, ServiceError, SessionService};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::periodic::every;
use crate::system::BackgroundTasks;

/// Well below the time in which a busy server gathers samples by the megabyte.
const METRICS_PERIOD: Duration = Duration::from_secs(5);
/// Tokens that a process which died had set aside are missed by their owner.
const RESERVATIONS_PERIOD: Duration = Duration::from_mins(1);
/// What has ended only takes up room.
const SWEEP_PERIOD: Duration = Duration::from_hours(1);

/// What needs tidying.
pub(crate) struct Upkeep {
    pub(crate) metrics: Metrics,
    pub(crate) accounts: AccountService,
    pub(crate) sessions: SessionService,
    pub(crate) limits: LimitService,
}

impl Upkeep {
    /// Does at once what a crash may have left to do, then begins what comes around; `stop` ends it.
    pub(crate) async fn start(self, background: &BackgroundTasks, stop: &CancellationToken) {
        let Self { metrics, accounts, sessions, limits } = self;
        release_reservations(&limits).await;
        sweep(&accounts, &sessions).await;
        background.spawn(Box::pin(every(METRICS_PERIOD, stop.clone(), async move || metrics.tidy())));
        background.spawn(Box::pin(every(RESERVATIONS_PERIOD, stop.clone(), async move || release_reservations(&limits).await)));
        background.spawn(Box::pin(every(SWEEP_PERIOD, stop.clone(), async move || sweep(&accounts, &sessions).await)));
    }
}

async fn release_reservations(limits: &LimitService) {
    report("reservations of tokens whose process died were given back", limits.release_expired().await);
}

async fn sweep(accounts: &AccountService, sessions: &SessionService) {
    report("one-time codes that nobody used in time were removed", accounts.sweep_codes().await);
    report("sessions that ended long ago were removed", sessions.sweep().await);
}

/// The next round tries again what failed in this one.
fn report(what: &'static str, done: Result<u64, ServiceError>) {
    match done {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "{what}"),
        Err(error) => tracing::error!(%error, "upkeep failed; next time it should be that {what}"),
    }
}
