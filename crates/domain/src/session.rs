//! A sign-in: one device, from login to logout.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::{SessionId, UserId};

/// The SHA-256 of a refresh token, in lower-case hexadecimal. The token itself is known to its owner alone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RefreshTokenHash(String);

impl RefreshTokenHash {
    /// Wraps a hash that was computed or kept.
    pub fn new(hash: impl Into<String>) -> Self {
        Self(hash.into())
    }

    /// The hash's text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RefreshTokenHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RefreshTokenHash(…)")
    }
}

/// A sign-in. It is alive while it is not revoked, has not expired, and its account is there and not disabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Which one; carried by its access tokens.
    pub id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// When the person signed in.
    pub created_at: DateTime<Utc>,
    /// When its refresh token was last rotated.
    pub last_used_at: DateTime<Utc>,
    /// When it ends if its refresh token is not used again.
    pub expires_at: DateTime<Utc>,
    /// When it was ended, by logout, by a spent refresh token, or by a change to the account.
    pub revoked_at: Option<DateTime<Utc>>,
    /// The client's own description of itself (`User-Agent`), cut to 200 characters.
    pub client: Option<String>,
    /// The address it signed in from.
    pub address: Option<String>,
}

impl Session {
    /// Whether it can still be used at `now`.
    pub fn is_alive(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}
