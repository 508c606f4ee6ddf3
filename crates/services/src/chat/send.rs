//! Saying something, and having an answer made again.

use domain::{
    ChatRole, ChatStream, ChatStreamId, ChatStreamState, ContextUse, Conversation, ConversationId, ConversationTitle, Message,
    MessageId, MessageStatus, Prompt, Refusal,
};
use futures_util::StreamExt;
use ports::Owner;

use super::live::{Listener, Live};
use super::prepare::Answerer;
use super::turn::Turn;
use super::{Addressed, AnswerRequest, ChatEvents, ChatRequest, ChatService, conversation_error, message_not_found};
use crate::{Caller, ServiceError};

/// A turn that has begun: an answer that is being made, and a listener to it.
pub struct ChatTurn {
    /// The answer, while it is made.
    pub stream_id: ChatStreamId,
    /// In which conversation.
    pub conversation_id: ConversationId,
    /// The message that is answered.
    pub user_message: Message,
    /// Which message the answer will be.
    pub message_id: MessageId,
    listener: Listener,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What was said.
    pub user_message: Message,
    /// What was answered.
    pub assistant_message: Message,
    /// What the model was given.
    pub context: ContextUse,
}

impl ChatTurn {
    /// Waits until what was said is stored, and has it stay there whatever becomes of the answer: for a caller who is about to be told that
    /// they are heard. Without this, what is refused leaves no trace as long as somebody waits here to be told so. Fails where the turn was
    /// refused already. Nothing is lost if this is dropped before it is ready.
    pub async fn promised(&mut self) -> Result<(), ServiceError> {
        self.listener.promised().await
    }

    /// Waits until the model has accepted, and tells what it was given; or why the turn was refused, of which no trace is left then.
    /// Nothing is lost if this is dropped before it is ready.
    pub async fn opened(&mut self) -> Result<ContextUse, ServiceError> {
        self.listener.opened().await
    }

    /// Listens to the answer.
    pub fn into_events(self) -> ChatEvents {
        self.listener.boxed()
    }

    /// Waits for the whole answer. Dropping this leaves it being made.
    pub async fn whole(mut self) -> Result<Answer, ServiceError> {
        let context = self.opened().await?;
        let assistant_message = *self.listener.outcome().await?;
        Ok(Answer { user_message: self.user_message, assistant_message, context })
    }
}

impl ChatService {
    /// Says something in a conversation, and has it answered. What can be refused at once is refused here; the rest by
    /// [`ChatTurn::opened`]. Either way nothing is kept of it.
    pub async fn send(&self, caller: &Caller, addressed: Addressed, request: ChatRequest) -> Result<ChatTurn, ServiceError> {
        let content = Prompt::new(request.content, self.limits.message_characters)?;
        let conversation = self.addressed(caller, addressed).await?;
        let answerer = self.answerer(caller, &conversation, request.answer).await?;
        // What would be refused in any case stops no answer.
        answerer.generator.admits(Owner::User(caller.user.id))?;
        let (conversation, before) = self.end_of(caller, conversation).await?;
        let message = Message {
            id: self.new_message_id(),
            conversation_id: conversation.id,
            parent_id: before.last().map(|last| last.id),
            depth: before.last().map_or(0, |last| last.depth.saturating_add(1)),
            role: ChatRole::User,
            content: content.as_str().to_owned(),
            status: MessageStatus::Done,
            model: None,
            usage: None,
            created_at: self.ports.clock.now(),
        };
        let mut branch = if request.use_context { before } else { Vec::new() };
        branch.push(message.clone());
        let question = Question { message, is_new: true, uses_context: request.use_context };
        self.begin_turn(caller, conversation, branch, question, answerer).await
    }

    /// Has a message answered again, or an answer made again: a new branch, the old one stays.
    pub async fn regenerate(
        &self,
        caller: &Caller,
        conversation_id: ConversationId,
        message_id: MessageId,
        request: AnswerRequest,
    ) -> Result<ChatTurn, ServiceError> {
        let conversation = self.addressed(caller, Addressed::Conversation(conversation_id)).await?;
        let own = ports::RecordScope::Of(caller.user.id);
        let named = self.ports.conversations.message(own, conversation_id, message_id).await.map_err(message_not_found)?;
        let asked = match named.role {
            ChatRole::Assistant => named.parent_id,
            ChatRole::User | ChatRole::System => Some(named.id),
        };
        let branch = self.branch_for_context(&conversation, asked).await?;
        let Some(message) = branch.last().filter(|message| message.role == ChatRole::User).cloned() else {
            return Err(Refusal::field("message_id", "answers nothing that a user said").into());
        };
        let answerer = self.answerer(caller, &conversation, request).await?;
        let question = Question { message, is_new: false, uses_context: true };
        self.begin_turn(caller, conversation, branch, question, answerer).await
    }

    /// The conversation that is meant, if it is the caller's own.
    pub(super) async fn addressed(&self, caller: &Caller, addressed: Addressed) -> Result<Conversation, ServiceError> {
        let found = match addressed {
            Addressed::Conversation(id) => self.ports.conversations.get(ports::RecordScope::Of(caller.user.id), id).await,
            Addressed::Default => {
                let fresh = Conversation::empty(self.new_conversation_id(), caller.user.id, self.ports.clock.now());
                self.ports.conversations.default_of(fresh).await
            }
        };
        found.map_err(conversation_error)
    }

    /// Where a conversation goes on from, and the branch that ends there. An answer that is still being made there is stopped and stored
    /// first, as far as it came: who goes on without waiting for it would otherwise never see it, nor would the model.
    async fn end_of(
        &self,
        caller: &Caller,
        mut conversation: Conversation,
    ) -> Result<(Conversation, Vec<Message>), ServiceError> {
        const LOOKS: u32 = 3;
        for look in 1..=LOOKS {
            let Some(leaf) = conversation.active_message else { break };
            let running = self.ports.streams.answering(conversation.id, leaf).await.map_err(ServiceError::Store)?;
            // One that does not stop in time, because the process that made it is gone, is not waited for again.
            if running.is_empty() || look > 1 {
                let branch = self.branch_for_context(&conversation, Some(leaf)).await?;
                // Nothing is there where a refused turn was taken back in this very moment.
                if !branch.is_empty() || look == LOOKS {
                    return Ok((conversation, branch));
                }
            } else {
                for id in running {
                    match self.stop(caller, id).await {
                        Ok(_) | Err(ServiceError::StreamNotFound) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            let own = ports::RecordScope::Of(caller.user.id);
            conversation = self.ports.conversations.get(own, conversation.id).await.map_err(conversation_error)?;
        }
        Ok((conversation, Vec::new()))
    }

    async fn begin_turn(
        &self,
        caller: &Caller,
        conversation: Conversation,
        branch: Vec<Message>,
        question: Question,
        answerer: Answerer,
    ) -> Result<ChatTurn, ServiceError> {
        let mut context = self.choose_context(&conversation, &answerer, branch).await?;
        if !question.uses_context {
            // What was not wanted was not dropped.
            context.usage.messages_dropped = 0;
        }
        let hold = self.hold_for(caller, &answerer, &context).await?;
        let now = self.ports.clock.now();
        let Question { message, is_new, .. } = question;
        let stream = ChatStream {
            id: self.new_stream_id(),
            user_id: caller.user.id,
            conversation_id: conversation.id,
            parent_id: message.id,
            parent_depth: message.depth,
            message_id: self.new_message_id(),
            model: answerer.model.clone(),
            state: ChatStreamState::Running,
            started_at: now,
            beat_at: now,
            ended_at: None,
        };
        let place = self.live.enter(Live::new(stream.id, caller.user.id, conversation.id))?;
        let listener = place.live.listen(0);
        let turn = ChatTurn {
            stream_id: stream.id,
            conversation_id: conversation.id,
            user_message: message.clone(),
            message_id: stream.message_id,
            listener,
        };
        let title = ConversationTitle::of_first_message(&message.content);
        let new_message = is_new.then_some(message);
        let task = Turn {
            service: self.clone(),
            caller: caller.clone(),
            conversation,
            stream,
            new_message,
            is_new,
            title,
            answerer,
            context,
            hold,
            place,
        };
        self.ports.background.spawn(Box::pin(task.run()));
        Ok(turn)
    }
}

/// The message that is to be answered.
struct Question {
    message: Message,
    /// Whether it is said now.
    is_new: bool,
    uses_context: bool,
}
