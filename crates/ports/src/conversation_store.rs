//! Where conversations and their messages are kept.

use async_trait::async_trait;
use domain::{
    Conversation, ConversationId, ConversationSummary, ConversationTitle, Memory, Message, MessageId, ModelName, Page,
    PageRequest, SamplingRequest, SearchText, Timestamp, UserId,
};

use crate::{RecordScope, StoreError};

/// Which of a user's conversations; what is `None` does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConversationFilter {
    /// Whose title, or one of whose messages on any branch, holds this text, in whatever case.
    pub search: Option<SearchText>,
    /// Whether it is pinned.
    pub pinned: Option<bool>,
}

/// What to change of a conversation; what is `None` stays.
#[derive(Clone, PartialEq, Default)]
pub struct ConversationChange {
    /// A new name, or none.
    pub title: Option<Option<ConversationTitle>>,
    /// A new system prompt, or the server's own.
    pub system_prompt: Option<Option<String>>,
    /// Another model, or the server's default.
    pub model: Option<Option<ModelName>>,
    /// Other parameters, all of them.
    pub parameters: Option<SamplingRequest>,
    /// What becomes of old turns from now on, or what suits the model.
    pub memory: Option<Option<Memory>>,
    /// Whether it is pinned.
    pub pinned: Option<bool>,
    /// Where to go on: a message of the conversation, of any branch.
    pub active_message: Option<MessageId>,
}

/// A conversation that is added, with its messages, each after its parent.
#[derive(Debug, Clone, PartialEq)]
pub struct NewConversation {
    /// The conversation.
    pub conversation: Conversation,
    /// What is said in it already.
    pub messages: Vec<Message>,
}

/// A message's place among all of its conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessagePlace {
    /// How many messages come before it in its branch.
    pub depth: u32,
    /// Which one.
    pub id: MessageId,
}

impl From<&Message> for MessagePlace {
    fn from(message: &Message) -> Self {
        Self { depth: message.depth, id: message.id }
    }
}

/// Keeps conversations and messages. Every call is one transaction. A conversation outside the scope, or of another user, is `NotFound`.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ConversationStore: Send + Sync {
    /// Adds conversations of one user, each with its messages, each of which after its parent: all or none. Fails with `NotFound` if the
    /// user is gone, and with `Conflict {field: "conversations"}` where they would have more than `max_conversations` then, however many
    /// ask at once.
    async fn add_all(&self, user_id: UserId, added: Vec<NewConversation>, max_conversations: u32) -> Result<(), StoreError>;

    /// The user's default conversation; if there is none, `fresh` becomes it, however many they have. Of several who ask at once, all get
    /// the same one.
    async fn default_of(&self, fresh: Conversation) -> Result<Conversation, StoreError>;

    /// The user's default conversation, if there is one.
    async fn find_default(&self, user_id: UserId) -> Result<Option<Conversation>, StoreError>;

    /// One conversation.
    async fn get(&self, scope: RecordScope, id: ConversationId) -> Result<Conversation, StoreError>;

    /// The user's conversations that the filter lets through, the one in which something happened last first. A cursor's time is a
    /// conversation's `updated_at`.
    async fn list(
        &self,
        user_id: UserId,
        filter: ConversationFilter,
        page: PageRequest,
    ) -> Result<Page<Conversation>, StoreError>;

    /// Up to `limit` of the user's conversations, in the order in which they were begun, after this one: one in which something happens
    /// meanwhile keeps its place, and a new one comes last.
    async fn list_as_begun(
        &self,
        user_id: UserId,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<Vec<Conversation>, StoreError>;

    /// Changes a conversation, also its `updated_at`, and answers it as it is then. Fails with `Conflict {field: "active_message"}` where
    /// that is none of its messages.
    async fn change(
        &self,
        user_id: UserId,
        id: ConversationId,
        change: ConversationChange,
        now: Timestamp,
    ) -> Result<Conversation, StoreError>;

    /// Removes a conversation with all its messages and running streams.
    async fn remove(&self, scope: RecordScope, id: ConversationId) -> Result<(), StoreError>;

    /// Removes all messages and running streams of a conversation, its summary, and the name it had from them.
    async fn empty(&self, user_id: UserId, id: ConversationId, now: Timestamp) -> Result<(), StoreError>;

    /// Keeps what stands for turns that were dropped. Does nothing where the conversation, or the message up to which it speaks, is gone.
    async fn keep_summary(&self, id: ConversationId, summary: ConversationSummary) -> Result<(), StoreError>;

    /// Adds a message after its parent and makes it the active one. Fails with `NotFound` if the conversation or the parent is gone, and
    /// with `Conflict {field: "messages"}` where the conversation has `max_messages` already.
    async fn add_message(&self, user_id: UserId, message: Message, max_messages: u32) -> Result<(), StoreError>;

    /// One message of a conversation.
    async fn message(&self, scope: RecordScope, conversation_id: ConversationId, id: MessageId) -> Result<Message, StoreError>;

    /// The branch that ends with `leaf`, from its end back: at most `limit` messages, the oldest of them first. Empty where there is no
    /// such message.
    async fn branch(&self, conversation_id: ConversationId, leaf: MessageId, limit: u32) -> Result<Vec<Message>, StoreError>;

    /// The newest message of all that follow this one, directly or not; itself if none does.
    async fn newest_leaf_below(&self, conversation_id: ConversationId, id: MessageId) -> Result<MessageId, StoreError>;

    /// All messages of a conversation that follow one of these (`None`: that begin it), as `(parent, message)`, the oldest first.
    async fn following(
        &self,
        conversation_id: ConversationId,
        parents: Vec<Option<MessageId>>,
    ) -> Result<Vec<(Option<MessageId>, MessageId)>, StoreError>;

    /// Up to `limit` messages of all branches, each after its parent, that come after this place: by depth, and among those by identifier.
    async fn messages_after(
        &self,
        conversation_id: ConversationId,
        after: Option<MessagePlace>,
        limit: u32,
    ) -> Result<Vec<Message>, StoreError>;
}
