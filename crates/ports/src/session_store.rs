//! Where sign-ins are kept.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::{RefreshTokenHash, Session, SessionId, User, UserId};

use crate::StoreError;

/// What came of presenting a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// The token was the session's current one; it is spent now and the new one is current.
    Rotated(Session),
    /// The token had been spent before: somebody else holds a copy. This session, as it was until then, was revoked.
    Reused(Session),
    /// No such token, or its session has ended.
    Unknown,
}

/// Keeps sign-ins. Every call is one transaction.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Adds a session whose current refresh token has this hash.
    async fn add(&self, session: Session, token: RefreshTokenHash) -> Result<(), StoreError>;

    /// The session and its user, as they are now. `NotFound` if either is gone. Whether they may be used is the caller's to judge.
    async fn get_with_user(&self, id: SessionId) -> Result<(Session, User), StoreError>;

    /// Replaces a session's refresh token: atomically, so that of two who present the same token at once exactly one succeeds and the
    /// other is [`Rotation::Reused`]. The session's `last_used_at` becomes `now` and its end `expires_at`.
    async fn rotate(
        &self,
        presented: RefreshTokenHash,
        next: RefreshTokenHash,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<Rotation, StoreError>;

    /// Ends the session that this token, current or spent, belongs to; answers which it was, or `None` for an unknown token. Ending
    /// one that has ended changes nothing.
    async fn revoke_by_token(&self, token: RefreshTokenHash, now: DateTime<Utc>) -> Result<Option<SessionId>, StoreError>;

    /// Ends one session of this user; `NotFound` if the user has none with this identifier.
    async fn revoke(&self, user_id: UserId, id: SessionId, now: DateTime<Utc>) -> Result<(), StoreError>;

    /// Ends every session of this user except one, and answers how many were alive.
    async fn revoke_all(&self, user_id: UserId, except: Option<SessionId>, now: DateTime<Utc>) -> Result<u64, StoreError>;

    /// The user's sessions that are alive at `now`, the last used first; at most 200.
    async fn list_alive(&self, user_id: UserId, now: DateTime<Utc>) -> Result<Vec<Session>, StoreError>;

    /// Removes sessions that ended, or were to end, before this time, with their spent tokens; answers how many.
    async fn sweep(&self, ended_before: DateTime<Utc>) -> Result<u64, StoreError>;
}
