//! Answers that are being made, in memory.

use async_trait::async_trait;
use domain::{ChatStream, ChatStreamId, ChatStreamState, ConversationId, MessageId, Timestamp, UserId};
use ports::{ChatStreamStore, NewTurn, RecordScope, StoreError, StreamEnd, StreamOrders, StreamReading};

use super::{FakeDatabase, Tables};

pub(super) struct ChatStreamRow {
    pub(super) stream: ChatStream,
    pieces: Vec<String>,
    orders: StreamOrders,
}

impl ChatStreamRow {
    fn read(&self, after: u32) -> StreamReading {
        let pieces = self.pieces.get(after as usize..).unwrap_or_default().to_vec();
        StreamReading { stream: self.stream.clone(), pieces }
    }

    fn append(&mut self, already: u32, pieces: Vec<String>) {
        if !pieces.is_empty() {
            self.pieces.truncate(already as usize);
            assert_eq!(self.pieces.len(), already as usize, "pieces come one after the other");
            self.pieces.extend(pieces);
        }
    }
}

impl Tables {
    fn running(&mut self, id: ChatStreamId) -> Result<&mut ChatStreamRow, StoreError> {
        let running = |row: &&mut ChatStreamRow| row.stream.state == ChatStreamState::Running;
        self.chat_streams.get_mut(&id).filter(running).ok_or(StoreError::NotFound)
    }

    /// The answers to a message that are being made.
    fn answers_to(&self, message: MessageId) -> impl Iterator<Item = ChatStreamId> {
        let running = move |stream: &&ChatStream| stream.state == ChatStreamState::Running && stream.parent_id == message;
        self.chat_streams.values().map(|row| &row.stream).filter(running).map(|stream| stream.id)
    }
}

#[async_trait]
impl ChatStreamStore for FakeDatabase {
    async fn begin(&self, turn: NewTurn) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        let NewTurn { stream, message, title, max_messages } = turn;
        if let Some(message) = message {
            tables.add_active_message(stream.user_id, message, max_messages)?;
        } else {
            let scope = RecordScope::Of(stream.user_id);
            tables.conversation(scope, stream.conversation_id)?;
            tables.message_of(stream.conversation_id, stream.parent_id)?;
            let conversation = tables.conversation(scope, stream.conversation_id)?;
            conversation.active_message = Some(stream.parent_id);
            conversation.updated_at = stream.started_at;
        }
        let conversation = tables.conversation(RecordScope::Everyone, stream.conversation_id)?;
        conversation.title = conversation.title.take().or(title);
        tables.chat_streams.insert(stream.id, ChatStreamRow { stream, pieces: Vec::new(), orders: StreamOrders::default() });
        Ok(())
    }

    async fn withdraw(
        &self,
        id: ChatStreamId,
        with_message: Option<MessageId>,
        active_message: Option<MessageId>,
    ) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        let Some(ChatStreamRow { stream, .. }) = tables.chat_streams.remove(&id) else { return Ok(()) };
        if let Some(message) = with_message {
            let followed = tables.messages.values().any(|other| other.parent_id == Some(message));
            if followed || tables.answers_to(message).next().is_some() {
                return Ok(());
            }
            tables.messages.remove(&message);
        }
        let back = active_message.filter(|message| tables.messages.contains_key(message));
        let conversation = tables.conversation(RecordScope::Everyone, stream.conversation_id)?;
        let is_there_still = conversation.active_message == Some(stream.parent_id);
        if is_there_still && (back.is_some() || with_message.is_some()) {
            conversation.active_message = back;
        }
        Ok(())
    }

    async fn append(
        &self,
        id: ChatStreamId,
        already: u32,
        pieces: Vec<String>,
        now: Timestamp,
    ) -> Result<StreamOrders, StoreError> {
        let mut tables = self.tables()?;
        let row = tables.running(id)?;
        row.append(already, pieces);
        row.stream.beat_at = now;
        Ok(row.orders)
    }

    async fn finish(&self, id: ChatStreamId, already: u32, end: StreamEnd) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        let row = tables.running(id)?;
        row.append(already, end.last_pieces);
        (row.stream.state, row.stream.beat_at, row.stream.ended_at) = (end.state, end.ended_at, Some(end.ended_at));
        let (id, parent) = (row.stream.conversation_id, Some(row.stream.parent_id));
        let Some(message) = end.message else {
            let back = end.back_to.filter(|message| tables.messages.contains_key(message));
            let conversation = tables.conversation(RecordScope::Everyone, id)?;
            if back.is_some() && conversation.active_message == parent {
                conversation.active_message = back;
            }
            return Ok(());
        };
        let conversation = tables.conversation(RecordScope::Everyone, message.conversation_id)?;
        conversation.updated_at = end.ended_at;
        if conversation.active_message == message.parent_id {
            conversation.active_message = Some(message.id);
        }
        tables.messages.insert(message.id, message);
        Ok(())
    }

    async fn answering(&self, _conversation_id: ConversationId, message: MessageId) -> Result<Vec<ChatStreamId>, StoreError> {
        Ok(self.tables()?.answers_to(message).collect())
    }

    async fn read(&self, user_id: UserId, id: ChatStreamId, after: u32) -> Result<StreamReading, StoreError> {
        let tables = self.tables()?;
        let row = tables.chat_streams.get(&id).filter(|row| row.stream.user_id == user_id);
        row.map(|row| row.read(after)).ok_or(StoreError::NotFound)
    }

    async fn attend(&self, user_id: UserId, id: ChatStreamId, until: Timestamp) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        if let Some(row) = tables.chat_streams.get_mut(&id).filter(|row| row.stream.user_id == user_id) {
            row.orders.attended_until = Some(until);
        }
        Ok(())
    }

    async fn request_stop(&self, user_id: UserId, id: ChatStreamId) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        let row = tables.chat_streams.get_mut(&id).filter(|row| row.stream.user_id == user_id);
        row.ok_or(StoreError::NotFound)?.orders.stop = true;
        Ok(())
    }

    async fn dead(&self, before: Timestamp, limit: u32) -> Result<Vec<StreamReading>, StoreError> {
        let tables = self.tables()?;
        let silent = |row: &&ChatStreamRow| row.stream.state == ChatStreamState::Running && row.stream.beat_at < before;
        let mut dead: Vec<StreamReading> = tables.chat_streams.values().filter(silent).map(|row| row.read(0)).collect();
        dead.sort_by_key(|reading| reading.stream.beat_at);
        dead.truncate(limit as usize);
        Ok(dead)
    }

    async fn sweep(&self, ended_before: Timestamp) -> Result<u64, StoreError> {
        let mut tables = self.tables()?;
        let kept = tables.chat_streams.len();
        tables.chat_streams.retain(|_, row| row.stream.ended_at.is_none_or(|ended_at| ended_at >= ended_before));
        Ok((kept - tables.chat_streams.len()) as u64)
    }
}
