//! What a turn does beside its work: it says that it lives, hears what its user wants, and notices that nobody listens.
//!
//! It does so from the moment in which its question is stored. A model may be asked for summaries first, and a provider may take an hour
//! to accept; neither must look like a death, and neither may keep a stop waiting.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use domain::{ChatStreamId, Timestamp};
use futures_util::future::{BoxFuture, Fuse, FusedFuture as _};
use futures_util::{FutureExt as _, select_biased};
use ports::{ChatStreamStore, Clock, StoreError, StreamOrders, Timer};

use super::ChatService;
use super::ending::Ending;
use super::live::{Cut, Live};

/// How often a turn looks after itself: pieces are appended to the database, and the absence of listeners is measured, in this measure.
pub(super) const TICK: Duration = Duration::from_millis(250);

/// A turn that has nothing to append says that it lives every so many ticks, and hears then whether it is to stop.
pub(super) const TICKS_A_BEAT: u32 = 4;

/// What looks after one turn.
pub(super) struct Watch {
    streams: Arc<dyn ChatStreamStore>,
    timer: Arc<dyn Timer>,
    clock: Arc<dyn Clock>,
    live: Arc<Live>,
    id: ChatStreamId,
    absence: Absence,
}

/// What the database answers to a turn that says it lives.
pub(super) type Heard = Fuse<BoxFuture<'static, Result<StreamOrders, StoreError>>>;

impl Watch {
    pub(super) fn of(service: &ChatService, live: &Arc<Live>, id: ChatStreamId) -> Self {
        let (streams, timer) = (Arc::clone(&service.ports.streams), Arc::clone(&service.ports.timer));
        let absence = Absence::new(service.limits.resume_window);
        Self { streams, timer, clock: Arc::clone(&service.ports.clock), live: Arc::clone(live), id, absence }
    }

    /// Does this work while nothing has been said yet; or drops it, because the turn is to end.
    pub(super) async fn over<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Ending> {
        let live = Arc::clone(&self.live);
        let mut work = pin!(work.fuse());
        let mut cut = pin!(live.until_cut().fuse());
        let mut tick = self.tick();
        let mut heard = Heard::terminated();
        let mut ticks_since_beat = 0;
        loop {
            select_biased! {
                reason = cut => return Err(Ending::Cut(reason)),
                orders = heard => self.heed(orders)?,
                () = tick => {
                    tick = self.tick();
                    self.look_around()?;
                    ticks_since_beat += 1;
                    if heard.is_terminated() && ticks_since_beat >= TICKS_A_BEAT {
                        ticks_since_beat = 0;
                        heard = self.append(0, Vec::new());
                    }
                },
                done = work => return Ok(done),
            }
        }
    }

    /// Waits for the next tick.
    pub(super) fn tick(&self) -> Fuse<BoxFuture<'static, ()>> {
        self.timer.sleep(TICK).boxed().fuse()
    }

    /// Offers pieces to the database, of which it has so many already, and says with it that the turn lives.
    pub(super) fn append(&self, already: u32, pieces: Vec<String>) -> Heard {
        let (streams, id, now) = (Arc::clone(&self.streams), self.id, self.clock.now());
        async move { streams.append(id, already, pieces, now).await }.boxed().fuse()
    }

    /// Does as the database says, or, where it cannot be reached, goes on: the next beat tries again.
    pub(super) fn heed(&mut self, orders: Result<StreamOrders, StoreError>) -> Result<(), Ending> {
        match orders {
            Ok(orders) => {
                self.absence.attended_until = orders.attended_until;
                if orders.stop { Err(Ending::Cut(Cut::Stopped)) } else { Ok(()) }
            }
            Err(StoreError::NotFound) => Err(Ending::Cut(Cut::Gone)),
            Err(error) => {
                tracing::warn!(chat_stream_id = %self.id, %error, "the database does not hear that an answer is being made");
                Ok(())
            }
        }
    }

    /// At a tick: whether anybody still wants the answer.
    pub(super) fn look_around(&mut self) -> Result<(), Ending> {
        let is_alone = self.absence.lasts_too_long(self.live.has_listeners(), self.clock.now());
        if is_alone { Err(Ending::Unheard) } else { Ok(()) }
    }
}

/// For how long nobody has listened.
struct Absence {
    lasted: Duration,
    window: Duration,
    /// Until when somebody reads at another replica.
    attended_until: Option<Timestamp>,
}

impl Absence {
    const fn new(window: Duration) -> Self {
        Self { lasted: Duration::ZERO, window, attended_until: None }
    }

    /// At a tick.
    fn lasts_too_long(&mut self, has_listeners: bool, now: Timestamp) -> bool {
        if has_listeners || self.attended_until.is_some_and(|until| until > now) {
            self.lasted = Duration::ZERO;
            return false;
        }
        self.lasted += TICK;
        self.lasted > self.window
    }
}
