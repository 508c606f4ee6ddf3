//! Rows of `token_reservations`, and the counts beside them.

use chrono::{NaiveDate, NaiveDateTime};
use diesel::{Insertable, Queryable, Selectable};
use domain::{TokenReservation, TokensOfDay};
use ports::StoreError;

use super::{parse_number, to_kept_time};
use crate::schema::token_reservations;

/// Tokens set aside, as they are kept.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = token_reservations)]
pub(crate) struct ReservationRow {
    pub(crate) id: String,
    pub(crate) user_id: String,
    pub(crate) api_key_id: Option<String>,
    pub(crate) day: NaiveDate,
    pub(crate) tokens: i64,
    expires_at: NaiveDateTime,
}

impl From<TokenReservation> for ReservationRow {
    fn from(reservation: TokenReservation) -> Self {
        Self {
            id: reservation.id.to_string(),
            user_id: reservation.user_id.to_string(),
            api_key_id: reservation.api_key_id.map(|id| id.to_string()),
            day: reservation.day,
            tokens: i64::from(reservation.tokens),
            expires_at: to_kept_time(reservation.expires_at),
        }
    }
}

/// A day's counts as the domain knows them.
pub(crate) fn tokens_of_day((used, reserved): (i64, i64)) -> Result<TokensOfDay, StoreError> {
    const TABLE: &str = "token_days";
    Ok(TokensOfDay { used: parse_number(TABLE, used)?, reserved: parse_number(TABLE, reserved)? })
}

/// A number of tokens as it is kept. What the column cannot hold (2^63 and more) is kept as the most that it can.
pub(crate) fn to_kept_tokens(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}
