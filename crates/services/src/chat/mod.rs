//! Conversations: what is said in them, by whom, and how an answer outlives the connection that asked for it.
//!
//! A turn goes like this. `prepare` finds the model and chooses what of the conversation it is given; what is refused there leaves no
//! trace. Then the turn becomes a task of its own (`turn`), bound to no request and in one of so many `places`: it stores the user's
//! message, asks the model, and hands the pieces of the answer to whoever listens (`live`), while it appends them to the database a few
//! times a second. From the first moment on it says there that it lives, and hears there that it is to stop (`watch`). When it ends
//! (`ending`), the answer is stored as a message: whole, or as far as it came. A model that refuses late takes the question back only while
//! whoever asked still waits for a status; what was acknowledged stays.
//!
//! A caller who lost their connection takes the answer up where they were (`resume`): from this process's memory, or, at another replica
//! or after the end, from the database, by looking again and again. The task goes on without listeners for a while, and ends when its user
//! says so, wherever they say it: a stop and the presence of a reader travel through the database too. A process that dies leaves behind
//! what it appended, and another makes a message of it (`upkeep`).

mod conversations;
mod ending;
mod export;
mod live;
mod places;
mod prepare;
mod resume;
mod send;
mod summary;
mod transfer;
mod turn;
mod upkeep;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use domain::{ChatStreamId, ConversationId, Message, MessageId, ModelName, SamplingRequest};
use futures_util::stream::BoxStream;
use ports::{Background, ChatStreamStore, Clock, ConversationStore, LanguageModels, ModelStore, Randomness, StoreError, Timer};

use crate::generation::Generators;
use crate::{AuditTrail, LimitService, ServiceError};

pub use conversations::{ConversationEdit, ConversationQuery, ConversationSpec, MessagePage, MessageView};
pub use export::{ConversationReader, ConversationsReader, MessageOrder};
pub use resume::{Resumed, Stopped};
pub use send::{Answer, ChatTurn};
pub use transfer::{ImportedConversation, ImportedMessage};

use places::LiveStreams;

/// Which conversation is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressed {
    /// The one that a user talks in without naming any.
    Default,
    /// This one.
    Conversation(ConversationId),
}

/// Something said to the model.
#[derive(Clone)]
pub struct ChatRequest {
    /// What is said.
    pub content: String,
    /// Whether the model is given what was said before.
    pub use_context: bool,
    /// How it is to be answered.
    pub answer: AnswerRequest,
}

/// How an answer is to be made; what is absent comes from the conversation, then from the model's defaults.
#[derive(Clone, Default)]
pub struct AnswerRequest {
    /// By which model.
    pub model: Option<String>,
    /// How its tokens are chosen.
    pub sampling: SamplingRequest,
}

/// One step of an answer. Its pieces are counted from 1; its end is counted as one more.
#[derive(Debug, Clone, PartialEq)]
pub enum ChatEvent {
    /// It waits for a place; this many wait before it.
    Queued {
        /// 0 for the next to begin.
        position: u32,
    },
    /// A piece of the answer: whole characters, lines that end with `\n`, none of which is `[DONE]`.
    Text {
        /// Which piece.
        number: u32,
        /// What it says.
        text: String,
    },
    /// The answer has ended, and is stored.
    Done {
        /// How many pieces it has, and one.
        number: u32,
    },
}

/// The steps of an answer. After an error nothing follows. Dropping it leaves the answer being made: see [`ChatLimits::resume_window`].
pub type ChatEvents = BoxStream<'static, Result<ChatEvent, ServiceError>>;

/// What is accepted at the most, and how long things last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatLimits {
    /// The longest message and system prompt, in Unicode scalar values.
    pub message_characters: usize,
    /// The most messages of one conversation, all branches together.
    pub conversation_messages: u32,
    /// The most conversations of one user; their default one is had in any case.
    pub user_conversations: u32,
    /// The most messages of a branch that are looked at for an answer.
    pub context_messages: u32,
    /// The context, in tokens, of a provider's model that does not tell its own.
    pub unknown_context_tokens: u32,
    /// The most conversations of one import.
    pub import_conversations: usize,
    /// The most answers that one process makes at a time.
    pub running_streams: usize,
    /// The most of those for one user.
    pub running_streams_a_user: usize,
    /// How long an answer goes on without a listener, and can be taken up after its end.
    pub resume_window: Duration,
}

/// What a [`ChatService`] stands on.
#[derive(Clone)]
pub struct ChatPorts {
    /// Conversations and their messages.
    pub conversations: Arc<dyn ConversationStore>,
    /// Answers that are being made.
    pub streams: Arc<dyn ChatStreamStore>,
    /// Named models and users' defaults.
    pub models: Arc<dyn ModelStore>,
    /// What generates.
    pub language_models: Arc<dyn LanguageModels>,
    /// Runs the turns.
    pub background: Arc<dyn Background>,
    /// Lets time pass.
    pub timer: Arc<dyn Timer>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Draws identifiers and seeds.
    pub randomness: Arc<dyn Randomness>,
}

/// The use cases around conversations. Copies share the answers that are being made.
#[derive(Clone)]
pub struct ChatService {
    ports: ChatPorts,
    generators: Generators,
    limits: ChatLimits,
    /// What a model is told where its conversation does not say; empty for nothing.
    system_prompt: Arc<str>,
    live: LiveStreams,
    audit: AuditTrail,
}

impl ChatService {
    /// Takes what it needs; `default_model` answers where nobody named one, and `system_prompt` is what it is told then.
    pub fn new(
        ports: ChatPorts,
        default_model: ModelName,
        system_prompt: &str,
        limits: ChatLimits,
        token_limits: LimitService,
        audit: AuditTrail,
    ) -> Self {
        let generators = Generators {
            models: Arc::clone(&ports.models),
            language_models: Arc::clone(&ports.language_models),
            randomness: Arc::clone(&ports.randomness),
            default_model,
            token_limits,
        };
        let live = LiveStreams::holding(limits.running_streams, limits.running_streams_a_user);
        Self { ports, generators, limits, system_prompt: system_prompt.into(), live, audit }
    }

    fn new_message_id(&self) -> MessageId {
        MessageId::new(self.ports.randomness.uuid_v7())
    }

    fn new_conversation_id(&self) -> ConversationId {
        ConversationId::new(self.ports.randomness.uuid_v7())
    }

    fn new_stream_id(&self) -> ChatStreamId {
        ChatStreamId::new(self.ports.randomness.uuid_v7())
    }

    /// Reads a store's failure where a message was to be added.
    fn message_error(&self, error: StoreError) -> ServiceError {
        match error {
            StoreError::Conflict { field: "messages" } => {
                let problem = format!("has {} messages, the most that one may have", self.limits.conversation_messages);
                domain::Refusal::field("conversation", problem).into()
            }
            other => conversation_error(other),
        }
    }
}

/// Reads a store's failure where conversations were to be added.
fn added_error(error: StoreError, max_conversations: u32) -> ServiceError {
    match error {
        StoreError::Conflict { field: "conversations" } => {
            let problem = format!("would be more than {max_conversations}, the most that a user may have; remove some first");
            domain::Refusal::field("conversations", problem).into()
        }
        other => conversation_error(other),
    }
}

/// Reads a store's failure about a conversation.
fn conversation_error(error: StoreError) -> ServiceError {
    match error {
        StoreError::Conflict { field: "active_message" } => ServiceError::MessageNotFound,
        other => ServiceError::from_store(other, ServiceError::ConversationNotFound),
    }
}

/// Reads a store's failure about a message of a conversation that is there.
fn message_not_found(error: StoreError) -> ServiceError {
    ServiceError::from_store(error, ServiceError::MessageNotFound)
}

/// The end of an answer, as those who listen to it are told: its message, or why there is none.
type StreamOutcome = Result<Box<Message>, ServiceError>;
