//! Where an admin's exceptions to the limits are kept.

use async_trait::async_trait;
use domain::{ApiKeyId, Role, UserId};

use crate::StoreError;

/// Whom an exception is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LimitSubject {
    /// Everybody with this role.
    Role(Role),
    /// One user. Goes before their role's.
    User(UserId),
    /// One key, besides its user's.
    ApiKey(ApiKeyId),
}

/// An exception; what is `None` stays as the settings say. 0 tokens a day is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LimitOverride {
    /// Requests a minute.
    pub requests_per_minute: Option<u32>,
    /// Tokens a day.
    pub tokens_per_day: Option<u64>,
}

/// Keeps exceptions to the limits.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait LimitStore: Send + Sync {
    /// The exceptions for these subjects, in their order; none is an empty one.
    async fn get(&self, subjects: Vec<LimitSubject>) -> Result<Vec<LimitOverride>, StoreError>;

    /// Sets an exception in the place of what was set before; an empty one removes it. `NotFound` if the user or key is gone; with them
    /// the exception goes later, too. More than `i64::MAX` tokens a day are kept as that many.
    async fn set(&self, subject: LimitSubject, limit: LimitOverride) -> Result<(), StoreError>;
}
