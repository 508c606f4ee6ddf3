//! One-time codes in the database. A code that is spent is removed, so that of two who spend it at once only one finds it.

use async_trait::async_trait;
use chrono::NaiveDateTime;
use diesel::dsl::auto_type;
use diesel::prelude::*;
use diesel::{delete, insert_into, update};
use domain::{Cursor, OneTimeCode, OneTimeCodeHash, Page, PageRequest, PasswordHash, Timestamp, User, UserId};
use ports::{NewUser, OneTimeCodeStore, StoreError};

use super::page_after;
use super::sessions::end_all;
use super::users::add_user;
use crate::rows::{INVITATION, OneTimeCodeRow, PASSWORD_RESET, to_kept_time};
use crate::schema::{one_time_codes, users};
use crate::{DbConnection, DbPool};

/// Keeps codes in the table `one_time_codes`.
#[derive(Debug, Clone)]
pub struct DbOneTimeCodeStore {
    pool: DbPool,
}

impl DbOneTimeCodeStore {
    /// Keeps them in this pool's database.
    pub const fn new(pool: DbPool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl OneTimeCodeStore for DbOneTimeCodeStore {
    async fn add(&self, code: OneTimeCode, hash: OneTimeCodeHash) -> Result<(), StoreError> {
        self.pool.write(move |connection| Ok(put(connection, &OneTimeCodeRow::new(&code, &hash))?)).await
    }

    async fn redeem_invitation(&self, hash: OneTimeCodeHash, user: NewUser, now: Timestamp) -> Result<User, StoreError> {
        self.pool
            .write(move |connection| {
                if !spend(connection, &hash, INVITATION, to_kept_time(now))? {
                    return Err(StoreError::NotFound.into());
                }
                // Whatever this fails with takes the spending back.
                add_user(connection, user)
            })
            .await
    }

    async fn redeem_password_reset(
        &self,
        hash: OneTimeCodeHash,
        password_hash: PasswordHash,
        now: Timestamp,
    ) -> Result<UserId, StoreError> {
        let user_id = self
            .pool
            .write(move |connection| {
                let now = to_kept_time(now);
                let code = usable(hash.as_str().to_owned(), PASSWORD_RESET, now);
                let user_id: Option<String> = code.select(one_time_codes::user_id).first(connection)?;
                let user_id = user_id.ok_or(StoreError::NotFound)?;
                // The account's row before the code's, in the order in which the removal of the account locks them.
                let new_password = users::password_hash.eq(password_hash.expose().to_owned());
                update(users::table.find(user_id.clone())).set(new_password).execute(connection)?;
                if !spend(connection, &hash, PASSWORD_RESET, now)? {
                    return Err(StoreError::NotFound.into());
                }
                end_all(connection, &user_id, None, now)?;
                Ok(user_id)
            })
            .await?;
        user_id.parse().map_err(|_| StoreError::Corrupt("a row of one_time_codes: an identifier is not a UUID".into()))
    }

    async fn list_invitations(&self, now: Timestamp, page: PageRequest) -> Result<Page<OneTimeCode>, StoreError> {
        let now = to_kept_time(now);
        let rows: Vec<OneTimeCodeRow> = self
            .pool
            .read(move |connection| {
                let waiting = one_time_codes::table
                    .filter(one_time_codes::purpose.eq(INVITATION))
                    .filter(one_time_codes::expires_at.gt(now))
                    .select(OneTimeCodeRow::as_select())
                    .into_boxed();
                Ok(page_after!(waiting, one_time_codes, page).load(connection)?)
            })
            .await?;
        let invitations = rows.into_iter().map(OneTimeCode::try_from).collect::<Result<_, _>>()?;
        let cursor_of = |code: &OneTimeCode| Cursor { created_at: code.created_at, id: code.id };
        Ok(Page::from_overfull(invitations, page.limit, cursor_of))
    }

    async fn sweep(&self, expired_before: Timestamp) -> Result<u64, StoreError> {
        let before = to_kept_time(expired_before);
        self.pool
            .write(move |connection| {
                let expired = one_time_codes::table.filter(one_time_codes::expires_at.lt(before));
                let removed = delete(expired).execute(connection)?;
                Ok(u64::try_from(removed).unwrap_or(u64::MAX))
            })
            .await
    }
}

/// The code of this hash, if it is for this purpose and works at `now`.
#[auto_type(no_type_alias)]
fn usable(hash: String, purpose: &'static str, now: NaiveDateTime) -> _ {
    one_time_codes::table
        .filter(one_time_codes::hash.eq(hash))
        .filter(one_time_codes::purpose.eq(purpose))
        .filter(one_time_codes::expires_at.gt(now))
}

/// Spends a code. False if there is none, or no longer.
fn spend(connection: &mut DbConnection, hash: &OneTimeCodeHash, purpose: &'static str, now: NaiveDateTime) -> QueryResult<bool> {
    Ok(delete(usable(hash.as_str().to_owned(), purpose, now)).execute(connection)? == 1)
}

/// Adds a code or, for an account that has one, puts it in that one's place. An invitation is for no account, so it replaces none.
fn put(connection: &mut DbConnection, row: &OneTimeCodeRow) -> QueryResult<()> {
    let insert =
        insert_into(one_time_codes::table).values(row).on_conflict(one_time_codes::user_id).do_update().set(row.change());
    match connection {
        DbConnection::Postgres(postgres) => insert.execute(postgres),
        DbConnection::Sqlite(sqlite) => insert.execute(sqlite),
    }
    .map(drop)
}
