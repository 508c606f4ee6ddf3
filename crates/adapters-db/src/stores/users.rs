//! Accounts in the database.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel::{delete, insert_into, update};
use domain::{Cursor, MediaKind, Page, PageRequest, PasswordHash, Role, User, UserId, Username};
use ports::{NewUser, RemovedRecords, StoreError, UserChange, UserStore};

use super::page_after;
use crate::connection::AdvisoryLock;
use crate::pool::WorkError;
use crate::rows::{UserChangeRow, UserRow};
use crate::schema::{api_keys, conversations, media, sessions, text_generations, users};
use crate::{DbConnection, DbPool};

/// Keeps accounts in the table `users`.
#[derive(Debug, Clone)]
pub struct DbUserStore {
    pool: DbPool,
}

impl DbUserStore {
    /// Keeps them in this pool's database.
    pub const fn new(pool: DbPool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl UserStore for DbUserStore {
    async fn add(&self, user: NewUser) -> Result<User, StoreError> {
        self.pool.write(|connection| add_user(connection, user)).await
    }

    async fn get(&self, id: UserId) -> Result<User, StoreError> {
        self.pool.read(move |connection| Ok(find(connection, id)?)).await?.try_into()
    }

    async fn find_by_login(&self, login: &str) -> Result<Option<(User, PasswordHash)>, StoreError> {
        // No name and no address holds a NUL, and PostgreSQL would not even take the question.
        if login.contains('\0') {
            return Ok(None);
        }
        let login = login.to_owned();
        let found = self
            .pool
            .read(move |connection| {
                let matching = users::username.eq(&login).or(users::email.eq(&login));
                let rows: Vec<UserRow> = users::table.filter(matching).select(UserRow::as_select()).load(connection)?;
                // At most two: the name wins over the address.
                Ok(rows.into_iter().max_by_key(|row| row.username == login))
            })
            .await?;
        found
            .map(|row| Ok((row.password_hash(), User::try_from(row)?)))
            .transpose()
            .map(|found| found.map(|(hash, user)| (user, hash)))
    }

    async fn password_hash(&self, id: UserId) -> Result<PasswordHash, StoreError> {
        let hash = move |connection: &mut DbConnection| Ok(find(connection, id)?.password_hash());
        self.pool.read(hash).await
    }

    async fn list(&self, page: PageRequest) -> Result<Page<User>, StoreError> {
        let rows: Vec<UserRow> = self
            .pool
            .read(move |connection| {
                let all = users::table.select(UserRow::as_select()).into_boxed();
                Ok(page_after!(all, users, page).load(connection)?)
            })
            .await?;
        let users = rows.into_iter().map(User::try_from).collect::<Result<_, _>>()?;
        Ok(Page::from_overfull(users, page.limit, |user: &User| Cursor { created_at: user.created_at, id: user.id.uuid() }))
    }

    async fn change(&self, id: UserId, change: UserChange) -> Result<User, StoreError> {
        self.pool
            .write(move |connection| {
                if let Some(change) = UserChangeRow::new(change) {
                    update(users::table.find(id.to_string())).set(change).execute(connection)?;
                }
                Ok(find(connection, id)?.try_into()?)
            })
            .await
    }

    async fn remove(&self, id: UserId) -> Result<RemovedRecords, StoreError> {
        self.pool.write(move |connection| remove_user(connection, &id.to_string())).await
    }
}

/// Removes an account; the tables' own references remove what it owns.
fn remove_user(connection: &mut DbConnection, id: &str) -> Result<RemovedRecords, WorkError> {
    let count = |number: i64| u64::try_from(number).unwrap_or_default();
    let of_sessions = sessions::table.filter(sessions::user_id.eq(id)).count().get_result(connection)?;
    let of_keys = api_keys::table.filter(api_keys::user_id.eq(id)).count().get_result(connection)?;
    let of_texts = text_generations::table.filter(text_generations::user_id.eq(id)).count().get_result(connection)?;
    let of_conversations = conversations::table.filter(conversations::user_id.eq(id)).count().get_result(connection)?;
    let of_kind = |connection: &mut DbConnection, kind: MediaKind| -> QueryResult<i64> {
        media::table.filter(media::user_id.eq(id)).filter(media::kind.eq(kind.as_str())).count().get_result(connection)
    };
    let (of_images, of_speeches) = (of_kind(connection, MediaKind::Image)?, of_kind(connection, MediaKind::Speech)?);
    match delete(users::table.find(id)).execute(connection)? {
        0 => Err(StoreError::NotFound.into()),
        _ => Ok(RemovedRecords {
            sessions: count(of_sessions),
            api_keys: count(of_keys),
            text_generations: count(of_texts),
            conversations: count(of_conversations),
            images: count(of_images),
            speeches: count(of_speeches),
        }),
    }
}

/// Adds an account inside the caller's transaction.
pub(super) fn add_user(connection: &mut DbConnection, user: NewUser) -> Result<User, WorkError> {
    let role = role_of_the_next_user(connection)?;
    // The constraint guards against a race; but with the address taken too, the databases disagree about which to report.
    if is_taken(connection, &user.username)? {
        return Err(StoreError::Conflict { field: "username" }.into());
    }
    let id = user.id;
    insert_into(users::table).values(UserRow::new(user, role)).execute(connection)?;
    Ok(find(connection, id)?.try_into()?)
}

fn find(connection: &mut DbConnection, id: UserId) -> QueryResult<UserRow> {
    users::table.find(id.to_string()).select(UserRow::as_select()).first(connection)
}

fn is_taken(connection: &mut DbConnection, username: &Username) -> QueryResult<bool> {
    let holders: i64 = users::table.filter(users::username.eq(username.as_str())).count().get_result(connection)?;
    Ok(holders > 0)
}

/// Admin while there is no account. Of several who are added at once on PostgreSQL, each would see none: so whoever sees none takes a
/// lock and looks again. Once there is an account, nobody waits for anybody.
fn role_of_the_next_user(connection: &mut DbConnection) -> QueryResult<Role> {
    let anybody_there = |connection: &mut DbConnection| users::table.select(users::id).first::<String>(connection).optional();
    if anybody_there(connection)?.is_some() {
        return Ok(Role::User);
    }
    connection.lock_until_commit(AdvisoryLock::FirstUser)?;
    Ok(if anybody_there(connection)?.is_some() { Role::User } else { Role::Admin })
}
