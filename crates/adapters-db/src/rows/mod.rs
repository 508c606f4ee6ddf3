//! What the tables hold, and the way from there into the domain and back.
//!
//! Reading checks: a row that the domain would not allow is [`StoreError::Corrupt`], naming the table and the field, never a value
//! that is wrong inside the program.

mod api_key;
mod audit_event;
mod chat_stream;
mod conversation;
mod kept_text;
mod limit_override;
mod media;
mod model;
mod one_time_code;
mod parameters;
mod sampling_request;
mod session;
mod text_generation;
mod time;
mod token_reservation;
mod user;

use domain::Refusal;
use ports::StoreError;

pub(crate) use api_key::{ApiKeyRow, api_key_with_hash};
pub(crate) use audit_event::{AuditEventRow, audit_hash};
pub(crate) use chat_stream::{ChatStreamRow, PiecesRow, RUNNING, kept_state, parse_chat_stream_id};
pub(crate) use conversation::{
    ConversationChangeRow, ConversationRow, MessageRow, kept_title, parse_conversation_id, parse_message_id,
};
pub(crate) use kept_text::{from_kept_text, to_kept_text};
pub(crate) use limit_override::{LimitOverrideRow, LimitRow, limit_subject};
pub(crate) use media::{MediaRow, MediaStateRow};
pub(crate) use model::{DefaultsRow, ModelRow, UserModelDefaultsRow};
pub(crate) use one_time_code::{INVITATION, OneTimeCodeRow, PASSWORD_RESET};
pub(crate) use session::{RefreshTokenRow, SessionRow};
pub(crate) use text_generation::TextGenerationRow;
pub(crate) use time::{from_kept_time, to_kept_cursor_time, to_kept_time};
pub(crate) use token_reservation::{ReservationRow, to_kept_tokens, tokens_of_day};
pub(crate) use user::{UserChangeRow, UserRow};

/// The error of a row that cannot be what it should.
fn corrupt(table: &'static str, problem: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("a row of {table}: {problem}"))
}

/// The same for a value that the domain refuses. The refusal may quote the value, so only the field is named.
fn refused(table: &'static str) -> impl Fn(Refusal) -> StoreError {
    move |refusal| corrupt(table, format_args!("the {} is not acceptable", refusal.field_name()))
}

/// An identifier as it is kept.
fn parse_id<T: std::str::FromStr>(table: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| corrupt(table, "an identifier is not a UUID"))
}

/// An optional identifier as it is kept.
fn parse_optional_id<T: std::str::FromStr>(table: &'static str, text: Option<&str>) -> Result<Option<T>, StoreError> {
    text.map(|text| parse_id(table, text)).transpose()
}

/// Any text as it was before it was kept.
fn parse_text(table: &'static str, kept: String) -> Result<String, StoreError> {
    from_kept_text(kept).ok_or_else(|| corrupt(table, "a text is badly escaped"))
}

/// A number that is kept in a wider, signed column.
fn parse_number<T: TryFrom<i64>>(table: &'static str, kept: i64) -> Result<T, StoreError> {
    kept.try_into().map_err(|_| corrupt(table, "a number is out of its range"))
}
