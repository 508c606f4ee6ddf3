//! Where accounts are kept.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::{Email, Page, PageRequest, PasswordHash, Role, SessionId, Timestamp, User, UserId, Username};

use crate::StoreError;

/// An account that is about to be made. Its role is the store's to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUser {
    /// Who it will be.
    pub id: UserId,
    /// What it will sign in with.
    pub username: Username,
    /// Where its person can be reached.
    pub email: Option<Email>,
    /// The hash of its password.
    pub password_hash: PasswordHash,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// What to change of an account; what is `None` stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserChange {
    /// A new address, or none any more.
    pub email: Option<Option<Email>>,
    /// The hash of a new password.
    pub password_hash: Option<PasswordHash>,
    /// A new role.
    pub role: Option<Role>,
    /// Whether the account is disabled.
    pub disabled: Option<bool>,
    /// The sessions that end with it, in the same transaction, where it gives a new password or makes the account another than it was.
    pub end_sessions: Option<EndSessions>,
}

/// Which of an account's sessions end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndSessions {
    /// When they end.
    pub at: Timestamp,
    /// The one that goes on.
    pub except: Option<SessionId>,
}

/// An account that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedUser {
    /// As it was.
    pub before: User,
    /// As it is now.
    pub after: User,
    /// How many sessions that were alive have ended with it.
    pub ended_sessions: u64,
}

/// What was removed with an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RemovedRecords {
    /// Sign-ins, those that had ended included.
    pub sessions: u64,
    /// API keys.
    pub api_keys: u64,
    /// Made texts.
    pub text_generations: u64,
    /// Conversations, each with all its messages.
    pub conversations: u64,
    /// Records of pictures.
    pub images: u64,
    /// Records of speech.
    pub speeches: u64,
}

/// Keeps accounts. Every call is one transaction.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait UserStore: Send + Sync {
    /// Adds an account. Where there is no account it becomes [`Role::Admin`], else [`Role::User`], also when several are added at once.
    ///
    /// Fails with `Conflict {field: "username"}` or `Conflict {field: "email"}`, also where the name is another's address, in whatever
    /// case, or the address another's name: an account signs in by either, and must not catch another's sign-ins.
    async fn add(&self, user: NewUser) -> Result<User, StoreError>;

    /// Adds the very first account, the admin's. Fails as [`Self::add`] does, and with `Conflict {field: "first"}` where there is an
    /// account already: of several who come at once, one is the first.
    async fn add_first(&self, user: NewUser) -> Result<User, StoreError>;

    /// An account by its identifier.
    async fn get(&self, id: UserId) -> Result<User, StoreError>;

    /// An account and its password's hash, by its exact name, or if no account has that name, by its address in whatever case.
    async fn find_by_login(&self, login: &str) -> Result<Option<(User, PasswordHash)>, StoreError>;

    /// The hash of an account's password.
    async fn password_hash(&self, id: UserId) -> Result<PasswordHash, StoreError>;

    /// All accounts, newest first.
    async fn list(&self, page: PageRequest) -> Result<Page<User>, StoreError>;

    /// Changes an account. Fails with `Conflict {field: "email"}` where the address is another's, or another's name; and with
    /// `Conflict {field: "last_admin"}` where no enabled admin would be left, also when several are changed or removed at once.
    async fn change(&self, id: UserId, change: UserChange) -> Result<ChangedUser, StoreError>;

    /// Removes an account and everything it owns: sessions, texts, conversations, defaults, keys, counted tokens, one-time codes and limits of its own.
    /// Events of the audit log stay. Answers what was removed. Fails with `Conflict {field: "last_admin"}` where others would be left
    /// without an enabled admin, as [`Self::change`] does.
    async fn remove(&self, id: UserId) -> Result<RemovedRecords, StoreError>;
}
