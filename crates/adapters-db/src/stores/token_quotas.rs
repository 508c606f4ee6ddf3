//! Tokens a day in the database.
//!
//! A day is one row with what was used and what is set aside. Reserving adds to it by one statement that does nothing where the quota
//! has no room; the database lets one at a time at the row, so exactly those that fit pass, from whatever replica they come.
//!
//! Every transaction locks in one order (the reservation, the user's day, the key's day), so no two of them can wait for each other.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::NaiveDate;
use diesel::prelude::*;
use diesel::{delete, insert_into, update};
use domain::{ApiKeyId, Timestamp, TokenQuota, TokenReservation, TokensOfDay, UserId};
use ports::{ReservationOutcome, StoreError, TokenQuotaStore, UsedTokens};
use uuid::Uuid;

use crate::connection::AdvisoryLock;
use crate::pool::WorkError;
use crate::rows::{ReservationRow, to_kept_time, to_kept_tokens, tokens_of_day};
use crate::schema::{api_key_token_days, token_days, token_reservations};
use crate::{DbConnection, DbPool};

/// Counts tokens in the tables `token_days` and `api_key_token_days`; what runs is in `token_reservations`.
#[derive(Debug, Clone)]
pub struct DbTokenQuotaStore {
    pool: DbPool,
}

impl DbTokenQuotaStore {
    /// Counts them in this pool's database.
    pub const fn new(pool: DbPool) -> Self {
        Self { pool }
    }
}

/// A change to what is counted of a day.
#[derive(Debug, Clone, Copy, Default)]
struct DayChange {
    used: i64,
    reserved: i64,
}

#[async_trait]
impl TokenQuotaStore for DbTokenQuotaStore {
    async fn reserve(&self, reservation: TokenReservation, quota: TokenQuota) -> Result<ReservationOutcome, StoreError> {
        self.pool.write(move |connection| reserve(connection, reservation, quota)).await
    }

    async fn settle(&self, id: Uuid, used_tokens: u32) -> Result<(), StoreError> {
        self.pool
            .write(move |connection| {
                let Some(ended) = take_reservation(connection, id)? else { return Ok(()) };
                let change = DayChange { used: i64::from(used_tokens), reserved: -ended.tokens };
                user_day::change(connection, &ended.user_id, ended.day, change)?;
                if let Some(api_key_id) = ended.api_key_id {
                    api_key_day::change(connection, &api_key_id, ended.day, change)?;
                }
                Ok(())
            })
            .await
    }

    async fn count(&self, used: UsedTokens) -> Result<(), StoreError> {
        match self.pool.write(move |connection| count(connection, used)).await {
            // The key was removed meanwhile, or its user was: without the key the answer tells which.
            Err(StoreError::NotFound) if used.api_key_id.is_some() => {
                let of_user = UsedTokens { api_key_id: None, ..used };
                self.pool.write(move |connection| count(connection, of_user)).await
            }
            result => result,
        }
    }

    async fn release_expired(&self, now: Timestamp) -> Result<u64, StoreError> {
        let now = to_kept_time(now);
        self.pool
            .write(move |connection| {
                connection.lock_until_commit(AdvisoryLock::TokenRelease)?;
                let expired = delete(token_reservations::table.filter(token_reservations::expires_at.le(now)));
                let given_back: Vec<ReservationRow> = match connection {
                    DbConnection::Postgres(postgres) => expired.returning(ReservationRow::as_returning()).load(postgres),
                    DbConnection::Sqlite(sqlite) => expired.returning(ReservationRow::as_returning()).load(sqlite),
                }?;
                let count = u64::try_from(given_back.len()).unwrap_or(u64::MAX);
                give_back(connection, given_back)?;
                Ok(count)
            })
            .await
    }

    async fn of_user(&self, user_id: UserId, day: NaiveDate) -> Result<TokensOfDay, StoreError> {
        self.pool.read(move |connection| user_day::read(connection, &user_id.to_string(), day)).await
    }

    async fn of_api_key(&self, api_key_id: ApiKeyId, day: NaiveDate) -> Result<TokensOfDay, StoreError> {
        self.pool.read(move |connection| api_key_day::read(connection, &api_key_id.to_string(), day)).await
    }
}

/// Reserves, or leaves everything as it was. The reservation's row comes first: it holds the account in its place until the end.
fn reserve(
    connection: &mut DbConnection,
    reservation: TokenReservation,
    quota: TokenQuota,
) -> Result<ReservationOutcome, WorkError> {
    let row = ReservationRow::from(reservation);
    insert_into(token_reservations::table).values(&row).execute(connection)?;
    let user_quota = quota.user.unwrap_or(u64::MAX);
    if !user_day::reserve(connection, &row.user_id, &row, user_quota)? {
        delete(token_reservations::table.find(&row.id)).execute(connection)?;
        let tokens = user_day::read(connection, &row.user_id, row.day)?;
        return Ok(ReservationOutcome::Exceeded { quota: user_quota, tokens });
    }
    let Some(api_key_id) = &row.api_key_id else { return Ok(ReservationOutcome::Reserved) };
    let key_quota = quota.api_key.unwrap_or(u64::MAX);
    if !api_key_day::reserve(connection, api_key_id, &row, key_quota)? {
        delete(token_reservations::table.find(&row.id)).execute(connection)?;
        user_day::change(connection, &row.user_id, row.day, DayChange { used: 0, reserved: -row.tokens })?;
        let tokens = api_key_day::read(connection, api_key_id, row.day)?;
        return Ok(ReservationOutcome::Exceeded { quota: key_quota, tokens });
    }
    Ok(ReservationOutcome::Reserved)
}

/// Counts what was used, against the user's day and then the key's.
fn count(connection: &mut DbConnection, used: UsedTokens) -> Result<(), WorkError> {
    let UsedTokens { user_id, api_key_id, day, tokens } = used;
    user_day::count(connection, &user_id.to_string(), day, i64::from(tokens))?;
    if let Some(api_key_id) = api_key_id {
        api_key_day::count(connection, &api_key_id.to_string(), day, i64::from(tokens))?;
    }
    Ok(())
}

/// Removes a reservation; `None` if there is none, or no longer: who comes second settles nothing.
fn take_reservation(connection: &mut DbConnection, id: Uuid) -> QueryResult<Option<ReservationRow>> {
    let taken = delete(token_reservations::table.find(id.to_string()));
    match connection {
        DbConnection::Postgres(postgres) => taken.returning(ReservationRow::as_returning()).get_result(postgres),
        DbConnection::Sqlite(sqlite) => taken.returning(ReservationRow::as_returning()).get_result(sqlite),
    }
    .optional()
}

/// Takes what was reserved off the days it counted against: one statement a day, in the order of the days.
fn give_back(connection: &mut DbConnection, reservations: Vec<ReservationRow>) -> QueryResult<()> {
    let (mut of_users, mut of_keys) = (BTreeMap::<_, DayChange>::new(), BTreeMap::<_, DayChange>::new());
    for ReservationRow { user_id, api_key_id, day, tokens, .. } in reservations {
        of_users.entry((user_id, day)).or_default().reserved -= tokens;
        if let Some(api_key_id) = api_key_id {
            of_keys.entry((api_key_id, day)).or_default().reserved -= tokens;
        }
    }
    for ((user_id, day), change) in of_users {
        user_day::change(connection, &user_id, day, change)?;
    }
    for ((api_key_id, day), change) in of_keys {
        api_key_day::change(connection, &api_key_id, day, change)?;
    }
    Ok(())
}

/// The statements on a table of days, which is there twice: for users and for keys.
macro_rules! day_table {
    ($(#[$doc:meta])* $module:ident, $table:ident, $owner:ident) => {
        $(#[$doc])*
        mod $module {
            // `QueryDsl::filter`, which the prelude has, is not there for an insert.
            use diesel::query_dsl::methods::FilterDsl as _;

            use super::*;

            /// Sets the reservation's tokens aside if the quota has room for them beside what the day has.
            pub(super) fn reserve(
                connection: &mut DbConnection,
                owner: &str,
                reservation: &ReservationRow,
                quota: u64,
            ) -> QueryResult<bool> {
                let tokens = reservation.tokens;
                let room = to_kept_tokens(quota) - tokens;
                if room < 0 {
                    return Ok(false);
                }
                let first_of_day =
                    ($table::$owner.eq(owner), $table::day.eq(reservation.day), $table::used.eq(0), $table::reserved.eq(tokens));
                let statement = insert_into($table::table)
                    .values(first_of_day)
                    .on_conflict(($table::$owner, $table::day))
                    .do_update()
                    .set($table::reserved.eq($table::reserved + tokens))
                    .filter(($table::used + $table::reserved).le(room));
                let changed = match connection {
                    DbConnection::Postgres(postgres) => statement.execute(postgres),
                    DbConnection::Sqlite(sqlite) => statement.execute(sqlite),
                }?;
                Ok(changed == 1)
            }

            /// Counts what was used, on a day that may have no row yet. Fails where the owner is gone.
            pub(super) fn count(connection: &mut DbConnection, owner: &str, day: NaiveDate, tokens: i64) -> QueryResult<()> {
                let first_of_day = ($table::$owner.eq(owner), $table::day.eq(day), $table::used.eq(tokens), $table::reserved.eq(0));
                let statement = insert_into($table::table)
                    .values(first_of_day)
                    .on_conflict(($table::$owner, $table::day))
                    .do_update()
                    .set($table::used.eq($table::used + tokens));
                match connection {
                    DbConnection::Postgres(postgres) => statement.execute(postgres),
                    DbConnection::Sqlite(sqlite) => statement.execute(sqlite),
                }
                .map(drop)
            }

            /// Changes what is counted. Nothing happens where the owner, and so the day, is gone.
            pub(super) fn change(
                connection: &mut DbConnection,
                owner: &str,
                day: NaiveDate,
                change: DayChange,
            ) -> QueryResult<()> {
                let counts =
                    ($table::used.eq($table::used + change.used), $table::reserved.eq($table::reserved + change.reserved));
                update($table::table.find((owner, day))).set(counts).execute(connection).map(drop)
            }

            /// What is counted of a day; nothing where there is no row.
            pub(super) fn read(connection: &mut DbConnection, owner: &str, day: NaiveDate) -> Result<TokensOfDay, WorkError> {
                let counts = $table::table.find((owner, day)).select(($table::used, $table::reserved));
                let counts: Option<(i64, i64)> = counts.first(connection).optional()?;
                Ok(tokens_of_day(counts.unwrap_or_default())?)
            }
        }
    };
}

day_table!(
    /// Of users.
    user_day, token_days, user_id
);
day_table!(
    /// Of keys.
    api_key_day, api_key_token_days, api_key_id
);
