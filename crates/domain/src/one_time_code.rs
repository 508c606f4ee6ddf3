//! Single-use codes: to register where registration is not open, and to set a new password.

use std::fmt;

use uuid::Uuid;

use crate::{Timestamp, UserId};

/// The SHA-256 of a one-time code, in lower-case hexadecimal. The code itself is known to who was given it alone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct OneTimeCodeHash(String);

impl OneTimeCodeHash {
    /// Wraps a hash that was computed or kept.
    pub fn new(hash: impl Into<String>) -> Self {
        Self(hash.into())
    }

    /// The hash's text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OneTimeCodeHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OneTimeCodeHash(…)")
    }
}

/// What a one-time code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CodePurpose {
    /// To register an account.
    Invitation,
    /// To set a new password of this account.
    PasswordReset(UserId),
}

/// A one-time code as it is kept: everything but the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneTimeCode {
    /// Which one.
    pub id: Uuid,
    /// What for.
    pub purpose: CodePurpose,
    /// Who made it; nobody where the command line did.
    pub created_by: Option<UserId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Timestamp,
}

/// Who may make an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RegistrationPolicy {
    /// Everybody.
    #[default]
    Open,
    /// Who has an invitation, and the first of all, who becomes the admin.
    Invite,
    /// Nobody but the first of all; accounts are made on the command line.
    Closed,
}
