//! What is tidied up: answers whose process died, answers that nobody can take up any more, and all of them when the server stops.

use std::time::Duration;

use domain::{ChatFailure, ChatStreamState, MessageStatus};
use ports::{StoreError, StreamEnd, StreamReading};

use super::ChatService;
use crate::ServiceError;

/// A running answer says that it lives about every second. One that has not for so long is dead, and its process with it; a database that
/// was away for a while is not yet a death.
pub(super) const SILENCE_OF_THE_DEAD: Duration = Duration::from_mins(1);

/// How many dead answers are looked after in one round.
const DEAD_A_ROUND: u32 = 500;

impl ChatService {
    /// Makes messages of what dead processes had said, as interrupted. Answers how many.
    pub async fn recover_dead(&self) -> Result<u64, ServiceError> {
        let before = self.ports.clock.now() - SILENCE_OF_THE_DEAD;
        let dead = self.ports.streams.dead(before, DEAD_A_ROUND).await.map_err(ServiceError::Store)?;
        let mut recovered = 0;
        // What is made here lives, whatever the database has heard of it.
        for reading in dead.into_iter().filter(|reading| !self.live.holds(reading.stream.id)) {
            recovered += u64::from(self.recover(reading).await?);
        }
        Ok(recovered)
    }

    async fn recover(&self, reading: StreamReading) -> Result<bool, ServiceError> {
        let StreamReading { stream, pieces } = reading;
        let content = pieces.concat();
        let end = StreamEnd {
            state: ChatStreamState::Failed(ChatFailure::Abandoned),
            message: (!content.is_empty()).then(|| stream.message(content, MessageStatus::Interrupted)),
            back_to: None,
            last_pieces: Vec::new(),
            ended_at: self.ports.clock.now(),
        };
        let already = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
        match self.ports.streams.finish(stream.id, already, end).await {
            Ok(()) => Ok(true),
            // Another replica was first, or it lives after all and has ended.
            Err(StoreError::NotFound) => Ok(false),
            Err(error) => Err(ServiceError::Store(error)),
        }
    }

    /// Removes what nobody can take up any more. Answers how many.
    pub async fn sweep(&self) -> Result<u64, ServiceError> {
        let before = self.ports.clock.now() - self.limits.resume_window;
        self.ports.streams.sweep(before).await.map_err(ServiceError::Store)
    }

    /// Cuts every answer that is being made here; each is stored, as interrupted, by its own task.
    pub fn cut_all(&self) {
        self.live.cut_all();
    }

    /// How many answers are being made here.
    pub fn running(&self) -> usize {
        self.live.count()
    }
}
