//! Answers that are being made, in the database.
//!
//! A batch of pieces is one row, so a running answer costs one short transaction a few times a second. Who begins or ends one locks in the
//! order of [`super::conversations`]: the account, the conversation, the stream.

use async_trait::async_trait;
use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel::{delete, insert_into, update};
use domain::{ChatStream, ChatStreamId, ConversationId, MessageId, Timestamp, UserId};
use ports::{ChatStreamStore, NewTurn, RecordScope, StoreError, StreamEnd, StreamOrders, StreamReading};

use super::conversations::{add_active_message, find_message, insert_messages, lock_conversation};
use crate::pool::WorkError;
use crate::rows::{
    ChatStreamRow, PiecesRow, RUNNING, kept_state, kept_title, parse_chat_stream_id, parse_conversation_id, to_kept_time,
};
use crate::schema::{chat_stream_pieces, chat_streams, conversations, messages, users};
use crate::{DbConnection, DbPool};

/// Keeps answers in the tables `chat_streams` and `chat_stream_pieces` while they are made.
#[derive(Debug, Clone)]
pub struct DbChatStreamStore {
    pool: DbPool,
}

impl DbChatStreamStore {
    /// Keeps them in this pool's database.
    pub const fn new(pool: DbPool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl ChatStreamStore for DbChatStreamStore {
    async fn begin(&self, turn: NewTurn) -> Result<(), StoreError> {
        self.pool.write(move |connection| begin(connection, turn)).await
    }

    async fn withdraw(
        &self,
        id: ChatStreamId,
        with_message: Option<MessageId>,
        active_message: Option<MessageId>,
    ) -> Result<(), StoreError> {
        self.pool.write(move |connection| withdraw(connection, id, with_message, active_message)).await
    }

    async fn append(
        &self,
        id: ChatStreamId,
        already: u32,
        pieces: Vec<String>,
        now: Timestamp,
    ) -> Result<StreamOrders, StoreError> {
        let now = to_kept_time(now);
        self.pool
            .write(move |connection| {
                let beat = update(running(id)).set(chat_streams::beat_at.eq(now)).execute(connection)?;
                if beat == 0 {
                    return Err(StoreError::NotFound.into());
                }
                insert_pieces(connection, id, already, &pieces)?;
                let stream = find(connection, &id.to_string())?.ok_or(StoreError::NotFound)?;
                Ok(stream.orders())
            })
            .await
    }

    async fn finish(&self, id: ChatStreamId, already: u32, end: StreamEnd) -> Result<(), StoreError> {
        self.pool.write(move |connection| finish(connection, id, already, end)).await
    }

    async fn answering(&self, conversation_id: ConversationId, message: MessageId) -> Result<Vec<ChatStreamId>, StoreError> {
        self.pool
            .read(move |connection| {
                let running: Vec<String> = answering(conversation_id, message).select(chat_streams::id).load(connection)?;
                running.iter().map(|id| Ok(parse_chat_stream_id(id)?)).collect()
            })
            .await
    }

    async fn read(&self, user_id: UserId, id: ChatStreamId, after: u32) -> Result<StreamReading, StoreError> {
        self.pool
            .read(move |connection| {
                let own = chat_streams::table.find(id.to_string()).filter(chat_streams::user_id.eq(user_id.to_string()));
                // First how it stands, then the pieces: where it has ended, all of them are there.
                let stream: ChatStreamRow = own.select(ChatStreamRow::as_select()).first(connection)?;
                reading(connection, stream, after)
            })
            .await
    }

    async fn attend(&self, user_id: UserId, id: ChatStreamId, until: Timestamp) -> Result<(), StoreError> {
        let until = to_kept_time(until);
        let own = chat_streams::table.find(id.to_string()).filter(chat_streams::user_id.eq(user_id.to_string()));
        self.pool
            .write(move |connection| {
                update(own).set(chat_streams::attended_until.eq(until)).execute(connection)?;
                Ok(())
            })
            .await
    }

    async fn request_stop(&self, user_id: UserId, id: ChatStreamId) -> Result<(), StoreError> {
        let own = chat_streams::table.find(id.to_string()).filter(chat_streams::user_id.eq(user_id.to_string()));
        let stopped = self
            .pool
            .write(move |connection| Ok(update(own).set(chat_streams::stop_requested.eq(true)).execute(connection)?))
            .await?;
        if stopped == 0 { Err(StoreError::NotFound) } else { Ok(()) }
    }

    async fn dead(&self, before: Timestamp, limit: u32) -> Result<Vec<StreamReading>, StoreError> {
        let before = to_kept_time(before);
        self.pool
            .read(move |connection| {
                let silent = chat_streams::table.filter(chat_streams::state.eq(RUNNING)).filter(chat_streams::beat_at.lt(before));
                let silent = silent.order(chat_streams::beat_at).limit(i64::from(limit)).select(ChatStreamRow::as_select());
                let streams: Vec<ChatStreamRow> = silent.load(connection)?;
                streams.into_iter().map(|stream| reading(connection, stream, 0)).collect()
            })
            .await
    }

    async fn sweep(&self, ended_before: Timestamp) -> Result<u64, StoreError> {
        let before = to_kept_time(ended_before);
        self.pool
            .write(move |connection| {
                let ended = chat_streams::table.filter(chat_streams::ended_at.lt(before).assume_not_null());
                let removed = delete(ended).execute(connection)?;
                Ok(u64::try_from(removed).unwrap_or(u64::MAX))
            })
            .await
    }
}

/// The answer, if it is being made.
#[diesel::dsl::auto_type(no_type_alias)]
fn running(id: ChatStreamId) -> _ {
    let id: String = id.to_string();
    let state: &'static str = RUNNING;
    chat_streams::table.filter(chat_streams::id.eq(id)).filter(chat_streams::state.eq(state))
}

/// The answers to a message that are being made.
#[diesel::dsl::auto_type(no_type_alias)]
fn answering(conversation_id: ConversationId, message: MessageId) -> _ {
    let conversation_id: String = conversation_id.to_string();
    let message: String = message.to_string();
    let state: &'static str = RUNNING;
    chat_streams::table
        .filter(chat_streams::conversation_id.eq(conversation_id))
        .filter(chat_streams::parent_id.eq(message))
        .filter(chat_streams::state.eq(state))
}

fn find(connection: &mut DbConnection, id: &str) -> QueryResult<Option<ChatStreamRow>> {
    chat_streams::table.find(id).select(ChatStreamRow::as_select()).first(connection).optional()
}

/// Replaces what comes after so many pieces: a call that seemed to fail, and did not, may be made again with more.
fn insert_pieces(connection: &mut DbConnection, id: ChatStreamId, already: u32, pieces: &[String]) -> Result<(), WorkError> {
    if !pieces.is_empty() {
        let later = chat_stream_pieces::table.filter(chat_stream_pieces::stream_id.eq(id.to_string()));
        delete(later.filter(chat_stream_pieces::first_number.gt(i64::from(already)))).execute(connection)?;
        insert_into(chat_stream_pieces::table).values(PiecesRow::new(id, already, pieces)?).execute(connection)?;
    }
    Ok(())
}

fn reading(connection: &mut DbConnection, stream: ChatStreamRow, after: u32) -> Result<StreamReading, WorkError> {
    let of_stream = chat_stream_pieces::table.filter(chat_stream_pieces::stream_id.eq(&stream.id));
    // The row in which the last piece that was read stands, and all after it.
    let begun: Option<i64> = of_stream
        .filter(chat_stream_pieces::first_number.le(i64::from(after) + 1))
        .order(chat_stream_pieces::first_number.desc())
        .select(chat_stream_pieces::first_number)
        .first(connection)
        .optional()?;
    let following = of_stream
        .filter(chat_stream_pieces::first_number.ge(begun.unwrap_or_default()))
        .order(chat_stream_pieces::first_number)
        .select(PiecesRow::as_select());
    let rows: Vec<PiecesRow> = following.load(connection)?;
    let mut pieces = Vec::new();
    for row in rows {
        pieces.extend(row.after(after)?);
    }
    Ok(StreamReading { stream: stream.try_into()?, pieces })
}

fn begin(connection: &mut DbConnection, turn: NewTurn) -> Result<(), WorkError> {
    let NewTurn { stream, message, title, max_messages } = turn;
    let ChatStream { user_id, conversation_id, parent_id, started_at, .. } = stream;
    hold_account(connection, user_id)?;
    lock_conversation(connection, RecordScope::Of(user_id), conversation_id)?;
    if let Some(message) = message {
        add_active_message(connection, message, max_messages)?;
    } else {
        find_message(connection, conversation_id, parent_id)?.ok_or(StoreError::NotFound)?;
        let now: NaiveDateTime = to_kept_time(started_at);
        let moved = (conversations::active_message.eq(parent_id.to_string()), conversations::updated_at.eq(now));
        update(conversations::table.find(conversation_id.to_string())).set(moved).execute(connection)?;
    }
    if let (Some(title), Some(folded_title)) = kept_title(title.as_ref()) {
        let nameless = conversations::table.filter(conversations::id.eq(conversation_id.to_string()));
        let named = (conversations::title.eq(title), conversations::folded_title.eq(folded_title));
        update(nameless.filter(conversations::title.is_null())).set(named).execute(connection)?;
    }
    insert_into(chat_streams::table).values(ChatStreamRow::from(stream)).execute(connection)?;
    Ok(())
}

fn withdraw(
    connection: &mut DbConnection,
    id: ChatStreamId,
    with_message: Option<MessageId>,
    active_message: Option<MessageId>,
) -> Result<(), WorkError> {
    let Some(stream) = find(connection, &id.to_string())? else { return Ok(()) };
    let conversation_id = parse_conversation_id(&stream.conversation_id)?;
    match lock_conversation(connection, RecordScope::Everyone, conversation_id) {
        // It went with everything in it.
        Err(WorkError::Diesel(diesel::result::Error::NotFound)) => return Ok(()),
        locked => locked?,
    };
    delete(chat_streams::table.find(id.to_string())).execute(connection)?;
    if let Some(message) = with_message {
        if is_followed(connection, conversation_id, message)? {
            return Ok(());
        }
        delete(messages::table.find(message.to_string())).execute(connection)?;
    }
    let back = match active_message {
        Some(message) if find_message(connection, conversation_id, message)?.is_none() => None,
        place => place,
    };
    // What was to be answered again is still there to go on from.
    if back.is_some() || with_message.is_some() {
        go_on_at(connection, conversation_id, &stream.parent_id, back)?;
    }
    Ok(())
}

/// Has a conversation go on at another message if it still does at this one: who went on elsewhere meanwhile is not called back.
fn go_on_at(
    connection: &mut DbConnection,
    conversation_id: ConversationId,
    waiting_at: &str,
    message: Option<MessageId>,
) -> QueryResult<usize> {
    let waiting = conversations::table
        .filter(conversations::id.eq(conversation_id.to_string()))
        .filter(conversations::active_message.eq(waiting_at).assume_not_null());
    update(waiting).set(conversations::active_message.eq(message.map(|id| id.to_string()))).execute(connection)
}

/// Whether something hangs from a message: another one, or an answer that is being made.
fn is_followed(connection: &mut DbConnection, conversation_id: ConversationId, message: MessageId) -> QueryResult<bool> {
    let follows = messages::table
        .filter(messages::conversation_id.eq(conversation_id.to_string()))
        .filter(messages::parent_id.eq(message.to_string()).assume_not_null());
    let answered: Option<String> = answering(conversation_id, message).select(chat_streams::id).first(connection).optional()?;
    let followed: Option<String> = follows.select(messages::id).first(connection).optional()?;
    Ok(answered.or(followed).is_some())
}

/// Whoever removes the account must wait: they lock it before its conversations, and so must whoever refers to both.
fn hold_account(connection: &mut DbConnection, user_id: UserId) -> QueryResult<()> {
    if let DbConnection::Postgres(postgres) = connection {
        let row = users::table.find(user_id.to_string()).select(users::id).for_key_share();
        row.first::<String>(postgres).optional()?;
    }
    Ok(())
}

fn finish(connection: &mut DbConnection, id: ChatStreamId, already: u32, end: StreamEnd) -> Result<(), WorkError> {
    let found = find(connection, &id.to_string())?.ok_or(StoreError::NotFound)?;
    let conversation_id = parse_conversation_id(&found.conversation_id)?;
    lock_conversation(connection, RecordScope::Everyone, conversation_id)?;
    let StreamEnd { state, message, back_to, last_pieces, ended_at } = end;
    let ended_at = to_kept_time(ended_at);
    let ended =
        (chat_streams::state.eq(kept_state(state)), chat_streams::ended_at.eq(ended_at), chat_streams::beat_at.eq(ended_at));
    if update(running(id)).set(ended).execute(connection)? == 0 {
        return Err(StoreError::NotFound.into());
    }
    insert_pieces(connection, id, already, &last_pieces)?;
    let Some(message) = message else {
        if let Some(back) = back_to
            && find_message(connection, conversation_id, back)?.is_some()
        {
            go_on_at(connection, conversation_id, &found.parent_id, Some(back))?;
        }
        return Ok(());
    };
    let message_id = message.id;
    insert_messages(connection, &[message.into()])?;
    let conversation = conversations::table.find(conversation_id.to_string());
    update(conversation).set(conversations::updated_at.eq(ended_at)).execute(connection)?;
    go_on_at(connection, conversation_id, &found.parent_id, Some(message_id))?;
    Ok(())
}
