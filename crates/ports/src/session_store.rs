//! Where sign-ins are kept.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::{Page, PageRequest, PasswordHash, RefreshTokenHash, Session, SessionId, User, UserId};

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

/// On what a session begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInTerms {
    /// The hash of the password that was proven. While it was compared, the account may have got another one.
    pub proven: PasswordHash,
    /// How many sessions of a user may be alive; at least one.
    pub max_sessions: u32,
}

/// Keeps sign-ins. Every call is one transaction.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Adds a session whose current refresh token has this hash. Where its user then has too many that are alive, the least recently
    /// used ones end. `NotFound` where the user is gone, is disabled, or has another password than the one that was proven.
    async fn add(&self, session: Session, token: RefreshTokenHash, terms: SignInTerms) -> Result<(), StoreError>;

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

    /// The user's sessions that are alive at `now`, the last used first. A cursor's time is the one when a session was last used.
    async fn list_alive(&self, user_id: UserId, now: DateTime<Utc>, page: PageRequest) -> Result<Page<Session>, StoreError>;

    /// Removes sessions that ended, or were to end, before `ended_before`, with their tokens, and answers how many; and the tokens that
    /// were spent before `spent_before`, whose sessions may be alive.
    async fn sweep(&self, ended_before: DateTime<Utc>, spent_before: DateTime<Utc>) -> Result<u64, StoreError>;
}
