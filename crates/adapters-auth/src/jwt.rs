//! Access tokens as JSON Web Tokens (RFC 7519), signed with a shared secret (RFC 7518, section 3.2).
//!
//! The algorithm is the configured one, whatever a token's own header says (RFC 8725, section 3.1). Several secrets may be given: the
//! first signs, all verify, so that a secret can be replaced without signing everybody out.

use chrono::{DateTime, Utc};
use domain::{SessionId, UserId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use ports::{AccessClaims, AccessTokens, TokenError};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// With what tokens are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256.
    #[default]
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
}

impl JwtAlgorithm {
    /// Reads a name as `ALGORITHM` holds it; `None` for any other.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "HS256" => Some(Self::Hs256),
            "HS384" => Some(Self::Hs384),
            "HS512" => Some(Self::Hs512),
            _ => None,
        }
    }

    const fn for_library(self) -> Algorithm {
        match self {
            Self::Hs256 => Algorithm::HS256,
            Self::Hs384 => Algorithm::HS384,
            Self::Hs512 => Algorithm::HS512,
        }
    }
}

/// How tokens are signed and checked.
#[derive(Debug, Clone)]
pub struct JwtConfig {
    /// The algorithm that signs, and the only one accepted.
    pub algorithm: JwtAlgorithm,
    /// The first signs; all verify.
    pub secret_keys: Vec<SecretString>,
}

/// The list of secrets is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at least one secret key is needed to sign tokens")]
pub struct NoSecretKey;

/// Signs and checks access tokens.
pub struct JwtAccessTokens {
    algorithm: Algorithm,
    signing_key: EncodingKey,
    verifying_keys: Vec<DecodingKey>,
    validation: Validation,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: Uuid,
    sid: Uuid,
    jti: Uuid,
    iat: i64,
    exp: i64,
}

/// Nothing that we sign comes near this; what does is not worth decoding.
const MAX_TOKEN_BYTES: usize = 4096;

/// How far another replica's clock may be ahead of ours.
const CLOCK_SKEW_SECONDS: i64 = 60;

impl JwtAccessTokens {
    /// Prepares the keys.
    pub fn new(config: &JwtConfig) -> Result<Self, NoSecretKey> {
        let algorithm = config.algorithm.for_library();
        let (first, _) = config.secret_keys.split_first().ok_or(NoSecretKey)?;
        let mut validation = Validation::new(algorithm);
        // The times are compared here, against the server's own clock port; the library would read the system's.
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["exp", "sub"]);
        Ok(Self {
            algorithm,
            signing_key: EncodingKey::from_secret(first.expose_secret().as_bytes()),
            verifying_keys: config
                .secret_keys
                .iter()
                .map(|key| DecodingKey::from_secret(key.expose_secret().as_bytes()))
                .collect(),
            validation,
        })
    }

    fn decode(&self, token: &str) -> Result<Claims, TokenError> {
        self.verifying_keys
            .iter()
            .find_map(|key| decode::<Claims>(token, key, &self.validation).ok())
            .map(|data| data.claims)
            .ok_or(TokenError::Invalid)
    }
}

impl AccessTokens for JwtAccessTokens {
    fn issue(&self, claims: &AccessClaims) -> Result<String, TokenError> {
        let claims = Claims {
            sub: claims.user_id.uuid(),
            sid: claims.session_id.uuid(),
            jti: Uuid::new_v4(),
            iat: claims.issued_at.timestamp(),
            exp: claims.expires_at.timestamp(),
        };
        encode(&Header::new(self.algorithm), &claims, &self.signing_key).map_err(|_| TokenError::Invalid)
    }

    fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<AccessClaims, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Invalid);
        }
        let claims = self.decode(token)?;
        let time = |seconds| DateTime::from_timestamp(seconds, 0).ok_or(TokenError::Invalid);
        let (issued_at, expires_at) = (time(claims.iat)?, time(claims.exp)?);
        if claims.iat > now.timestamp().saturating_add(CLOCK_SKEW_SECONDS) || claims.exp < claims.iat {
            return Err(TokenError::Invalid);
        }
        if now >= expires_at {
            return Err(TokenError::Expired);
        }
        let (user_id, session_id) = (UserId::new(claims.sub), SessionId::new(claims.sid));
        Ok(AccessClaims { user_id, session_id, issued_at, expires_at })
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn tokens(secrets: &[&str]) -> JwtAccessTokens {
        let secret_keys = secrets.iter().map(|secret| SecretString::from(*secret)).collect();
        JwtAccessTokens::new(&JwtConfig { algorithm: JwtAlgorithm::Hs256, secret_keys }).unwrap()
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn claims() -> AccessClaims {
        AccessClaims {
            user_id: UserId::new(Uuid::from_u128(1)),
            session_id: SessionId::new(Uuid::from_u128(2)),
            issued_at: at(0),
            expires_at: at(900),
        }
    }

    #[test]
    fn a_token_says_what_was_signed_until_it_expires() {
        let tokens = tokens(&["secret"]);
        let token = tokens.issue(&claims()).unwrap();
        assert_eq!(tokens.verify(&token, at(899)), Ok(claims()));
        assert_eq!(tokens.verify(&token, at(900)), Err(TokenError::Expired));
    }

    #[test]
    fn two_tokens_for_the_same_claims_differ() {
        let tokens = tokens(&["secret"]);
        assert_ne!(tokens.issue(&claims()).unwrap(), tokens.issue(&claims()).unwrap());
    }

    #[test]
    fn an_old_secret_still_verifies_and_the_new_one_signs() {
        let old = tokens(&["old"]).issue(&claims()).unwrap();
        let both = tokens(&["new", "old"]);
        assert_eq!(both.verify(&old, at(1)), Ok(claims()));
        let new = both.issue(&claims()).unwrap();
        assert_eq!(tokens(&["new"]).verify(&new, at(1)), Ok(claims()));
        assert_eq!(tokens(&["old"]).verify(&new, at(1)), Err(TokenError::Invalid));
    }

    #[test]
    fn no_other_algorithm_is_accepted_whatever_the_header_says() {
        let tokens = tokens(&["secret"]);
        let signed = tokens.issue(&claims()).unwrap();
        let body = signed.split('.').nth(1).unwrap();
        let none = URL_SAFE_NO_PAD.encode(json!({"alg": "none", "typ": "JWT"}).to_string());
        assert_eq!(tokens.verify(&format!("{none}.{body}."), at(1)), Err(TokenError::Invalid));
        let other =
            JwtAccessTokens::new(&JwtConfig { algorithm: JwtAlgorithm::Hs512, secret_keys: vec![SecretString::from("secret")] })
                .unwrap();
        assert_eq!(tokens.verify(&other.issue(&claims()).unwrap(), at(1)), Err(TokenError::Invalid));
    }

    #[test]
    fn a_token_from_the_future_or_without_all_its_claims_is_refused() {
        let tokens = tokens(&["secret"]);
        let token = tokens.issue(&claims()).unwrap();
        assert_eq!(tokens.verify(&token, at(-61)), Err(TokenError::Invalid));
        let sign = |claims: serde_json::Value| encode(&Header::new(Algorithm::HS256), &claims, &tokens.signing_key).unwrap();
        let id = Uuid::from_u128(1);
        let whole = json!({"sub": id, "sid": id, "jti": id, "iat": at(0).timestamp(), "exp": at(900).timestamp()});
        assert!(tokens.verify(&sign(whole.clone()), at(1)).is_ok());
        for missing in ["sub", "sid", "jti", "iat", "exp"] {
            let mut claims = whole.clone();
            claims.as_object_mut().unwrap().remove(missing);
            assert_eq!(tokens.verify(&sign(claims), at(1)), Err(TokenError::Invalid), "without {missing}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_was_not_signed_is_accepted(token in "\\PC{0,200}") {
            prop_assert_eq!(tokens(&["secret"]).verify(&token, at(1)), Err(TokenError::Invalid));
        }

        #[test]
        fn a_changed_byte_is_noticed(position in 0_usize..1000, replacement in "[A-Za-z0-9_-]") {
            let tokens = tokens(&["secret"]);
            let token = tokens.issue(&claims()).unwrap();
            let position = position % token.len();
            let mut changed = token.clone();
            changed.replace_range(position..=position, &replacement);
            // The last character of base64 carries bits that decoders ignore or refuse; the signature is what counts.
            let same_bytes = |a: &str, b: &str| a.split('.').map(|p| URL_SAFE_NO_PAD.decode(p).ok()).eq(b.split('.').map(|p| URL_SAFE_NO_PAD.decode(p).ok()));
            prop_assume!(!same_bytes(&changed, &token));
            prop_assert!(tokens.verify(&changed, at(1)).is_err());
        }
    }
}
