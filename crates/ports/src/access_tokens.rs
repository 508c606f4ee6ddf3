//! The short-lived proof that a request comes from a signed-in user.

use chrono::{DateTime, Utc};
use domain::{SessionId, UserId};

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessClaims {
    /// Whose it is (`sub`).
    pub user_id: UserId,
    /// The sign-in it belongs to (`sid`); when that ends, the token does.
    pub session_id: SessionId,
    /// When it was made (`iat`), in whole seconds.
    pub issued_at: DateTime<Utc>,
    /// When it stops working (`exp`), in whole seconds.
    pub expires_at: DateTime<Utc>,
}

/// Why a token is not accepted. Callers are told no more than "invalid or expired".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a token, signed by someone else, or with claims missing or of the wrong kind.
    #[error("the token is not valid")]
    Invalid,
    /// It was valid once.
    #[error("the token has expired")]
    Expired,
}

/// Signs and checks access tokens.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait AccessTokens: Send + Sync {
    /// Signs the claims. The text is what the client sends back; each call gives another text (`jti`).
    fn issue(&self, claims: &AccessClaims) -> Result<String, TokenError>;

    /// Checks signature, algorithm (the configured one alone, never the one the token names) and times against `now`.
    fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<AccessClaims, TokenError>;
}
