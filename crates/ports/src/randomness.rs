//! Where chance comes from.

use uuid::Uuid;

/// Draws identifiers and random bits, from a cryptographically secure source.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Randomness: Send + Sync {
    /// A fresh UUID of version 7 (RFC 9562), greater than every one drawn before it in this process.
    fn uuid_v7(&self) -> Uuid;

    /// 64 random bits.
    fn bits(&self) -> u64;
}
