//! Where API keys are kept.

use async_trait::async_trait;
use domain::{ApiKey, ApiKeyHash, ApiKeyId, Timestamp, User, UserId};

use crate::StoreError;

/// Keeps API keys. Every call is one transaction.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ApiKeyStore: Send + Sync {
    /// Adds a key, unless its user has `max_keys` already: then `Conflict {field: "keys"}`. `NotFound` if the user is gone.
    async fn add(&self, key: ApiKey, hash: ApiKeyHash, max_keys: u32) -> Result<(), StoreError>;

    /// The keys that begin like this (by an index; almost always one or none), each with its hash and its user as they are now. Whether
    /// one of them is the caller's, and may be used, is the caller's to judge.
    async fn find_by_prefix(&self, prefix: &str) -> Result<Vec<(ApiKey, ApiKeyHash, User)>, StoreError>;

    /// The user's keys, newest first; at most the number that may be kept.
    async fn list(&self, user_id: UserId) -> Result<Vec<ApiKey>, StoreError>;

    /// Notes that a key was used. Not an error if it is gone.
    async fn touch(&self, id: ApiKeyId, now: Timestamp) -> Result<(), StoreError>;

    /// Removes one of the user's keys; `NotFound` if the user has none with this identifier.
    async fn remove(&self, user_id: UserId, id: ApiKeyId) -> Result<(), StoreError>;
}
