//! Sign-ins: a short access token for every request, a long refresh token that rotates at each use.
//!
//! An access token names its session, and every request looks that session up: logging out, a changed password or role, disabling or
//! removing the account therefore end the access tokens at once, not when they expire.

mod authenticate;
mod log_in;
mod log_out;
mod refresh;

use std::sync::Arc;
use std::time::Duration;

use domain::{SessionId, User};
use ports::{
    AccessClaims, AccessTokens, ApiKeyCodec, ApiKeyStore, Clock, PasswordHasher, Randomness, RefreshToken, RefreshTokens,
    SessionStore, SignInThrottle, UserStore,
};

use crate::password_guesses::PasswordGuesses;
use crate::{AuditTrail, ServiceError};

pub use log_in::{ClientInfo, Credentials};

/// How long sign-ins and their tokens last, and how many there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionPolicy {
    /// How long an access token works.
    pub access_token_lifetime: Duration,
    /// How long a session lasts after its refresh token was last used.
    pub refresh_token_lifetime: Duration,
    /// How many sessions of a user may be alive at once; at least one. With one more, the least recently used ends.
    pub max_per_user: u32,
}

/// What a client holds once it is signed in.
#[derive(Debug)]
pub struct SignedIn {
    /// Proves each request.
    pub access_token: String,
    /// How long it works, in seconds.
    pub expires_in_seconds: i64,
    /// Gets the next pair.
    pub refresh_token: RefreshToken,
    /// Who signed in.
    pub user: User,
}

/// The use cases around sign-ins.
#[derive(Clone)]
pub struct SessionService {
    users: Arc<dyn UserStore>,
    sessions: Arc<dyn SessionStore>,
    hasher: Arc<dyn PasswordHasher>,
    access_tokens: Arc<dyn AccessTokens>,
    refresh_tokens: Arc<dyn RefreshTokens>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
    policy: SessionPolicy,
    guesses: PasswordGuesses,
    api_keys: Arc<dyn ApiKeyStore>,
    api_key_codec: Arc<dyn ApiKeyCodec>,
    audit: AuditTrail,
}

/// What a [`SessionService`] stands on.
pub struct SessionPorts {
    /// The accounts.
    pub users: Arc<dyn UserStore>,
    /// The sign-ins.
    pub sessions: Arc<dyn SessionStore>,
    /// Compares passwords.
    pub hasher: Arc<dyn PasswordHasher>,
    /// Signs and checks access tokens.
    pub access_tokens: Arc<dyn AccessTokens>,
    /// Makes and hashes refresh tokens.
    pub refresh_tokens: Arc<dyn RefreshTokens>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Draws identifiers.
    pub randomness: Arc<dyn Randomness>,
    /// Keeps who fails to sign in.
    pub throttle: Arc<dyn SignInThrottle>,
    /// The keys of programs.
    pub api_keys: Arc<dyn ApiKeyStore>,
    /// Knows keys again.
    pub api_key_codec: Arc<dyn ApiKeyCodec>,
    /// Notes who signs in and who cannot.
    pub audit: AuditTrail,
}

impl SessionService {
    /// Takes what it needs.
    pub fn new(ports: SessionPorts, policy: SessionPolicy) -> Self {
        let SessionPorts {
            users,
            sessions,
            hasher,
            access_tokens,
            refresh_tokens,
            clock,
            randomness,
            throttle,
            api_keys,
            api_key_codec,
            audit,
        } = ports;
        Self {
            users,
            sessions,
            hasher,
            access_tokens,
            refresh_tokens,
            clock,
            randomness,
            policy,
            guesses: PasswordGuesses::new(throttle),
            api_keys,
            api_key_codec,
            audit,
        }
    }

    /// A fresh access token for a session, together with the refresh token that was made for it.
    fn sign_in(&self, user: User, session_id: SessionId, refresh_token: RefreshToken) -> Result<SignedIn, ServiceError> {
        let issued_at = self.clock.now();
        let expires_at = issued_at + self.policy.access_token_lifetime;
        let claims = AccessClaims { user_id: user.id, session_id, issued_at, expires_at };
        let access_token = self.access_tokens.issue(&claims).map_err(ServiceError::Signing)?;
        let expires_in_seconds = (expires_at - issued_at).num_seconds();
        Ok(SignedIn { access_token, expires_in_seconds, refresh_token, user })
    }
}
