//! Exceptions to the limits, in memory.

use async_trait::async_trait;
use ports::{LimitOverride, LimitStore, LimitSubject, StoreError};

use super::FakeDatabase;

/// The most tokens that are kept, as the port says.
const MAX_TOKENS: u64 = i64::MAX as u64;

#[async_trait]
impl LimitStore for FakeDatabase {
    async fn get(&self, subjects: Vec<LimitSubject>) -> Result<Vec<LimitOverride>, StoreError> {
        let tables = self.tables()?;
        Ok(subjects.iter().map(|subject| tables.limit_overrides.get(subject).copied().unwrap_or_default()).collect())
    }

    async fn set(&self, subject: LimitSubject, limit: LimitOverride) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        let is_there = match subject {
            LimitSubject::Role(_) => true,
            LimitSubject::User(id) => tables.users.contains_key(&id),
            LimitSubject::ApiKey(id) => tables.api_keys.contains_key(&id),
        };
        if !is_there {
            return Err(StoreError::NotFound);
        }
        let tokens_per_day = limit.tokens_per_day.map(|tokens| tokens.min(MAX_TOKENS));
        if limit == LimitOverride::default() {
            tables.limit_overrides.remove(&subject);
        } else {
            tables.limit_overrides.insert(subject, LimitOverride { tokens_per_day, ..limit });
        }
        Ok(())
    }
}
