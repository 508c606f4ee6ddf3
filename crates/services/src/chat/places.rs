//! The answers that this process is making, as a list with so many places.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{ChatStreamId, ConversationId, UserId};
use ports::GenerationError;

use super::StreamOutcome;
use super::live::{Cut, Live};

/// The answers that are being made here, up to a number.
#[derive(Clone)]
pub(super) struct LiveStreams {
    streams: Arc<Mutex<HashMap<ChatStreamId, Arc<Live>>>>,
    max: usize,
    max_a_user: usize,
}

impl LiveStreams {
    /// So many, and so many of one user, that nobody can take all places.
    pub(super) fn holding(max: usize, max_a_user: usize) -> Self {
        Self { streams: Arc::default(), max, max_a_user }
    }

    /// Takes a new answer in, or refuses it where there are too many.
    pub(super) fn enter(&self, live: Live) -> Result<Place, GenerationError> {
        let mut streams = self.lock();
        let of_user = streams.values().filter(|other| other.user_id == live.user_id).count();
        if streams.len() >= self.max || of_user >= self.max_a_user {
            const RETRY_AFTER_SECONDS: u32 = 5;
            return Err(GenerationError::Overloaded { retry_after_seconds: RETRY_AFTER_SECONDS });
        }
        let live = Arc::new(live);
        streams.insert(live.id, Arc::clone(&live));
        Ok(Place { live, streams: self.clone() })
    }

    /// The user's answer, if it is being made here.
    pub(super) fn find(&self, user_id: UserId, id: ChatStreamId) -> Option<Arc<Live>> {
        self.lock().get(&id).filter(|live| live.user_id == user_id).cloned()
    }

    /// Whether an answer is being made here.
    pub(super) fn holds(&self, id: ChatStreamId) -> bool {
        self.lock().contains_key(&id)
    }

    /// Cuts what is being made in a conversation.
    pub(super) fn cut_in(&self, conversation_id: ConversationId) {
        self.lock().values().filter(|live| live.conversation_id == conversation_id).for_each(|live| live.cut(Cut::Gone));
    }

    /// Cuts everything.
    pub(super) fn cut_all(&self) {
        self.lock().values().for_each(|live| live.cut(Cut::ShuttingDown));
    }

    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ChatStreamId, Arc<Live>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer's place in the list. Dropping it gives the place up and ends the answer for whoever listens, if nothing else has: a task that
/// broke off must leave nobody waiting.
pub(super) struct Place {
    pub(super) live: Arc<Live>,
    streams: LiveStreams,
}

impl Place {
    /// Gives the place up and tells whoever listens how the answer ended, in this order: who hears of the end finds the place free.
    pub(super) fn end(self, outcome: StreamOutcome) {
        self.streams.lock().remove(&self.live.id);
        self.live.end(outcome);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.streams.lock().remove(&self.live.id);
        let problem = "the task that made the answer broke off".to_owned();
        self.live.end(Err(GenerationError::Failed(problem).into()));
    }
}

#[cfg(test)]
mod tests {
    use test_support::builders::{a_user_id, a_uuid};

    use super::*;

    #[test]
    fn one_user_has_a_share_of_the_places() {
        let streams = LiveStreams::holding(3, 2);
        let of = |user_id| Live::new(ChatStreamId::new(a_uuid()), user_id, ConversationId::new(a_uuid()));
        let (ana, ben) = (a_user_id(), a_user_id());
        let first = streams.enter(of(ana)).unwrap();
        let _second = streams.enter(of(ana)).unwrap();
        assert!(matches!(streams.enter(of(ana)), Err(GenerationError::Overloaded { .. })), "the third place is for others");
        let _other = streams.enter(of(ben)).unwrap();
        assert!(matches!(streams.enter(of(ben)), Err(GenerationError::Overloaded { .. })), "there are three in all");
        drop(first);
        streams.enter(of(ana)).unwrap();
    }
}
