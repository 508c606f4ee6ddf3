//! The two ends of one generation's events: the engine's, which never waits, and the caller's, which is a stream.
//!
//! Between them lies a bounded channel. Text that finds it full stays on the engine's side, where the sequence pauses: it keeps its
//! slot and is left out of the next steps until its reader takes something. What is on the engine's side is therefore never more than
//! the text of one step. The probabilities of tokens, where they are asked for, wait there for the text that they belong to. The last word (the rest of the text and how it ended) goes by a way of its own, so that a sequence whose reader
//! does not read can still end and free its slot.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::task::{Context, Poll};

use futures_core::Stream;
use ports::{Completion, GenerationError, TokenEvent, TokenLogprob};
use tokio::sync::{mpsc, oneshot};

use super::{Command, Shared};
use crate::text::scheduler::SequenceId;

/// How a generation ended, with the text that had not been handed over.
#[derive(Debug)]
struct LastWord {
    text: String,
    /// Tokens made, for the event that carries the rest of the text.
    completion_tokens: u32,
    logprobs: Vec<TokenLogprob>,
    outcome: Result<Completion, GenerationError>,
}

/// The engine's end.
#[derive(Debug)]
pub(super) struct EventSender {
    events: mpsc::Sender<TokenEvent>,
    last_word: oneshot::Sender<LastWord>,
    starved: Arc<AtomicBool>,
    unsent: String,
    completion_tokens: u32,
    /// Of the tokens made since the last text that went out.
    logprobs: Vec<TokenLogprob>,
}

/// What came of handing over text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// It was taken.
    Taken,
    /// There is no room: the sequence should pause until its reader asks for more.
    Full,
    /// Nobody listens any more.
    Gone,
}

/// The caller's end. Dropping it cancels the generation.
pub(super) struct EventStream {
    id: SequenceId,
    events: mpsc::Receiver<TokenEvent>,
    last_word: Option<oneshot::Receiver<LastWord>>,
    /// The outcome, while the rest of the text goes before it.
    outcome: Option<Result<Completion, GenerationError>>,
    starved: Arc<AtomicBool>,
    commands: Sender<Command>,
    shared: Arc<Shared>,
}

/// Both ends for one generation.
pub(super) fn event_channel(
    id: SequenceId,
    buffer: usize,
    commands: Sender<Command>,
    shared: Arc<Shared>,
) -> (EventSender, EventStream) {
    let (sender, receiver) = mpsc::channel(buffer);
    let (last_word, last_word_receiver) = oneshot::channel();
    let starved = Arc::new(AtomicBool::new(false));
    let stream = EventStream {
        id,
        events: receiver,
        last_word: Some(last_word_receiver),
        outcome: None,
        starved: Arc::clone(&starved),
        commands,
        shared,
    };
    let (unsent, logprobs) = (String::new(), Vec::new());
    (EventSender { events: sender, last_word, starved, unsent, completion_tokens: 0, logprobs }, stream)
}

impl EventSender {
    /// Tells a place in the queue, unless that would leave no room for what matters more.
    pub(super) fn send_position(&self, position: u32) {
        if self.events.capacity() > 2 {
            // A reader that is gone is noticed by its cancel command.
            let _ = self.events.try_send(TokenEvent::Queued { position });
        }
    }

    /// Tells that it begins. There is room: positions leave it.
    pub(super) fn send_started(&self, start: ports::GenerationStart) {
        let _ = self.events.try_send(TokenEvent::Started(start));
    }

    /// Adds a token's probability to what goes out with the next text.
    pub(super) fn add_logprob(&mut self, logprob: TokenLogprob) {
        self.logprobs.push(logprob);
    }

    /// Hands text over, together with what found no room before. So many tokens were made by now.
    pub(super) fn send_text(&mut self, text: &str, completion_tokens: u32) -> Delivery {
        self.unsent.push_str(text);
        self.completion_tokens = completion_tokens;
        if self.unsent.is_empty() {
            return Delivery::Taken;
        }
        match self.try_send() {
            Delivery::Full => {
                self.starved.store(true, Ordering::SeqCst);
                // The reader may have emptied the channel before it could see the flag; then nobody would ever wake this sequence.
                if self.events.capacity() == 0 { Delivery::Full } else { self.try_send() }
            }
            delivery => delivery,
        }
    }

    fn try_send(&mut self) -> Delivery {
        let event = TokenEvent::Text {
            text: std::mem::take(&mut self.unsent),
            completion_tokens: self.completion_tokens,
            logprobs: std::mem::take(&mut self.logprobs),
        };
        match self.events.try_send(event) {
            Ok(()) => Delivery::Taken,
            Err(mpsc::error::TrySendError::Full(TokenEvent::Text { text, logprobs, .. })) => {
                (self.unsent, self.logprobs) = (text, logprobs);
                Delivery::Full
            }
            Err(_) => Delivery::Gone,
        }
    }

    /// Ends the stream: text that is left, then the outcome.
    pub(super) fn finish(mut self, text: &str, completion_tokens: u32, outcome: Result<Completion, GenerationError>) {
        self.unsent.push_str(text);
        // An error means that the caller is gone.
        let _ = self.last_word.send(LastWord { text: self.unsent, completion_tokens, logprobs: self.logprobs, outcome });
    }
}

impl Stream for EventStream {
    type Item = Result<TokenEvent, GenerationError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(outcome) = self.outcome.take() {
            return Poll::Ready(Some(outcome.map(TokenEvent::Finished)));
        }
        let Some(event) = std::task::ready!(self.events.poll_recv(context)) else {
            return Poll::Ready(self.read_last_word());
        };
        if self.starved.swap(false, Ordering::SeqCst) {
            // An error means that the engine ended; the last word tells.
            let _ = self.commands.send(Command::Resume(self.id));
        }
        Poll::Ready(Some(Ok(event)))
    }
}

impl EventStream {
    fn read_last_word(&mut self) -> Option<Result<TokenEvent, GenerationError>> {
        let Ok(LastWord { text, completion_tokens, logprobs, outcome }) = self.last_word.take()?.try_recv() else {
            let why = self.shared.why_ended();
            return Some(Err(why.unwrap_or_else(|| GenerationError::Failed("the engine broke down".to_owned()))));
        };
        if text.is_empty() {
            return Some(outcome.map(TokenEvent::Finished));
        }
        self.outcome = Some(outcome);
        Some(Ok(TokenEvent::Text { text, completion_tokens, logprobs }))
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        if self.last_word.is_some() {
            // An error means that the engine ended, and with it this generation.
            let _ = self.commands.send(Command::Cancel(self.id));
        }
    }
}
