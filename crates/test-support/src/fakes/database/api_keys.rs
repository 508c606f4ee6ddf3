//! API keys in memory.

use std::cmp::Reverse;

use async_trait::async_trait;
use domain::{ApiKey, ApiKeyHash, ApiKeyId, Timestamp, User, UserId};
use ports::{ApiKeyStore, LimitSubject, StoreError};

use super::{FakeDatabase, Tables};

impl Tables {
    /// Removes a key with what is kept of it elsewhere.
    fn forget_api_key(&mut self, id: ApiKeyId) {
        self.api_keys.remove(&id);
        self.api_key_token_days.retain(|(api_key_id, _), _| *api_key_id != id);
        self.limit_overrides.remove(&LimitSubject::ApiKey(id));
    }

    pub(super) fn forget_api_keys_of(&mut self, user_id: UserId) {
        let own: Vec<_> = self.api_keys.values().filter(|(key, _)| key.user_id == user_id).map(|(key, _)| key.id).collect();
        for id in own {
            self.forget_api_key(id);
        }
    }
}

#[async_trait]
impl ApiKeyStore for FakeDatabase {
    async fn add(&self, key: ApiKey, hash: ApiKeyHash, max_keys: u32) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        if !tables.users.contains_key(&key.user_id) {
            return Err(StoreError::NotFound);
        }
        if tables.api_keys.values().filter(|(kept, _)| kept.user_id == key.user_id).count() >= max_keys as usize {
            return Err(StoreError::Conflict { field: "keys" });
        }
        if tables.api_keys.contains_key(&key.id) {
            return Err(StoreError::Conflict { field: "id" });
        }
        tables.api_keys.insert(key.id, (key, hash));
        Ok(())
    }

    async fn find_by_prefix(&self, prefix: &str) -> Result<Vec<(ApiKey, ApiKeyHash, User)>, StoreError> {
        let tables = self.tables()?;
        let beginning_so = tables.api_keys.values().filter(|(key, _)| key.prefix == prefix);
        Ok(beginning_so.map(|(key, hash)| (key.clone(), hash.clone(), tables.users[&key.user_id].0.clone())).collect())
    }

    async fn list(&self, user_id: UserId) -> Result<Vec<ApiKey>, StoreError> {
        let tables = self.tables()?;
        let mut own: Vec<_> =
            tables.api_keys.values().filter(|(key, _)| key.user_id == user_id).map(|(key, _)| key.clone()).collect();
        own.sort_by_key(|key| Reverse((key.created_at, key.id)));
        Ok(own)
    }

    async fn touch(&self, id: ApiKeyId, now: Timestamp) -> Result<(), StoreError> {
        if let Some((key, _)) = self.tables()?.api_keys.get_mut(&id) {
            key.last_used_at = Some(now);
        }
        Ok(())
    }

    async fn remove(&self, user_id: UserId, id: ApiKeyId) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        tables.api_keys.get(&id).filter(|(key, _)| key.user_id == user_id).ok_or(StoreError::NotFound)?;
        tables.forget_api_key(id);
        Ok(())
    }
}
