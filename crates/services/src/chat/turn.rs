//! One turn, from the stored question to the stored answer: a task that no request holds.

use std::pin::pin;
use std::time::Duration;

use domain::{
    ChatFailure, ChatPieces, ChatStream, ChatStreamState, Conversation, ConversationTitle, FinishReason, Message, MessageStatus,
    Timestamp, TokenUsage, chat_messages,
};
use futures_util::future::{BoxFuture, Either, Fuse, FusedFuture as _, select};
use futures_util::{FutureExt as _, select_biased};
use ports::{Completion, GenerationError, NewTurn, StoreError, StreamEnd, StreamOrders, TokenEvent, TokenStream};

use super::live::{Cut, Place};
use super::prepare::{Answerer, ChosenContext};
use super::{ChatService, StreamOutcome};
use crate::generation::Running;
use crate::{Caller, ServiceError, TokenHold};

/// How often a turn looks after itself: pieces are appended to the database, and the absence of listeners is measured, in this measure.
pub(super) const TICK: Duration = Duration::from_millis(250);

/// A turn that has nothing to append says that it lives every so many ticks, and hears then whether it is to stop.
const TICKS_A_BEAT: u32 = 4;

/// How often the end of an answer is offered to a database that cannot take it, and how long is waited in between.
const FINISH_ATTEMPTS: u32 = 5;
const FINISH_PAUSE: Duration = Duration::from_millis(300);

/// A turn that is to begin.
pub(super) struct Turn {
    pub(super) service: ChatService,
    pub(super) caller: Caller,
    pub(super) conversation: Conversation,
    pub(super) stream: ChatStream,
    /// What is said now; `None` where what is answered is stored already.
    pub(super) new_message: Option<Message>,
    pub(super) title: Option<ConversationTitle>,
    pub(super) answerer: Answerer,
    pub(super) context: ChosenContext,
    pub(super) hold: Option<TokenHold>,
    /// Given up last, when everything else is done.
    pub(super) place: Place,
}

/// Why an answer is at its end.
enum Ending {
    Finished(Completion),
    Failed(GenerationError),
    /// Nobody listened for too long.
    Unheard,
    Cut(Cut),
}

impl Turn {
    pub(super) async fn run(mut self) {
        let outcome = match self.begin().await {
            Ok(Some(tokens)) => self.answer(tokens).await,
            Ok(None) => self.conclude(Ending::Cut(Cut::Stopped), Unstored::default(), None).await,
            Err(error) => {
                // What was set aside is given back before the caller tries again.
                drop(self.hold.take());
                Err(error)
            }
        };
        self.place.live.end(outcome);
    }

    /// Stores the question and asks the model. What the model refuses is taken back; what its user stops before the model has answered
    /// at all (`None`) stays.
    async fn begin(&mut self) -> Result<Option<TokenStream>, ServiceError> {
        let new_message = self.new_message.take();
        let new_message_id = new_message.as_ref().map(|message| message.id);
        let turn = NewTurn {
            stream: self.stream.clone(),
            message: new_message,
            title: self.title.take(),
            max_messages: self.service.limits.conversation_messages,
        };
        let streams = self.service.ports.streams.clone();
        streams.begin(turn).await.map_err(|error| self.service.message_error(error))?;
        match self.ask().await {
            Ok(tokens) => {
                self.place.live.open(self.context.usage);
                Ok(tokens)
            }
            Err(error) => {
                let withdrawn = streams.withdraw(self.stream.id, new_message_id, self.conversation.active_message).await;
                if let Err(problem) = withdrawn {
                    tracing::error!(chat_stream_id = %self.stream.id, error = %problem, "a refused turn could not be taken back");
                }
                Err(error)
            }
        }
    }

    async fn ask(&mut self) -> Result<Option<TokenStream>, ServiceError> {
        let summary = if self.context.summarised { self.summary().await } else { None };
        let messages = chat_messages(&self.context.system_prompt, summary.as_deref(), &self.context.kept);
        if summary.is_some() {
            self.context.usage.prompt_tokens = self.answerer.count_tokens(messages.clone()).await?;
        }
        let request = self.answerer.request(self.stream.user_id, messages);
        let asked = pin!(self.answerer.generator.generate(request));
        match select(asked, pin!(self.place.live.until_cut())).await {
            Either::Left((tokens, _)) => Ok(Some(tokens?)),
            // A provider may take a while to accept.
            Either::Right((Cut::Stopped, _)) => Ok(None),
            Either::Right((Cut::Gone, _)) => Err(ServiceError::ConversationNotFound),
            Either::Right((Cut::ShuttingDown, _)) => Err(GenerationError::ShuttingDown.into()),
        }
    }

    async fn answer(&mut self, tokens: TokenStream) -> StreamOutcome {
        let mut running = Running::one(tokens, self.hold.take());
        let mut answer = Unstored::default();
        let ending = self.listen_to(&mut running, &mut answer).await;
        let usage = running.usage();
        if matches!(ending, Ending::Finished(_))
            && let Err(error) = running.settle().await
        {
            tracing::error!(chat_stream_id = %self.stream.id, %error, "the tokens of an answer could not be settled; they expire");
        }
        // What is still being made stops here, before the database is waited for.
        drop(running);
        self.conclude(ending, answer, Some(usage)).await
    }

    /// Stores the answer as far as it came.
    async fn conclude(&self, ending: Ending, mut answer: Unstored, usage: Option<TokenUsage>) -> StreamOutcome {
        let has_begun = answer.has_begun;
        let Judgement { state, status, kept, outcome } = judge(ending, has_begun);
        let mut message = self.stream.message(std::mem::take(&mut answer.text), status);
        message.usage = usage.filter(|_| has_begun);
        let end = StreamEnd {
            state,
            message: kept.then(|| message.clone()),
            last_pieces: std::mem::take(&mut answer.pending),
            ended_at: self.service.ports.clock.now(),
        };
        match self.finish(answer.appended, end).await {
            Ok(()) => outcome.map_or_else(|| Ok(Box::new(message)), Err),
            Err(StoreError::NotFound) => Err(ServiceError::ConversationNotFound),
            Err(error) => {
                tracing::error!(chat_stream_id = %self.stream.id, %error, "an answer could not be stored");
                Err(ServiceError::Store(error))
            }
        }
    }

    /// Hands out what is made, until there is a reason to end.
    async fn listen_to(&self, running: &mut Running, answer: &mut Unstored) -> Ending {
        let (timer, live) = (&self.service.ports.timer, &self.place.live);
        let mut tick = timer.sleep(TICK).fuse();
        let mut appending: Fuse<BoxFuture<'static, Result<StreamOrders, StoreError>>> = Fuse::terminated();
        let mut cut = pin!(live.until_cut().fuse());
        let mut absence = Absence::new(self.service.limits.resume_window);
        let ending = loop {
            let mut next = pin!(running.next().fuse());
            select_biased! {
                reason = cut => break Ending::Cut(reason),
                orders = appending => match orders {
                    Ok(orders) => {
                        answer.note_appended();
                        absence.attended_until = orders.attended_until;
                        if orders.stop {
                            break Ending::Cut(Cut::Stopped);
                        }
                    }
                    Err(StoreError::NotFound) => break Ending::Cut(Cut::Gone),
                    // The pieces are offered again at the next tick.
                    Err(error) => tracing::warn!(chat_stream_id = %self.stream.id, %error, "an answer could not be appended"),
                },
                () = tick => {
                    tick = timer.sleep(TICK).fuse();
                    if absence.lasts_too_long(live.has_listeners(), self.service.ports.clock.now()) {
                        break Ending::Unheard;
                    }
                    if appending.is_terminated() && answer.is_due() {
                        appending = self.append(answer).fuse();
                    }
                },
                event = next => match event {
                    Some(Ok((_, TokenEvent::Queued { position }))) => live.queue(position),
                    Some(Ok((_, TokenEvent::Started(_)))) => answer.has_begun = true,
                    Some(Ok((_, TokenEvent::Text { text, .. }))) => answer.take(&text).into_iter().for_each(|piece| live.push(piece)),
                    Some(Ok((_, TokenEvent::Finished(completion)))) => break Ending::Finished(completion),
                    Some(Err(error)) => break Ending::Failed(error),
                    None => break Ending::Failed(GenerationError::Failed("the generation ended without a last event".to_owned())),
                },
            }
        };
        // Which pieces the database has must be known before the rest is offered.
        if !appending.is_terminated() && appending.await.is_ok() {
            answer.note_appended();
        }
        ending
    }

    fn append(&self, answer: &mut Unstored) -> BoxFuture<'static, Result<StreamOrders, StoreError>> {
        let (streams, id, now) = (self.service.ports.streams.clone(), self.stream.id, self.service.ports.clock.now());
        let (already, pieces) = (answer.appended, answer.offer());
        async move { streams.append(id, already, pieces, now).await }.boxed()
    }

    /// Stores the end, also where the database is away for a moment.
    async fn finish(&self, appended: u32, end: StreamEnd) -> Result<(), StoreError> {
        let mut attempt = 1;
        loop {
            match self.service.ports.streams.finish(self.stream.id, appended, end.clone()).await {
                Err(StoreError::Unavailable(_)) if attempt < FINISH_ATTEMPTS => {
                    attempt += 1;
                    self.service.ports.timer.sleep(FINISH_PAUSE).await;
                }
                // The attempt before, which seemed to fail, did not.
                Err(StoreError::NotFound) if attempt > 1 => return Ok(()),
                result => return result,
            }
        }
    }
}

/// What an ending means for what is stored and told.
struct Judgement {
    state: ChatStreamState,
    status: MessageStatus,
    /// Whether the answer is kept.
    kept: bool,
    /// What listeners are told instead of the end.
    outcome: Option<ServiceError>,
}

fn judge(ending: Ending, has_begun: bool) -> Judgement {
    let failed = |failure: ChatFailure, status: MessageStatus, error: ServiceError| Judgement {
        state: ChatStreamState::Failed(failure),
        status,
        // An answer that never began is none; the question stays.
        kept: has_begun,
        outcome: Some(error),
    };
    let stopped = Judgement { state: ChatStreamState::Done, status: MessageStatus::Interrupted, kept: true, outcome: None };
    match ending {
        Ending::Finished(completion) if completion.finish_reason == FinishReason::Interrupted => {
            failed(ChatFailure::ShuttingDown, MessageStatus::Interrupted, GenerationError::ShuttingDown.into())
        }
        Ending::Finished(_) => Judgement { status: MessageStatus::Done, ..stopped },
        Ending::Unheard | Ending::Cut(Cut::Stopped) => stopped,
        Ending::Cut(Cut::ShuttingDown) => {
            failed(ChatFailure::ShuttingDown, MessageStatus::Interrupted, GenerationError::ShuttingDown.into())
        }
        Ending::Cut(Cut::Gone) => failed(ChatFailure::Failed, MessageStatus::Interrupted, ServiceError::ConversationNotFound),
        Ending::Failed(error) => {
            let failure = failure_of(&error);
            let was_cut = matches!(failure, ChatFailure::DeadlineExceeded | ChatFailure::ShuttingDown);
            failed(failure, if was_cut { MessageStatus::Interrupted } else { MessageStatus::Failed }, error.into())
        }
    }
}

/// What is kept of why an answer broke off, for those who take it up later.
fn failure_of(error: &GenerationError) -> ChatFailure {
    match error {
        GenerationError::DeadlineExceeded => ChatFailure::DeadlineExceeded,
        GenerationError::ShuttingDown => ChatFailure::ShuttingDown,
        GenerationError::ProviderBusy { .. }
        | GenerationError::ProviderUnreachable { .. }
        | GenerationError::ProviderFailed { .. } => ChatFailure::Provider,
        GenerationError::PromptTooLong { .. }
        | GenerationError::Overloaded { .. }
        | GenerationError::ModelUnavailable(_)
        | GenerationError::Unsupported { .. }
        | GenerationError::InputRefused(_)
        | GenerationError::Failed(_) => ChatFailure::Failed,
    }
}

/// An answer as far as it came, and what of it the database has.
#[derive(Default)]
struct Unstored {
    has_begun: bool,
    text: String,
    splitter: ChatPieces,
    /// Pieces that the database has.
    appended: u32,
    /// Those that it does not have, or may not have yet.
    pending: Vec<String>,
    /// How many of these were offered to it.
    offered: usize,
    ticks_since_beat: u32,
}

impl Unstored {
    /// Takes a piece of text and answers it as it is handed out.
    fn take(&mut self, text: &str) -> Vec<String> {
        let pieces = self.splitter.next(text);
        self.text.extend(pieces.iter().map(String::as_str));
        self.pending.extend(pieces.iter().cloned());
        pieces
    }

    /// At a tick: whether the database should hear of it.
    fn is_due(&mut self) -> bool {
        self.ticks_since_beat += 1;
        !self.pending.is_empty() || self.ticks_since_beat >= TICKS_A_BEAT
    }

    fn offer(&mut self) -> Vec<String> {
        self.ticks_since_beat = 0;
        self.offered = self.pending.len();
        self.pending.clone()
    }

    fn note_appended(&mut self) {
        let offered = std::mem::take(&mut self.offered);
        self.pending.drain(..offered);
        self.appended = self.appended.saturating_add(u32::try_from(offered).unwrap_or(u32::MAX));
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
