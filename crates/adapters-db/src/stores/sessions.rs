//! Sign-ins in the database.
//!
//! Every change locks the session's row before it touches the session's tokens. One order of locks, so no two of them can wait for each
//! other; and while one rotates a token, nobody else rotates, ends or sweeps the same session.

use async_trait::async_trait;
use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::dsl::auto_type;
use diesel::prelude::*;
use diesel::{delete, insert_into, update};
use domain::{RefreshTokenHash, Session, SessionId, User, UserId};
use ports::{Rotation, SessionStore, StoreError};

use crate::rows::{RefreshTokenRow, SessionRow, UserRow, to_kept_time};
use crate::schema::{refresh_tokens, sessions, users};
use crate::{DbConnection, DbPool};

/// The most sessions that one list shows, as the port says.
const MAX_LISTED: i64 = 200;

/// Keeps sign-ins in the tables `sessions` and `refresh_tokens`.
#[derive(Debug, Clone)]
pub struct DbSessionStore {
    pool: DbPool,
}

impl DbSessionStore {
    /// Keeps them in this pool's database.
    pub const fn new(pool: DbPool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl SessionStore for DbSessionStore {
    async fn add(&self, session: Session, token: RefreshTokenHash) -> Result<(), StoreError> {
        self.pool
            .write(move |connection| {
                let token = RefreshTokenRow::current(&token, &session.id);
                insert_into(sessions::table).values(SessionRow::from(session)).execute(connection)?;
                insert_into(refresh_tokens::table).values(token).execute(connection)?;
                Ok(())
            })
            .await
    }

    async fn get_with_user(&self, id: SessionId) -> Result<(Session, User), StoreError> {
        let (session, user): (SessionRow, UserRow) = self
            .pool
            .read(move |connection| {
                let both = sessions::table.find(id.to_string()).inner_join(users::table);
                Ok(both.select((SessionRow::as_select(), UserRow::as_select())).first(connection)?)
            })
            .await?;
        Ok((session.try_into()?, user.try_into()?))
    }

    async fn rotate(
        &self,
        presented: RefreshTokenHash,
        next: RefreshTokenHash,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<Rotation, StoreError> {
        self.pool
            .write(move |connection| {
                let Some(token) = find_token(connection, &presented)? else { return Ok(Rotation::Unknown) };
                let Some(session) = lock_session(connection, &token.session_id)? else { return Ok(Rotation::Unknown) };
                let session = Session::try_from(session)?;
                if !session.is_alive(now) {
                    return Ok(Rotation::Unknown);
                }
                if !spend(connection, &presented, to_kept_time(now))? {
                    end(connection, token.session_id, to_kept_time(now))?;
                    return Ok(Rotation::Reused(session));
                }
                let next = RefreshTokenRow::current(&next, &token.session_id);
                insert_into(refresh_tokens::table).values(next).execute(connection)?;
                Ok(Rotation::Rotated(renew(connection, token.session_id, now, expires_at)?.try_into()?))
            })
            .await
    }

    async fn revoke_by_token(&self, token: RefreshTokenHash, now: DateTime<Utc>) -> Result<Option<SessionId>, StoreError> {
        let now = to_kept_time(now);
        self.pool
            .write(move |connection| {
                let Some(token) = find_token(connection, &token)? else { return Ok(None) };
                end(connection, token.session_id.clone(), now)?;
                Ok(Some(token.session_id()?))
            })
            .await
    }

    async fn revoke(&self, user_id: UserId, id: SessionId, now: DateTime<Utc>) -> Result<(), StoreError> {
        let now = to_kept_time(now);
        self.pool
            .write(move |connection| {
                let own = sessions::id.eq(id.to_string()).and(sessions::user_id.eq(user_id.to_string()));
                let found: i64 = sessions::table.filter(own).count().get_result(connection)?;
                if found == 0 {
                    return Err(StoreError::NotFound.into());
                }
                end(connection, id.to_string(), now)?;
                Ok(())
            })
            .await
    }

    async fn revoke_all(&self, user_id: UserId, except: Option<SessionId>, now: DateTime<Utc>) -> Result<u64, StoreError> {
        let now = to_kept_time(now);
        // No session has the empty identifier, so that nothing is excepted.
        let except = except.map_or_else(String::new, |id| id.to_string());
        let others = sessions::user_id.eq(user_id.to_string()).and(sessions::id.ne(except));
        self.pool
            .write(move |connection| {
                let alive = sessions::table.filter(alive_at(now)).filter(others);
                let ended = update(alive).set(sessions::revoked_at.eq(now)).execute(connection)?;
                Ok(u64::try_from(ended).unwrap_or(u64::MAX))
            })
            .await
    }

    async fn list_alive(&self, user_id: UserId, now: DateTime<Utc>) -> Result<Vec<Session>, StoreError> {
        let now = to_kept_time(now);
        let rows: Vec<SessionRow> = self
            .pool
            .read(move |connection| {
                let own = sessions::table.filter(alive_at(now)).filter(sessions::user_id.eq(user_id.to_string()));
                let newest_first = own.order((sessions::last_used_at.desc(), sessions::id.desc())).limit(MAX_LISTED);
                Ok(newest_first.select(SessionRow::as_select()).load(connection)?)
            })
            .await?;
        rows.into_iter().map(Session::try_from).collect()
    }

    async fn sweep(&self, ended_before: DateTime<Utc>) -> Result<u64, StoreError> {
        let before = to_kept_time(ended_before);
        self.pool
            .write(move |connection| {
                let ended = sessions::expires_at.lt(before).or(sessions::revoked_at.lt(before).assume_not_null());
                let removed = delete(sessions::table.filter(ended)).execute(connection)?;
                Ok(u64::try_from(removed).unwrap_or(u64::MAX))
            })
            .await
    }
}

/// What is true of a session that can still be used.
#[auto_type(no_type_alias)]
fn alive_at(now: NaiveDateTime) -> _ {
    sessions::revoked_at.is_null().and(sessions::expires_at.gt(now))
}

fn find_token(connection: &mut DbConnection, token: &RefreshTokenHash) -> QueryResult<Option<RefreshTokenRow>> {
    refresh_tokens::table.find(token.as_str().to_owned()).select(RefreshTokenRow::as_select()).first(connection).optional()
}

/// Makes every other transaction that would change this session wait, and answers the session as it is then.
fn lock_session(connection: &mut DbConnection, id: &str) -> QueryResult<Option<SessionRow>> {
    if let DbConnection::Postgres(postgres) = connection {
        let row = sessions::table.find(id).select(sessions::id).for_update();
        row.first::<String>(postgres).optional()?;
    }
    sessions::table.find(id.to_owned()).select(SessionRow::as_select()).first(connection).optional()
}

/// Spends a token. False if it was spent already.
fn spend(connection: &mut DbConnection, token: &RefreshTokenHash, now: NaiveDateTime) -> QueryResult<bool> {
    let unspent = refresh_tokens::table.find(token.as_str().to_owned()).filter(refresh_tokens::spent_at.is_null());
    Ok(update(unspent).set(refresh_tokens::spent_at.eq(now)).execute(connection)? == 1)
}

fn renew(connection: &mut DbConnection, id: String, now: DateTime<Utc>, expires_at: DateTime<Utc>) -> QueryResult<SessionRow> {
    let renewed = (sessions::last_used_at.eq(to_kept_time(now)), sessions::expires_at.eq(to_kept_time(expires_at)));
    update(sessions::table.find(id.clone())).set(renewed).execute(connection)?;
    sessions::table.find(id).select(SessionRow::as_select()).first(connection)
}

/// Ends this session if it is alive.
fn end(connection: &mut DbConnection, id: String, now: NaiveDateTime) -> QueryResult<()> {
    let alive = sessions::table.filter(alive_at(now)).filter(sessions::id.eq(id));
    update(alive).set(sessions::revoked_at.eq(now)).execute(connection).map(drop)
}
