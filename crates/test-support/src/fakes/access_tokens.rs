//! Access tokens that are tickets: a number, and what it stands for kept here.

use std::collections::HashMap;
use std::sync::Mutex;

use chrono::{DateTime, SubsecRound, Utc};
use ports::{AccessClaims, AccessTokens, TokenError};

/// Issues `access-1`, `access-2`…; a token of another instance is as good as forged.
#[derive(Debug)]
pub struct FakeAccessTokens {
    name: &'static str,
    issued: Mutex<HashMap<String, AccessClaims>>,
}

impl FakeAccessTokens {
    /// Issues `{name}-1`, `{name}-2`…
    pub fn named(name: &'static str) -> Self {
        Self { name, issued: Mutex::default() }
    }
}

impl Default for FakeAccessTokens {
    fn default() -> Self {
        Self::named("access")
    }
}

impl AccessTokens for FakeAccessTokens {
    fn issue(&self, claims: &AccessClaims) -> Result<String, TokenError> {
        let mut issued = self.issued.lock().unwrap();
        let token = format!("{}-{}", self.name, issued.len() + 1);
        let in_whole_seconds = AccessClaims {
            issued_at: claims.issued_at.trunc_subsecs(0),
            expires_at: claims.expires_at.trunc_subsecs(0),
            ..claims.clone()
        };
        issued.insert(token.clone(), in_whole_seconds);
        Ok(token)
    }

    fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<AccessClaims, TokenError> {
        let claims = self.issued.lock().unwrap().get(token).cloned().ok_or(TokenError::Invalid)?;
        if now < claims.expires_at { Ok(claims) } else { Err(TokenError::Expired) }
    }
}
