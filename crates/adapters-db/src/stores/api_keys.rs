//! API keys in the database.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel::{delete, insert_into, update};
use domain::{ApiKey, ApiKeyHash, ApiKeyId, Timestamp, User, UserId};
use ports::{ApiKeyStore, StoreError};

use super::users::lock_user;
use crate::DbPool;
use crate::rows::{ApiKeyRow, UserRow, api_key_with_hash, to_kept_time};
use crate::schema::{api_keys, users};

/// Keeps keys in the table `api_keys`.
#[derive(Debug, Clone)]
pub struct DbApiKeyStore {
    pool: DbPool,
}

impl DbApiKeyStore {
    /// Keeps them in this pool's database.
    pub const fn new(pool: DbPool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl ApiKeyStore for DbApiKeyStore {
    async fn add(&self, key: ApiKey, hash: ApiKeyHash, max_keys: u32) -> Result<(), StoreError> {
        self.pool
            .write(move |connection| {
                // Each who adds a key at once would count without the others' keys.
                lock_user(connection, key.user_id)?;
                let own = api_keys::table.filter(api_keys::user_id.eq(key.user_id.to_string()));
                let kept: i64 = own.count().get_result(connection)?;
                if kept >= i64::from(max_keys) {
                    return Err(StoreError::Conflict { field: "keys" }.into());
                }
                insert_into(api_keys::table).values(ApiKeyRow::new(key, &hash)).execute(connection)?;
                Ok(())
            })
            .await
    }

    async fn find_by_prefix(&self, prefix: &str) -> Result<Vec<(ApiKey, ApiKeyHash, User)>, StoreError> {
        // No key begins with a NUL in it, and PostgreSQL would not even take the question.
        if prefix.contains('\0') {
            return Ok(Vec::new());
        }
        let prefix = prefix.to_owned();
        let rows: Vec<(ApiKeyRow, UserRow)> = self
            .pool
            .read(move |connection| {
                let both = api_keys::table.inner_join(users::table).filter(api_keys::prefix.eq(prefix));
                Ok(both.select((ApiKeyRow::as_select(), UserRow::as_select())).load(connection)?)
            })
            .await?;
        let with_user = |(row, user): (ApiKeyRow, UserRow)| {
            let (key, hash) = api_key_with_hash(row)?;
            Ok((key, hash, user.try_into()?))
        };
        rows.into_iter().map(with_user).collect()
    }

    async fn list(&self, user_id: UserId) -> Result<Vec<ApiKey>, StoreError> {
        let rows: Vec<ApiKeyRow> = self
            .pool
            .read(move |connection| {
                let own = api_keys::table.filter(api_keys::user_id.eq(user_id.to_string()));
                let newest_first = own.order((api_keys::created_at.desc(), api_keys::id.desc()));
                Ok(newest_first.select(ApiKeyRow::as_select()).load(connection)?)
            })
            .await?;
        rows.into_iter().map(ApiKey::try_from).collect()
    }

    async fn touch(&self, id: ApiKeyId, now: Timestamp) -> Result<(), StoreError> {
        let now = to_kept_time(now);
        self.pool
            .write(move |connection| {
                update(api_keys::table.find(id.to_string())).set(api_keys::last_used_at.eq(now)).execute(connection)?;
                Ok(())
            })
            .await
    }

    async fn remove(&self, user_id: UserId, id: ApiKeyId) -> Result<(), StoreError> {
        let removed = self
            .pool
            .write(move |connection| {
                let own = api_keys::table.find(id.to_string()).filter(api_keys::user_id.eq(user_id.to_string()));
                Ok(delete(own).execute(connection)?)
            })
            .await?;
        if removed == 0 { Err(StoreError::NotFound) } else { Ok(()) }
    }
}
