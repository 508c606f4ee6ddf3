//! Turning passwords into what may be kept.

use async_trait::async_trait;
use domain::{Password, PasswordHash};

/// Why a password could not be hashed or compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashingError {
    /// Too many are being hashed already; nothing was done.
    #[error("too many passwords are being checked at once")]
    Overloaded,
    /// The hasher failed, or a kept hash cannot be read.
    #[error("password hashing failed: {0}")]
    Failed(String),
}

/// Hashes passwords slowly, on purpose, away from the threads that serve requests.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait PasswordHasher: Send + Sync {
    /// A salted hash of a new password. Two calls give two hashes.
    async fn hash(&self, password: &Password) -> Result<PasswordHash, HashingError>;

    /// Whether `candidate` is the password that `hash` was made from.
    ///
    /// With `hash` absent (no such account) it does the same work and answers `false`, so that the time taken does not tell whether
    /// the account exists. A candidate that could never have been a password (too long, too short) is compared all the same.
    async fn verify(&self, candidate: &str, hash: Option<PasswordHash>) -> Result<bool, HashingError>;
}
