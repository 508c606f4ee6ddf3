//! An answer that this process is making, and those who listen to it.
//!
//! Every piece of a running answer is kept until its end: an answer is as long as its limit at the most, and whoever comes back may need
//! all of it. Listeners come and go; each reads from where it is. When the answer has ended it leaves the list of [`super::places`], and
//! lives as long as somebody still reads from it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use domain::{ChatStreamId, ContextUse, ConversationId, UserId};
use futures_util::{Stream, future};

use super::{ChatEvent, StreamOutcome};
use crate::ServiceError;

/// Why an answer is to end before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// Its user wants it so.
    Stopped,
    /// Its conversation is gone.
    Gone,
    /// The server stops.
    ShuttingDown,
}

/// An answer that is being made.
pub(super) struct Live {
    pub(super) id: ChatStreamId,
    pub(super) user_id: UserId,
    pub(super) conversation_id: ConversationId,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the model was given, once it was asked.
    context: Option<ContextUse>,
    queued: Option<u32>,
    pieces: Vec<String>,
    outcome: Option<StreamOutcome>,
    cut: Option<Cut>,
    /// What it answers is stored.
    is_stored: bool,
    word: Word,
    listeners: HashMap<u64, Option<Waker>>,
    last_listener: u64,
    task: Option<Waker>,
}

/// What whoever asked was told before there is an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Word {
    /// Nothing: they wait for a status.
    #[default]
    None,
    /// That they are heard.
    Given,
    /// They are about to be refused.
    Refusal,
}

impl State {
    fn wake_listeners(&mut self) {
        self.listeners.values_mut().filter_map(Option::take).for_each(Waker::wake);
    }
}

impl Live {
    pub(super) fn new(id: ChatStreamId, user_id: UserId, conversation_id: ConversationId) -> Self {
        Self { id, user_id, conversation_id, state: Mutex::default() }
    }

    /// What it answers is stored.
    pub(super) fn store(&self) {
        let mut state = self.lock();
        state.is_stored = true;
        state.wake_listeners();
    }

    /// Whether whoever asked is there and has been told nothing yet: then they are to be refused, and no longer told that they are heard.
    pub(super) fn refuse(&self) -> bool {
        let mut state = self.lock();
        let can_be_refused = state.word != Word::Given && !state.listeners.is_empty();
        if can_be_refused {
            state.word = Word::Refusal;
        }
        can_be_refused
    }

    /// The model was asked, and accepted.
    pub(super) fn open(&self, context: ContextUse) {
        let mut state = self.lock();
        state.context = Some(context);
        state.wake_listeners();
    }

    /// It waits for a place.
    pub(super) fn queue(&self, position: u32) {
        let mut state = self.lock();
        state.queued = Some(position);
        state.wake_listeners();
    }

    /// More of it.
    pub(super) fn push(&self, piece: String) {
        let mut state = self.lock();
        state.queued = None;
        state.pieces.push(piece);
        state.wake_listeners();
    }

    /// Ends it, unless it has ended.
    pub(super) fn end(&self, outcome: StreamOutcome) {
        let mut state = self.lock();
        state.outcome.get_or_insert(outcome);
        state.wake_listeners();
    }

    /// Wants it to end before its time. The first reason counts.
    pub(super) fn cut(&self, reason: Cut) {
        let mut state = self.lock();
        state.cut.get_or_insert(reason);
        if let Some(task) = state.task.take() {
            task.wake();
        }
    }

    /// Waits until it is to end before its time. For its task alone.
    pub(super) async fn until_cut(&self) -> Cut {
        future::poll_fn(|context| {
            let mut state = self.lock();
            if let Some(reason) = state.cut {
                return Poll::Ready(reason);
            }
            state.task = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Whether anybody listens here.
    pub(super) fn has_listeners(&self) -> bool {
        !self.lock().listeners.is_empty()
    }

    /// Listens, after so many pieces.
    pub(super) fn listen(self: &Arc<Self>, after: u32) -> Listener {
        let mut state = self.lock();
        state.last_listener += 1;
        let key = state.last_listener;
        state.listeners.insert(key, None);
        Listener { live: Arc::clone(self), key, read: after, queued: None, over: false }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who listens to an answer. Dropping it listens no more.
pub(super) struct Listener {
    live: Arc<Live>,
    key: u64,
    /// How many pieces it has read.
    read: u32,
    /// The place in the queue that it knows of.
    queued: Option<u32>,
    over: bool,
}

impl Listener {
    /// Waits until the model has accepted, or the turn has ended before. Nothing is lost if this is dropped.
    pub(super) async fn opened(&mut self) -> Result<ContextUse, ServiceError> {
        future::poll_fn(|context| {
            let mut state = self.live.lock();
            match (&state.outcome, state.context) {
                (Some(Err(error)), None) => Poll::Ready(Err(error.clone())),
                (_, Some(context)) => Poll::Ready(Ok(context)),
                (Some(Ok(_)), None) => Poll::Ready(Ok(ContextUse::default())),
                (None, None) => {
                    state.listeners.insert(self.key, Some(context.waker().clone()));
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Waits until what was said is stored, and gives the word that it stays, whatever becomes of the answer; or tells why the turn was
    /// refused before. Nothing is lost if this is dropped.
    pub(super) async fn promised(&mut self) -> Result<(), ServiceError> {
        future::poll_fn(|context| {
            let mut state = self.live.lock();
            if let (Some(Err(error)), Word::None | Word::Refusal) = (&state.outcome, state.word) {
                return Poll::Ready(Err(error.clone()));
            }
            if state.outcome.is_some() || (state.is_stored && state.word != Word::Refusal) {
                state.word = Word::Given;
                return Poll::Ready(Ok(()));
            }
            state.listeners.insert(self.key, Some(context.waker().clone()));
            Poll::Pending
        })
        .await
    }

    /// Waits for the end.
    pub(super) async fn outcome(&mut self) -> StreamOutcome {
        future::poll_fn(|context| {
            let mut state = self.live.lock();
            if let Some(outcome) = &state.outcome {
                return Poll::Ready(outcome.clone());
            }
            state.listeners.insert(self.key, Some(context.waker().clone()));
            Poll::Pending
        })
        .await
    }
}

impl Stream for Listener {
    type Item = Result<ChatEvent, ServiceError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let listener = self.get_mut();
        if listener.over {
            return Poll::Ready(None);
        }
        let mut state = listener.live.lock();
        let unread = usize::try_from(listener.read).ok().and_then(|read| state.pieces.get(read));
        if let Some(text) = unread.cloned() {
            listener.read += 1;
            return Poll::Ready(Some(Ok(ChatEvent::Text { number: listener.read, text })));
        }
        if let Some(outcome) = &state.outcome {
            listener.over = true;
            let number = listener.read.saturating_add(1);
            return Poll::Ready(Some(outcome.clone().map(|_| ChatEvent::Done { number })));
        }
        if let Some(position) = state.queued.filter(|position| listener.queued != Some(*position)) {
            listener.queued = Some(position);
            return Poll::Ready(Some(Ok(ChatEvent::Queued { position })));
        }
        state.listeners.insert(listener.key, Some(context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.live.lock().listeners.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};
    use test_support::builders::{a_chat_stream, a_message, a_user_id, a_uuid};

    use domain::MessageStatus;
    use ports::GenerationError;

    use super::super::places::LiveStreams;
    use super::*;

    fn a_live() -> Live {
        Live::new(ChatStreamId::new(a_uuid()), a_user_id(), ConversationId::new(a_uuid()))
    }

    #[test]
    fn listeners_come_and_go_and_each_hears_everything_from_where_it_is() {
        let streams = LiveStreams::holding(1, 1);
        let place = streams.enter(a_live()).unwrap();
        let (live, mut first) = (Arc::clone(&place.live), place.live.listen(0));
        assert!(matches!(streams.enter(a_live()), Err(GenerationError::Overloaded { .. })), "there is one place");
        assert_eq!(first.next().now_or_never(), None);
        live.queue(3);
        assert_eq!(first.next().now_or_never().unwrap().unwrap(), Ok(ChatEvent::Queued { position: 3 }));
        assert_eq!(first.next().now_or_never(), None, "a place is told once");
        live.push("a".into());
        live.push("b".into());
        assert_eq!(first.next().now_or_never().unwrap().unwrap(), Ok(ChatEvent::Text { number: 1, text: "a".into() }));
        drop(first);
        assert!(!live.has_listeners());
        let late = live.listen(1);
        let stream = a_chat_stream(live.user_id, &a_message(live.conversation_id, None));
        live.end(Ok(Box::new(stream.message("ab".into(), MessageStatus::Done))));
        drop(place);
        assert_eq!(streams.count(), 0);
        let heard: Vec<_> = late.collect::<Vec<_>>().now_or_never().unwrap();
        assert_eq!(heard, [Ok(ChatEvent::Text { number: 2, text: "b".into() }), Ok(ChatEvent::Done { number: 3 })]);
    }

    #[test]
    fn a_task_that_breaks_off_leaves_nobody_waiting() {
        let streams = LiveStreams::holding(1, 1);
        let place = streams.enter(a_live()).unwrap();
        let mut listener = place.live.listen(0);
        drop(place);
        assert!(listener.opened().now_or_never().unwrap().is_err());
        assert!(listener.next().now_or_never().unwrap().unwrap().is_err());
        assert_eq!(listener.next().now_or_never().unwrap(), None);
        assert_eq!(streams.count(), 0);
    }

    #[test]
    fn a_word_that_was_given_is_kept_and_a_refusal_is_not_taken_back() {
        let live = Arc::new(a_live());
        assert!(!live.refuse(), "nobody is there to be refused");
        let mut listener = live.listen(0);
        assert_eq!(listener.promised().now_or_never(), None, "nothing is stored yet");
        live.store();
        assert_eq!(listener.promised().now_or_never(), Some(Ok(())));
        assert!(!live.refuse(), "they were told that they are heard");

        let live = Arc::new(a_live());
        let mut listener = live.listen(0);
        live.store();
        assert!(live.refuse());
        assert_eq!(listener.promised().now_or_never(), None, "they are about to be refused");
        live.end(Err(ServiceError::ConversationNotFound));
        assert_eq!(listener.promised().now_or_never(), Some(Err(ServiceError::ConversationNotFound)));
    }

    #[test]
    fn the_first_reason_to_cut_counts() {
        let live = a_live();
        assert_eq!(live.until_cut().now_or_never(), None);
        live.cut(Cut::Stopped);
        live.cut(Cut::ShuttingDown);
        assert_eq!(live.until_cut().now_or_never(), Some(Cut::Stopped));
    }
}
