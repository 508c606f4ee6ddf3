//! Taking an answer up again, and stopping it.
//!
//! Where the answer is made in this process, its listeners read from memory. Everywhere else, and after its end, it is read from the
//! database: what is there at once, and what is added by looking again. Who reads so says from time to time that they are there.

use std::pin::pin;
use std::time::Duration;

use domain::{ChatFailure, ChatStream, ChatStreamId, ChatStreamState, Timestamp};
use futures_util::future::{Either, select};
use futures_util::{StreamExt, stream};
use ports::{GenerationError, StoreError, StreamReading};

use super::live::Cut;
use super::upkeep::SILENCE_OF_THE_DEAD;
use super::{ChatEvent, ChatEvents, ChatService};
use crate::{Caller, ServiceError};

/// How often the database is looked at for more of an answer.
const LOOK: Duration = Duration::from_millis(200);

/// How often a reader says that they are there, and for how long each time counts: long enough that one look too late does no harm.
const LOOKS_A_GREETING: u32 = 10;
const GREETING: Duration = Duration::from_secs(6);

/// How long a stop is waited for.
const STOP_LOOKS: u32 = 15;

/// An answer that is taken up.
pub enum Resumed {
    /// What follows.
    Events(ChatEvents),
    /// Nothing: it has ended, and the caller knows that already.
    Over,
}

/// What came of a wish to stop an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// It has ended, and what was said is stored.
    Now,
    /// It was told to, and had not ended yet when the wait was over: the process that makes it, another one, has been silent.
    Soon,
}

impl ChatService {
    /// Takes an answer of the caller's up after so many of its pieces, its end counted as one more.
    pub async fn resume(&self, caller: &Caller, id: ChatStreamId, after: u32) -> Result<Resumed, ServiceError> {
        if let Some(live) = self.live.find(caller.user.id, id) {
            return Ok(Resumed::Events(live.listen(after).boxed()));
        }
        let reading = self.ports.streams.read(caller.user.id, id, after).await.map_err(stream_error)?;
        if let Some(ended_at) = reading.stream.ended_at {
            if !self.can_be_taken_up(ended_at) {
                return Err(ServiceError::StreamNotFound);
            }
            if after > 0 && reading.pieces.is_empty() {
                // Either the last piece was read, and the end is owed, or the end was read too.
                let read_before = self.ports.streams.read(caller.user.id, id, after - 1).await.map_err(stream_error)?;
                if read_before.pieces.is_empty() {
                    return Ok(Resumed::Over);
                }
            }
        }
        let follower = Follower {
            service: self.clone(),
            unread: Vec::new().into_iter(),
            stream: reading.stream.clone(),
            read: after,
            looks: 0,
            over: false,
        };
        Ok(Resumed::Events(follower.with(reading).into_events()))
    }

    /// Stops an answer of the caller's, and waits a little until it is stored. One that has ended is as good as stopped.
    pub async fn stop(&self, caller: &Caller, id: ChatStreamId) -> Result<Stopped, ServiceError> {
        if let Some(live) = self.live.find(caller.user.id, id) {
            let mut listener = live.listen(u32::MAX);
            live.cut(Cut::Stopped);
            let patience = self.ports.timer.sleep(LOOK * STOP_LOOKS);
            return Ok(match select(pin!(listener.outcome()), patience).await {
                Either::Left(_) => Stopped::Now,
                Either::Right(_) => Stopped::Soon,
            });
        }
        self.ports.streams.request_stop(caller.user.id, id).await.map_err(stream_error)?;
        for _ in 0..STOP_LOOKS {
            match self.ports.streams.read(caller.user.id, id, u32::MAX).await {
                Ok(reading) if reading.stream.state == ChatStreamState::Running => self.ports.timer.sleep(LOOK).await,
                Ok(_) | Err(StoreError::NotFound) => return Ok(Stopped::Now),
                Err(error) => return Err(ServiceError::Store(error)),
            }
        }
        Ok(Stopped::Soon)
    }

    fn can_be_taken_up(&self, ended_at: Timestamp) -> bool {
        self.ports.clock.now() <= ended_at + self.limits.resume_window
    }
}

fn stream_error(error: StoreError) -> ServiceError {
    ServiceError::from_store(error, ServiceError::StreamNotFound)
}

/// Somebody who reads an answer from the database.
struct Follower {
    service: ChatService,
    stream: ChatStream,
    unread: std::vec::IntoIter<String>,
    read: u32,
    looks: u32,
    over: bool,
}

impl Follower {
    fn with(mut self, reading: StreamReading) -> Self {
        self.stream = reading.stream;
        self.unread = reading.pieces.into_iter();
        self
    }

    fn into_events(self) -> ChatEvents {
        let events = stream::unfold(Some(self), async |follower| {
            let mut follower = follower?;
            let event = follower.next().await;
            let over = follower.over;
            Some((event, (!over).then_some(follower)))
        });
        events.fuse().boxed()
    }

    async fn next(&mut self) -> Result<ChatEvent, ServiceError> {
        loop {
            if let Some(text) = self.unread.next() {
                self.read = self.read.saturating_add(1);
                return Ok(ChatEvent::Text { number: self.read, text });
            }
            let end = match self.stream.state {
                ChatStreamState::Running if self.is_dead() => Some(Err(failure(ChatFailure::Abandoned))),
                ChatStreamState::Running => None,
                ChatStreamState::Done => Some(Ok(ChatEvent::Done { number: self.read.saturating_add(1) })),
                ChatStreamState::Failed(reason) => Some(Err(failure(reason))),
            };
            if let Some(end) = end {
                self.over = true;
                return end;
            }
            if let Err(error) = self.look_again().await {
                self.over = true;
                return Err(error);
            }
        }
    }

    async fn look_again(&mut self) -> Result<(), ServiceError> {
        let (ports, user_id, id) = (&self.service.ports, self.stream.user_id, self.stream.id);
        if self.looks.is_multiple_of(LOOKS_A_GREETING) {
            let until = ports.clock.now() + GREETING;
            ports.streams.attend(user_id, id, until).await.map_err(stream_error)?;
        }
        self.looks = self.looks.wrapping_add(1);
        ports.timer.sleep(LOOK).await;
        let reading = ports.streams.read(user_id, id, self.read).await.map_err(stream_error)?;
        self.stream = reading.stream;
        self.unread = reading.pieces.into_iter();
        Ok(())
    }

    /// Whether the process that made it is gone.
    fn is_dead(&self) -> bool {
        self.service.ports.clock.now() > self.stream.beat_at + SILENCE_OF_THE_DEAD
    }
}

/// Why an answer broke off, told to who takes it up later. The words of the moment are gone by then.
pub(super) fn failure(reason: ChatFailure) -> ServiceError {
    match reason {
        ChatFailure::DeadlineExceeded => GenerationError::DeadlineExceeded,
        ChatFailure::ShuttingDown | ChatFailure::Abandoned => GenerationError::ShuttingDown,
        ChatFailure::Provider => {
            GenerationError::ProviderFailed { provider: "the provider", problem: "it was logged when it happened".to_owned() }
        }
        ChatFailure::Failed => GenerationError::Failed("it was logged when it happened".to_owned()),
    }
    .into()
}
