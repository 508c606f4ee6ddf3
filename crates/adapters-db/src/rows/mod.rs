//! What the tables hold, and the way from there into the domain and back.
//!
//! Reading checks: a row that the domain would not allow is [`StoreError::Corrupt`], naming the table and the field, never a value
//! that is wrong inside the program.

mod kept_text;
mod model;
mod parameters;
mod session;
mod text_generation;
mod time;
mod user;

use domain::Refusal;
use ports::StoreError;

pub(crate) use kept_text::{from_kept_text, to_kept_text};
pub(crate) use model::{DefaultsRow, ModelRow, UserModelDefaultsRow};
pub(crate) use session::{RefreshTokenRow, SessionRow};
pub(crate) use text_generation::TextGenerationRow;
pub(crate) use time::{from_kept_time, to_kept_cursor_time, to_kept_time};
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
