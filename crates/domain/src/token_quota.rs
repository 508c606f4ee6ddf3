//! Tokens a day: reserved before a generation, settled after it.

use chrono::NaiveDate;
use uuid::Uuid;

use crate::{ApiKeyId, Timestamp, UserId};

/// Tokens set aside for a generation that is about to run: its prompt, and the most that may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenReservation {
    /// Which one.
    pub id: Uuid,
    /// Whose day it counts against.
    pub user_id: UserId,
    /// And whose key's, where a key was used.
    pub api_key_id: Option<ApiKeyId>,
    /// How many.
    pub tokens: u32,
    /// The day (UTC) it counts against, also where the generation ends on the next.
    pub day: NaiveDate,
    /// When it is given back if nobody settled it: the process that made it has died.
    pub expires_at: Timestamp,
}

/// How many tokens a day at the most; `None` is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenQuota {
    /// Of the user, by whatever means they call.
    pub user: Option<u64>,
    /// Of the key.
    pub api_key: Option<u64>,
}

/// A day's tokens so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokensOfDay {
    /// Spent.
    pub used: u64,
    /// Set aside for what is running.
    pub reserved: u64,
}

impl TokensOfDay {
    /// What is left of a quota.
    pub const fn left_of(self, quota: u64) -> u64 {
        quota.saturating_sub(self.used.saturating_add(self.reserved))
    }
}
