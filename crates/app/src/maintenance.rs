//! What is tidied up while the server runs, as background tasks that end when it does.

use std::time::Duration;

use ports::{Background as _, Clock as _};
use services::{AccountService, ChatService, LimitService, MediaService, ServiceError, SessionService};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::periodic::every;
use crate::system::{BackgroundTasks, SystemClock};
use crate::wiring::media::Abandonment;

/// Well below the time in which a busy server gathers samples by the megabyte.
const METRICS_PERIOD: Duration = Duration::from_secs(5);
/// Tokens that a process which died had set aside are missed by their owner.
const RESERVATIONS_PERIOD: Duration = Duration::from_mins(1);
/// What has ended only takes up room.
const SWEEP_PERIOD: Duration = Duration::from_hours(1);

/// Reading the name of every object takes a while where there are many.
const OBJECTS_PERIOD: Duration = Duration::from_hours(12);

/// What needs tidying.
pub(crate) struct Upkeep {
    pub(crate) metrics: Metrics,
    pub(crate) accounts: AccountService,
    pub(crate) sessions: SessionService,
    pub(crate) limits: LimitService,
    pub(crate) chats: ChatService,
    pub(crate) media: MediaService,
    pub(crate) abandonment: Abandonment,
}

impl Upkeep {
    /// Does at once what a crash may have left to do, then begins what comes around; `stop` ends it.
    pub(crate) async fn start(self, background: &BackgroundTasks, stop: &CancellationToken) {
        let Self { metrics, accounts, sessions, limits, chats, media, abandonment } = self;
        release_reservations(&limits).await;
        sweep(&accounts, &sessions).await;
        tidy_chats(&chats).await;
        fail_abandoned(&media, abandonment.at_start).await;
        // The server need not wait for the rest; a stop breaks it off.
        let (first_sweep, first_stop) = (media.clone(), stop.clone());
        background.spawn(Box::pin(async move {
            first_stop.run_until_cancelled(sweep_objects(&first_sweep)).await;
        }));
        let objects = media.clone();
        background.spawn(Box::pin(every(OBJECTS_PERIOD, stop.clone(), async move || sweep_objects(&objects).await)));
        let later = abandonment.later;
        background.spawn(Box::pin(every(RESERVATIONS_PERIOD, stop.clone(), async move || fail_abandoned(&media, later).await)));
        background.spawn(Box::pin(every(RESERVATIONS_PERIOD, stop.clone(), async move || tidy_chats(&chats).await)));
        background.spawn(Box::pin(every(METRICS_PERIOD, stop.clone(), async move || metrics.tidy())));
        background.spawn(Box::pin(every(RESERVATIONS_PERIOD, stop.clone(), async move || release_reservations(&limits).await)));
        background.spawn(Box::pin(every(SWEEP_PERIOD, stop.clone(), async move || sweep(&accounts, &sessions).await)));
    }
}

async fn release_reservations(limits: &LimitService) {
    report("reservations of tokens whose process died were given back", limits.release_expired().await);
}

async fn tidy_chats(chats: &ChatService) {
    report("answers whose process died were kept as far as they came", chats.recover_dead().await);
    report("streams that nobody can take up any more were removed", chats.sweep().await);
}

async fn sweep(accounts: &AccountService, sessions: &SessionService) {
    report("one-time codes that nobody used in time were removed", accounts.sweep_codes().await);
    report("sessions that ended long ago were removed", sessions.sweep().await);
}

async fn fail_abandoned(media: &MediaService, after: Duration) {
    let done = media.fail_abandoned(SystemClock.now() - after).await;
    report("pictures and recordings whose process died were marked as failed", done);
}

async fn sweep_objects(media: &MediaService) {
    if let Err(error) = media.renew_histories().await {
        tracing::error!(%error, "upkeep failed; next time histories should be whole");
    }
    let swept = media.sweep().await;
    report("objects that nobody owns were removed", swept.map(|swept| swept.orphans + swept.uploads));
}

/// The next round tries again what failed in this one.
fn report(what: &'static str, done: Result<u64, ServiceError>) {
    match done {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "{what}"),
        Err(error) => tracing::error!(%error, "upkeep failed; next time it should be that {what}"),
    }
}
