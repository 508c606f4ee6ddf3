//! One turn, from the stored question to the stored answer: a task that no request holds.

use std::pin::pin;

use domain::{ChatPieces, ChatStream, ChatStreamState, Conversation, ConversationTitle, Message, TokenUsage, chat_messages};
use futures_util::future::FusedFuture as _;
use futures_util::{FutureExt as _, select_biased};
use ports::{GenerationError, NewTurn, StoreError, StreamEnd, TokenEvent, TokenStream};

use super::ending::{Ending, Judgement, judge};
use super::places::Place;
use super::prepare::{Answerer, ChosenContext};
use super::resume::failure;
use super::watch::{Heard, TICKS_A_BEAT, Watch};
use super::{ChatService, StreamOutcome};
use crate::generation::Running;
use crate::keeping::persistently;
use crate::{Caller, ServiceError, TokenHold};

/// A turn that is to begin.
pub(super) struct Turn {
    pub(super) service: ChatService,
    pub(super) caller: Caller,
    pub(super) conversation: Conversation,
    pub(super) stream: ChatStream,
    /// What is answered, until it is stored; `None` where it is already.
    pub(super) new_message: Option<Message>,
    /// Whether what is answered is said now.
    pub(super) is_new: bool,
    pub(super) title: Option<ConversationTitle>,
    pub(super) answerer: Answerer,
    pub(super) context: ChosenContext,
    pub(super) hold: Option<TokenHold>,
    /// Given up last, when everything else is done.
    pub(super) place: Place,
}

impl Turn {
    pub(super) async fn run(mut self) {
        let outcome = match self.begin().await {
            Ok(()) => self.ask_and_answer().await,
            Err(error) => Err(error),
        };
        // What was set aside is given back before the caller tries again.
        drop(self.hold.take());
        self.place.end(outcome);
    }

    /// Stores the question, and that it is being answered.
    async fn begin(&mut self) -> Result<(), ServiceError> {
        let turn = NewTurn {
            stream: self.stream.clone(),
            message: self.new_message.take(),
            title: self.title.take(),
            max_messages: self.service.limits.conversation_messages,
        };
        let begun = self.service.ports.streams.begin(turn).await;
        begun.map_err(|error| self.service.message_error(error))?;
        self.place.live.store();
        Ok(())
    }

    async fn ask_and_answer(&mut self) -> StreamOutcome {
        let mut watch = Watch::of(&self.service, &self.place.live, self.stream.id);
        let ending = match watch.over(self.ask()).await {
            Ok(Ok(tokens)) => {
                self.place.live.open(self.context.usage);
                return self.answer(tokens, watch).await;
            }
            Ok(Err(error)) => Ending::Failed(error),
            Err(ending) => ending,
        };
        drop(self.hold.take());
        // Whoever can still be told so with a status is refused, and nothing stays of it. Whoever was told already that they are heard, or
        // is not there to be told, finds their question where they left it.
        if let Some(refusal) = ending.refusal()
            && self.place.live.refuse()
        {
            self.withdraw().await;
            return Err(refusal);
        }
        self.conclude(ending, Unstored::default(), None).await
    }

    /// Asks the model; for a summary of what no longer fits first, where one is wanted.
    async fn ask(&mut self) -> Result<TokenStream, GenerationError> {
        let summary = if self.context.summarised { self.summary().await } else { None };
        let messages = chat_messages(&self.context.system_prompt, summary.as_deref(), &self.context.kept);
        if summary.is_some() {
            self.context.usage.prompt_tokens = self.answerer.count_tokens(messages.clone()).await?;
        }
        self.answerer.generator.generate(self.answerer.request(self.stream.user_id, messages)).await
    }

    async fn withdraw(&self) {
        let (streams, with_message) = (&self.service.ports.streams, self.is_new.then_some(self.stream.parent_id));
        if let Err(error) = streams.withdraw(self.stream.id, with_message, self.conversation.active_message).await {
            tracing::error!(chat_stream_id = %self.stream.id, %error, "a refused turn could not be taken back");
        }
    }

    async fn answer(&mut self, tokens: TokenStream, watch: Watch) -> StreamOutcome {
        let mut running = Running::one(tokens, self.hold.take());
        let mut answer = Unstored::default();
        let ending = self.listen_to(&mut running, &mut answer, watch).await;
        let usage = running.usage();
        if matches!(ending, Ending::Finished(_)) {
            running.settle().await;
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
            // What is answered again and fails leaves the answer before it in sight.
            back_to: self.conversation.active_message.filter(|_| !self.is_new),
            last_pieces: std::mem::take(&mut answer.pending),
            ended_at: self.service.ports.clock.now(),
        };
        match self.finish(answer.appended, end).await {
            Ok(()) => outcome.map_or_else(|| Ok(Box::new(message)), Err),
            Err(StoreError::NotFound) => Err(self.ended_elsewhere().await),
            Err(error) => {
                tracing::error!(chat_stream_id = %self.stream.id, %error, "an answer could not be stored");
                Err(ServiceError::Store(error))
            }
        }
    }

    /// Why there is nothing left to end: the conversation is gone, or another replica gave this answer up for dead.
    async fn ended_elsewhere(&self) -> ServiceError {
        match self.service.ports.streams.read(self.stream.user_id, self.stream.id, u32::MAX).await.map(|found| found.stream.state)
        {
            Ok(ChatStreamState::Failed(reason)) => failure(reason),
            _ => ServiceError::ConversationNotFound,
        }
    }

    /// Hands out what is made, until there is a reason to end.
    async fn listen_to(&self, running: &mut Running, answer: &mut Unstored, mut watch: Watch) -> Ending {
        let live = &self.place.live;
        let mut tick = watch.tick();
        let mut appending = Heard::terminated();
        let mut cut = pin!(live.until_cut().fuse());
        let ending = loop {
            let mut next = pin!(running.next().fuse());
            select_biased! {
                reason = cut => break Ending::Cut(reason),
                orders = appending => {
                    // Where it failed, the pieces are offered again at the next tick.
                    if orders.is_ok() {
                        answer.note_appended();
                    }
                    if let Err(ending) = watch.heed(orders) {
                        break ending;
                    }
                },
                () = tick => {
                    tick = watch.tick();
                    if let Err(ending) = watch.look_around() {
                        break ending;
                    }
                    if appending.is_terminated() && answer.is_due() {
                        let already = answer.appended;
                        appending = watch.append(already, answer.offer());
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

    /// Stores the end, also where the database is away for a moment.
    async fn finish(&self, appended: u32, end: StreamEnd) -> Result<(), StoreError> {
        let (ports, id) = (&self.service.ports, self.stream.id);
        let is_there = |error: &StoreError| matches!(error, StoreError::NotFound);
        persistently(&*ports.timer, is_there, || ports.streams.finish(id, appended, end.clone())).await
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
