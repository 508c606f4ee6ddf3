//! Sign-ins in the database.
//!
//! Every change locks the session's row before it touches the session's tokens. One order of locks, so no two of them can wait for each
//! other; and while one rotates a token, nobody else rotates, ends or sweeps the same session.

use async_trait::async_trait;
use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::dsl::auto_type;
use diesel::prelude::*;
use diesel::{delete, insert_into, update};
use domain::{Cursor, Page, PageRequest, RefreshTokenHash, Session, SessionId, User, UserId};
use ports::{Rotation, SessionStore, SignInTerms, StoreError};

use super::page_after;
use super::users::lock_user;
use crate::rows::{RefreshTokenRow, SessionRow, UserRow, to_kept_time};
use crate::schema::{refresh_tokens, sessions, users};
use crate::{DbConnection, DbPool};

/// How many sessions end in one statement; a database takes only so many values.
const ENDED_TOGETHER: i64 = 500;

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
    async fn add(&self, session: Session, token: RefreshTokenHash, terms: SignInTerms) -> Result<(), StoreError> {
        self.pool
            .write(move |connection| {
                // Nobody changes the password, or begins another session, meanwhile.
                lock_user(connection, session.user_id)?;
                let user = users::table.find(session.user_id.to_string());
                let (hash, disabled): (String, bool) = user.select((users::password_hash, users::disabled)).first(connection)?;
                if disabled || hash != terms.proven.expose() {
                    return Err(StoreError::NotFound.into());
                }
                make_room(connection, session.user_id, terms.max_sessions, to_kept_time(session.created_at))?;
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

    async fn list_alive(&self, user_id: UserId, now: DateTime<Utc>, page: PageRequest) -> Result<Page<Session>, StoreError> {
        let now = to_kept_time(now);
        let rows: Vec<SessionRow> = self
            .pool
            .read(move |connection| {
                let own = sessions::table.filter(alive_at(now)).filter(sessions::user_id.eq(user_id.to_string()));
                let own = own.select(SessionRow::as_select()).into_boxed();
                Ok(page_after!(own, sessions, last_used_at, page).load(connection)?)
            })
            .await?;
        let sessions = rows.into_iter().map(Session::try_from).collect::<Result<_, _>>()?;
        let cursor_of = |session: &Session| Cursor { created_at: session.last_used_at, id: session.id.uuid() };
        Ok(Page::from_overfull(sessions, page.limit, cursor_of))
    }

    async fn sweep(&self, ended_before: DateTime<Utc>, spent_before: DateTime<Utc>) -> Result<u64, StoreError> {
        let (ended_before, spent_before) = (to_kept_time(ended_before), to_kept_time(spent_before));
        self.pool
            .write(move |connection| {
                let ended = sessions::expires_at.lt(ended_before).or(sessions::revoked_at.lt(ended_before).assume_not_null());
                let removed = delete(sessions::table.filter(ended)).execute(connection)?;
                let spent = refresh_tokens::table.filter(refresh_tokens::spent_at.lt(spent_before));
                delete(spent).execute(connection)?;
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

/// Ends the user's least recently used sessions, until there is room for one more.
fn make_room(connection: &mut DbConnection, user_id: UserId, max_sessions: u32, now: NaiveDateTime) -> QueryResult<()> {
    loop {
        let own = sessions::table.filter(alive_at(now)).filter(sessions::user_id.eq(user_id.to_string()));
        let last_used_first = own.order((sessions::last_used_at.desc(), sessions::id.desc())).select(sessions::id);
        let too_many = last_used_first.offset(i64::from(max_sessions.saturating_sub(1))).limit(ENDED_TOGETHER);
        let too_many: Vec<String> = too_many.load(connection)?;
        if too_many.is_empty() {
            return Ok(());
        }
        update(sessions::table.filter(sessions::id.eq_any(too_many))).set(sessions::revoked_at.eq(now)).execute(connection)?;
    }
}

/// Ends every session of this user except one, and answers how many were alive.
pub(super) fn end_all(
    connection: &mut DbConnection,
    user_id: &str,
    except: Option<SessionId>,
    now: NaiveDateTime,
) -> QueryResult<u64> {
    // No session has the empty identifier, so that nothing is excepted.
    let except = except.map_or_else(String::new, |id| id.to_string());
    let others = sessions::user_id.eq(user_id.to_owned()).and(sessions::id.ne(except));
    let alive = sessions::table.filter(alive_at(now)).filter(others);
    let ended = update(alive).set(sessions::revoked_at.eq(now)).execute(connection)?;
    Ok(u64::try_from(ended).unwrap_or(u64::MAX))
}

/// Ends this session if it is alive.
fn end(connection: &mut DbConnection, id: String, now: NaiveDateTime) -> QueryResult<()> {
    let alive = sessions::table.filter(alive_at(now)).filter(sessions::id.eq(id));
    update(alive).set(sessions::revoked_at.eq(now)).execute(connection).map(drop)
}
