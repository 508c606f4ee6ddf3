//! Rows of `chat_streams` and `chat_stream_pieces`.

use chrono::NaiveDateTime;
use diesel::{Insertable, Queryable, Selectable};
use domain::{ChatFailure, ChatStream, ChatStreamId, ChatStreamState, ModelName};
use ports::{StoreError, StreamOrders};

use super::{corrupt, from_kept_time, parse_id, parse_number, refused, to_kept_time};
use crate::schema::{chat_stream_pieces, chat_streams};

const TABLE: &str = "chat_streams";

/// The state of an answer that is being made.
pub(crate) const RUNNING: &str = "running";

/// An answer as it is kept while it is made.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = chat_streams)]
pub(crate) struct ChatStreamRow {
    pub(crate) id: String,
    user_id: String,
    pub(crate) conversation_id: String,
    pub(crate) parent_id: String,
    parent_depth: i64,
    message_id: String,
    model: String,
    state: String,
    stop_requested: bool,
    attended_until: Option<NaiveDateTime>,
    started_at: NaiveDateTime,
    beat_at: NaiveDateTime,
    ended_at: Option<NaiveDateTime>,
}

/// An answer's identifier as it is kept.
pub(crate) fn parse_chat_stream_id(kept: &str) -> Result<ChatStreamId, StoreError> {
    parse_id(TABLE, kept)
}

/// A state as it is kept.
pub(crate) fn kept_state(state: ChatStreamState) -> &'static str {
    match state {
        ChatStreamState::Running => RUNNING,
        ChatStreamState::Done => "done",
        ChatStreamState::Failed(failure) => failure.as_str(),
    }
}

fn parse_state(kept: &str) -> Result<ChatStreamState, StoreError> {
    match kept {
        RUNNING => Ok(ChatStreamState::Running),
        "done" => Ok(ChatStreamState::Done),
        other => ChatFailure::parse(other).map(ChatStreamState::Failed).ok_or_else(|| corrupt(TABLE, "the state is none")),
    }
}

impl ChatStreamRow {
    /// What the process that makes it is told.
    pub(crate) fn orders(&self) -> StreamOrders {
        StreamOrders { stop: self.stop_requested, attended_until: self.attended_until.map(from_kept_time) }
    }
}

impl From<ChatStream> for ChatStreamRow {
    fn from(stream: ChatStream) -> Self {
        Self {
            id: stream.id.to_string(),
            user_id: stream.user_id.to_string(),
            conversation_id: stream.conversation_id.to_string(),
            parent_id: stream.parent_id.to_string(),
            parent_depth: i64::from(stream.parent_depth),
            message_id: stream.message_id.to_string(),
            model: stream.model.to_string(),
            state: kept_state(stream.state).to_owned(),
            stop_requested: false,
            attended_until: None,
            started_at: to_kept_time(stream.started_at),
            beat_at: to_kept_time(stream.beat_at),
            ended_at: stream.ended_at.map(to_kept_time),
        }
    }
}

impl TryFrom<ChatStreamRow> for ChatStream {
    type Error = StoreError;

    fn try_from(row: ChatStreamRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: parse_id(TABLE, &row.id)?,
            user_id: parse_id(TABLE, &row.user_id)?,
            conversation_id: parse_id(TABLE, &row.conversation_id)?,
            parent_id: parse_id(TABLE, &row.parent_id)?,
            parent_depth: parse_number(TABLE, row.parent_depth)?,
            message_id: parse_id(TABLE, &row.message_id)?,
            model: ModelName::new(row.model).map_err(refused(TABLE))?,
            state: parse_state(&row.state)?,
            started_at: from_kept_time(row.started_at),
            beat_at: from_kept_time(row.beat_at),
            ended_at: row.ended_at.map(from_kept_time),
        })
    }
}

const PIECES: &str = "chat_stream_pieces";

/// Some pieces of an answer, one after the other. JSON keeps every character, U+0000 too, in a text that both databases can hold.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = chat_stream_pieces)]
pub(crate) struct PiecesRow {
    stream_id: String,
    first_number: i64,
    pieces: String,
}

impl PiecesRow {
    /// Pieces of which `already` come before.
    pub(crate) fn new(stream_id: ChatStreamId, already: u32, pieces: &[String]) -> Result<Self, StoreError> {
        let pieces = serde_json::to_string(pieces).map_err(|error| corrupt(PIECES, error))?;
        Ok(Self { stream_id: stream_id.to_string(), first_number: i64::from(already) + 1, pieces })
    }

    /// Those of its pieces that come after so many.
    pub(crate) fn after(self, read: u32) -> Result<Vec<String>, StoreError> {
        let mut pieces: Vec<String> =
            serde_json::from_str(&self.pieces).map_err(|_| corrupt(PIECES, "the pieces cannot be read"))?;
        let known: usize = parse_number(PIECES, (i64::from(read) + 1 - self.first_number).max(0))?;
        Ok(pieces.split_off(known.min(pieces.len())))
    }
}
