//! Where one-time codes are kept.

use async_trait::async_trait;
use domain::{OneTimeCode, OneTimeCodeHash, Page, PageRequest, PasswordHash, Timestamp, User, UserId};

use crate::{NewUser, StoreError};

/// Keeps one-time codes. Every call is one transaction; of two who use a code at once exactly one succeeds.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait OneTimeCodeStore: Send + Sync {
    /// Adds a code. `NotFound` if the account it is for, or that of who made it, is gone; with either the code goes later, too. A second code to reset the same password replaces the first.
    async fn add(&self, code: OneTimeCode, hash: OneTimeCodeHash) -> Result<(), StoreError>;

    /// Spends an invitation and adds the account, both or neither. `NotFound` where the code is unknown, spent, for something else or
    /// expired at `now`; otherwise as [`crate::UserStore::add`].
    async fn redeem_invitation(&self, hash: OneTimeCodeHash, user: NewUser, now: Timestamp) -> Result<User, StoreError>;

    /// Spends a code, sets its account's password and ends all its sessions at `now`, all or nothing; answers whose. `NotFound` as above.
    async fn redeem_password_reset(
        &self,
        hash: OneTimeCodeHash,
        password_hash: PasswordHash,
        now: Timestamp,
    ) -> Result<UserId, StoreError>;

    /// Invitations that are neither spent nor expired at `now`, newest first.
    async fn list_invitations(&self, now: Timestamp, page: PageRequest) -> Result<Page<OneTimeCode>, StoreError>;

    /// Removes what has expired before this time; answers how many.
    async fn sweep(&self, expired_before: Timestamp) -> Result<u64, StoreError>;
}
