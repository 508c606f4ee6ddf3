//! The long-lived secret by which a device stays signed in.

use std::fmt;

use domain::RefreshTokenHash;

/// A refresh token, to be handed to its owner once. It never prints.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken(String);

impl RefreshToken {
    /// Wraps a token's text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for its owner and the hash alone.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RefreshToken(…)")
    }
}

/// Makes refresh tokens and the hashes that are kept of them.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait RefreshTokens: Send + Sync {
    /// A new token of 256 random bits.
    fn draw(&self) -> RefreshToken;

    /// What is kept of a token. The same token always gives the same hash. A fast hash will do: 256 random bits cannot be guessed.
    fn hash(&self, token: &RefreshToken) -> RefreshTokenHash;
}
