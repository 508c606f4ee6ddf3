//! Where answers are kept while they are being made.
//!
//! The process that makes an answer appends its pieces here, a few times a second. So any replica can take the answer up for a caller who
//! comes back, by reading what is there already and looking again; a caller who stops it, or still reads it, anywhere tells the process
//! that makes it; and what a process said before it died is not lost.

use async_trait::async_trait;
use domain::{
    ChatStream, ChatStreamId, ChatStreamState, ConversationId, ConversationTitle, Message, MessageId, Timestamp, UserId,
};

use crate::StoreError;

/// What begins an answer.
#[derive(Clone, PartialEq)]
pub struct NewTurn {
    /// The answer.
    pub stream: ChatStream,
    /// What it answers, where that is said now; it becomes the conversation's active message. `None` to answer a message that is there:
    /// then that one does.
    pub message: Option<Message>,
    /// The conversation's name, if it has none.
    pub title: Option<ConversationTitle>,
    /// The most messages the conversation may have.
    pub max_messages: u32,
}

/// What the process that makes an answer is told when it says what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamOrders {
    /// Its user wants it stopped.
    pub stop: bool,
    /// Somebody reads it at another replica, until then at least.
    pub attended_until: Option<Timestamp>,
}

/// The pieces of an answer after some of them, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamReading {
    /// As it stands. Where it has ended, these are all pieces.
    pub stream: ChatStream,
    /// The pieces after those that were read already, in their order.
    pub pieces: Vec<String>,
}

/// How an answer ends.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamEnd {
    /// What is reported to whoever takes it up from now on; never [`ChatStreamState::Running`].
    pub state: ChatStreamState,
    /// The answer; `None` where nothing is to be kept of it.
    pub message: Option<Message>,
    /// Where the conversation goes back to if nothing is kept, it is still at what was to be answered, and this message is there; `None` to
    /// stay.
    pub back_to: Option<MessageId>,
    /// The pieces that were not appended yet.
    pub last_pieces: Vec<String>,
    /// When.
    pub ended_at: Timestamp,
}

/// Keeps answers while they are being made. Every call is one transaction. Pieces are counted from 1.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ChatStreamStore: Send + Sync {
    /// Begins an answer, and keeps what it answers: both or neither. Fails as [`crate::ConversationStore::add_message`] does.
    async fn begin(&self, turn: NewTurn) -> Result<(), StoreError>;

    /// Takes a turn back of which nothing came: the stream, and the message that began it if `with_message`, unless another message
    /// follows that one or another answer to it is being made. Where its conversation is still at what it answers, `active_message`
    /// becomes the active one again, if it is there; who went on elsewhere meanwhile is not called back, and nothing they said is hidden.
    async fn withdraw(
        &self,
        id: ChatStreamId,
        with_message: Option<MessageId>,
        active_message: Option<MessageId>,
    ) -> Result<(), StoreError>;

    /// Appends pieces to a running answer, of which `already` are there, says that its process lives, and answers what that is told. What
    /// is there beyond those is replaced, so that a call of which nobody knows whether it succeeded can be made again.
    /// Fails with `NotFound` if the answer no longer runs: its conversation was removed, or it was given up for dead.
    async fn append(
        &self,
        id: ChatStreamId,
        already: u32,
        pieces: Vec<String>,
        now: Timestamp,
    ) -> Result<StreamOrders, StoreError>;

    /// Ends a running answer: keeps its message, which becomes the active one if what it answers is that, and the conversation's
    /// `updated_at`. Fails with `NotFound` as [`ChatStreamStore::append`] does, and keeps nothing.
    async fn finish(&self, id: ChatStreamId, already: u32, end: StreamEnd) -> Result<(), StoreError>;

    /// The answers to this message that are being made, at whatever replica.
    async fn answering(&self, conversation_id: ConversationId, message: MessageId) -> Result<Vec<ChatStreamId>, StoreError>;

    /// An answer of this user, with the pieces after so many.
    async fn read(&self, user_id: UserId, id: ChatStreamId, after: u32) -> Result<StreamReading, StoreError>;

    /// Says that somebody reads the answer, until then at least.
    async fn attend(&self, user_id: UserId, id: ChatStreamId, until: Timestamp) -> Result<(), StoreError>;

    /// Wants a running answer of this user stopped. Does nothing to one that has ended.
    async fn request_stop(&self, user_id: UserId, id: ChatStreamId) -> Result<(), StoreError>;

    /// Up to `limit` running answers whose process has not said so since `before`.
    async fn dead(&self, before: Timestamp, limit: u32) -> Result<Vec<StreamReading>, StoreError>;

    /// Removes answers that ended before, with their pieces; the messages stay. Answers how many.
    async fn sweep(&self, ended_before: Timestamp) -> Result<u64, StoreError>;
}
