//! Accounts in the database.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel::{define_sql_function, delete, insert_into, update};
use domain::{Cursor, Email, MediaKind, Page, PageRequest, PasswordHash, Role, User, UserId};
use ports::{ChangedUser, NewUser, RemovedRecords, StoreError, UserChange, UserStore};

use super::page_after;
use super::sessions::end_all;
use crate::connection::AdvisoryLock;
use crate::pool::WorkError;
use crate::rows::{UserChangeRow, UserRow, to_kept_time};
use crate::schema::{api_keys, conversations, media, sessions, text_generations, users};
use crate::{DbConnection, DbPool};

define_sql_function! {
    /// The text with its ASCII letters in lower case: what SQLite does, and PostgreSQL with the columns' collation.
    fn lower(text: Text) -> Text;
}

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

    async fn add_first(&self, user: NewUser) -> Result<User, StoreError> {
        self.pool.write(|connection| add_first_user(connection, user)).await
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
                // An address from before addresses were lowered, which another one stood in the way of, is found as it was written.
                let by_address = users::email.eq_any([login.clone(), Email::folded(&login)]);
                let matching = users::username.eq(&login).or(by_address);
                let rows: Vec<UserRow> = users::table.filter(matching).select(UserRow::as_select()).load(connection)?;
                // Few: the name wins over the address.
                Ok(rows.into_iter().max_by_key(|row| (row.username == login, row.has_written(&login))))
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

    async fn change(&self, id: UserId, change: UserChange) -> Result<ChangedUser, StoreError> {
        self.pool.write(move |connection| change_user(connection, id, change)).await
    }

    async fn remove(&self, id: UserId) -> Result<RemovedRecords, StoreError> {
        self.pool
            .write(move |connection| {
                connection.lock_until_commit(AdvisoryLock::Admins)?;
                let before = User::try_from(find(connection, id)?)?;
                let removed = remove_user(connection, &id.to_string())?;
                refuse_to_lose_the_last_admin(connection, &before)?;
                Ok(removed)
            })
            .await
    }
}

/// Changes an account and ends the sessions that are to end with it.
fn change_user(connection: &mut DbConnection, id: UserId, change: UserChange) -> Result<ChangedUser, WorkError> {
    let takes_power = change.role == Some(Role::User) || change.disabled == Some(true);
    let new_address = change.email.as_ref().and_then(Option::as_ref).cloned();
    // Before the account's row, as everybody takes them.
    if new_address.is_some() {
        connection.lock_until_commit(AdvisoryLock::Logins)?;
    }
    if takes_power {
        connection.lock_until_commit(AdvisoryLock::Admins)?;
    }
    lock_user(connection, id)?;
    let before = User::try_from(find(connection, id)?)?;
    if let Some(address) = new_address {
        refuse_anothers_name(connection, id, &address)?;
    }
    let (sets_password, end_sessions) = (change.password_hash.is_some(), change.end_sessions);
    if let Some(change) = UserChangeRow::new(change) {
        update(users::table.find(id.to_string())).set(change).execute(connection)?;
    }
    let after = User::try_from(find(connection, id)?)?;
    if takes_power {
        refuse_to_lose_the_last_admin(connection, &before)?;
    }
    let ended_sessions = match end_sessions.filter(|_| sets_password || after != before) {
        Some(ending) => end_all(connection, &id.to_string(), ending.except, to_kept_time(ending.at))?,
        None => 0,
    };
    Ok(ChangedUser { before, after, ended_sessions })
}

/// Refuses what was just done to an account, which takes it back, where there are accounts now and no enabled admin among them. Called by
/// who holds [`AdvisoryLock::Admins`].
fn refuse_to_lose_the_last_admin(connection: &mut DbConnection, before: &User) -> Result<(), WorkError> {
    if before.role != Role::Admin || before.disabled {
        return Ok(());
    }
    let admins = users::table.filter(users::role.eq(Role::Admin.as_str())).filter(users::disabled.eq(false));
    let admin = admins.select(users::id).first::<String>(connection).optional()?;
    if admin.is_none() && anybody_there(connection)? {
        return Err(StoreError::Conflict { field: "last_admin" }.into());
    }
    Ok(())
}

/// Makes every other transaction that would change this account, or what is counted of it, wait. The row is locked as an update locks it,
/// so that what only refers to the account does not wait.
pub(super) fn lock_user(connection: &mut DbConnection, id: UserId) -> QueryResult<()> {
    let user = users::table.find(id.to_string()).select(users::id);
    match connection {
        DbConnection::Postgres(postgres) => user.for_no_key_update().first::<String>(postgres),
        DbConnection::Sqlite(sqlite) => user.first::<String>(sqlite),
    }
    .map(drop)
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
    insert_user(connection, user, role)
}

fn add_first_user(connection: &mut DbConnection, user: NewUser) -> Result<User, WorkError> {
    connection.lock_until_commit(AdvisoryLock::FirstUser)?;
    if anybody_there(connection)? {
        return Err(StoreError::Conflict { field: "first" }.into());
    }
    insert_user(connection, user, Role::Admin)
}

fn insert_user(connection: &mut DbConnection, user: NewUser, role: Role) -> Result<User, WorkError> {
    let (id, name_as_address) = (user.id, Email::folded(user.username.as_str()));
    if user.email.is_some() || name_as_address.contains('@') {
        connection.lock_until_commit(AdvisoryLock::Logins)?;
    }
    let is_taken = |connection: &mut DbConnection, by: &str| -> QueryResult<bool> {
        Ok(users::table.filter(users::email.eq(by)).select(users::id).first::<String>(connection).optional()?.is_some())
    };
    // The constraints guard against a race; but with both taken, the databases disagree about which to report.
    let holder = users::table.filter(users::username.eq(user.username.as_str())).select(users::id);
    if holder.first::<String>(connection).optional()?.is_some() {
        return Err(StoreError::Conflict { field: "username" }.into());
    }
    if let Some(email) = &user.email {
        refuse_anothers_name(connection, id, email)?;
        if is_taken(connection, email.as_str())? {
            return Err(StoreError::Conflict { field: "email" }.into());
        }
    }
    if name_as_address.contains('@') && is_taken(connection, &name_as_address)? {
        return Err(StoreError::Conflict { field: "username" }.into());
    }
    insert_into(users::table).values(UserRow::new(user, role)).execute(connection)?;
    Ok(find(connection, id)?.try_into()?)
}

/// Refuses an address by whose like another account is called. Called by who holds [`AdvisoryLock::Logins`].
fn refuse_anothers_name(connection: &mut DbConnection, id: UserId, address: &Email) -> Result<(), WorkError> {
    let others = users::table.filter(lower(users::username).eq(address.as_str())).filter(users::id.ne(id.to_string()));
    match others.select(users::id).first::<String>(connection).optional()? {
        Some(_) => Err(StoreError::Conflict { field: "email" }.into()),
        None => Ok(()),
    }
}

fn find(connection: &mut DbConnection, id: UserId) -> QueryResult<UserRow> {
    users::table.find(id.to_string()).select(UserRow::as_select()).first(connection)
}

fn anybody_there(connection: &mut DbConnection) -> QueryResult<bool> {
    Ok(users::table.select(users::id).first::<String>(connection).optional()?.is_some())
}

/// Admin while there is no account. Of several who are added at once on PostgreSQL, each would see none: so whoever sees none takes a
/// lock and looks again. Once there is an account, nobody waits for anybody.
fn role_of_the_next_user(connection: &mut DbConnection) -> QueryResult<Role> {
    if anybody_there(connection)? {
        return Ok(Role::User);
    }
    connection.lock_until_commit(AdvisoryLock::FirstUser)?;
    Ok(if anybody_there(connection)? { Role::User } else { Role::Admin })
}
