//! Where tokens a day are counted.

use async_trait::async_trait;
use chrono::NaiveDate;
use domain::{ApiKeyId, Timestamp, TokenQuota, TokenReservation, TokensOfDay, UserId};
use uuid::Uuid;

use crate::StoreError;

/// Whether tokens were set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReservationOutcome {
    /// They were.
    Reserved,
    /// They would not fit the quota; nothing was set aside.
    Exceeded {
        /// The quota that is full.
        quota: u64,
        /// The day's tokens so far.
        tokens: TokensOfDay,
    },
}

/// Tokens that were used without having been set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsedTokens {
    /// Whose day they count against.
    pub user_id: UserId,
    /// And whose key's, where a key was used.
    pub api_key_id: Option<ApiKeyId>,
    /// The day (UTC) on which what used them began.
    pub day: NaiveDate,
    /// How many.
    pub tokens: u32,
}

/// Counts tokens. Every call is one transaction, atomic among replicas: of any number of reservations at once, exactly those that fit pass.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait TokenQuotaStore: Send + Sync {
    /// Sets tokens aside if they fit both quotas, else nothing at all. They count against the user's day and, where a key was used,
    /// against the key's, whether or not there is a quota. `NotFound` if the user or key is gone.
    async fn reserve(&self, reservation: TokenReservation, quota: TokenQuota) -> Result<ReservationOutcome, StoreError>;

    /// Ends a reservation: what was used counts (all of it, also where it is more than was set aside), the rest is given back. Settling
    /// one that is settled, released or unknown changes nothing. Where the key is gone by then, its user's day is settled all the same.
    async fn settle(&self, id: Uuid, used_tokens: u32) -> Result<(), StoreError>;

    /// Counts tokens that no reservation stands for, where no quota applied. `NotFound` if the user is gone; where the key alone is gone,
    /// they count for its user all the same.
    async fn count(&self, used: UsedTokens) -> Result<(), StoreError>;

    /// Gives back what was set aside by processes that died, which is what nobody settled before its end (`expires_at` at or before
    /// `now`); answers how many reservations there were.
    async fn release_expired(&self, now: Timestamp) -> Result<u64, StoreError>;

    /// A user's tokens of a day.
    async fn of_user(&self, user_id: UserId, day: NaiveDate) -> Result<TokensOfDay, StoreError>;

    /// A key's tokens of a day.
    async fn of_api_key(&self, api_key_id: ApiKeyId, day: NaiveDate) -> Result<TokensOfDay, StoreError>;
}
