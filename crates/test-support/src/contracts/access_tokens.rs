//! The stories of [`ports::AccessTokens`].

use std::sync::Arc;

use chrono::TimeDelta;
use domain::SessionId;
use ports::{AccessClaims, AccessTokens, TokenError};

use crate::builders::{a_time, a_user_id, a_uuid};

/// What the stories need: two signers that must not accept each other's tokens.
pub struct Signers {
    /// The one under test.
    pub ours: Arc<dyn AccessTokens>,
    /// The same with another secret.
    pub theirs: Arc<dyn AccessTokens>,
}

fn some_claims() -> AccessClaims {
    AccessClaims {
        user_id: a_user_id(),
        session_id: SessionId::new(a_uuid()),
        issued_at: a_time(),
        expires_at: a_time() + TimeDelta::minutes(15),
    }
}

/// To the second.
pub async fn a_token_says_what_it_was_issued_for(signers: &Signers) {
    let claims = some_claims();
    let token = signers.ours.issue(&claims).unwrap();
    assert_eq!(signers.ours.verify(&token, a_time()).unwrap(), claims);
}

/// Fractions of a second are cut.
pub async fn times_are_whole_seconds(signers: &Signers) {
    let claims = some_claims();
    let with_fraction = AccessClaims {
        issued_at: claims.issued_at + TimeDelta::milliseconds(999),
        expires_at: claims.expires_at + TimeDelta::milliseconds(999),
        ..claims.clone()
    };
    let token = signers.ours.issue(&with_fraction).unwrap();
    assert_eq!(signers.ours.verify(&token, a_time()).unwrap(), claims);
}

/// At its end, not a leeway later.
pub async fn a_token_works_until_its_end_and_not_after(signers: &Signers) {
    let claims = some_claims();
    let token = signers.ours.issue(&claims).unwrap();
    assert!(signers.ours.verify(&token, claims.expires_at - TimeDelta::seconds(1)).is_ok());
    assert_eq!(signers.ours.verify(&token, claims.expires_at), Err(TokenError::Expired));
    assert_eq!(signers.ours.verify(&token, claims.expires_at + TimeDelta::days(365)), Err(TokenError::Expired));
}

/// Even of the same claims.
pub async fn no_two_tokens_are_the_same(signers: &Signers) {
    let claims = some_claims();
    assert_ne!(signers.ours.issue(&claims).unwrap(), signers.ours.issue(&claims).unwrap());
}

/// Whoever signed it, signed it for themselves.
pub async fn a_token_of_another_signer_is_invalid(signers: &Signers) {
    let token = signers.theirs.issue(&some_claims()).unwrap();
    assert_eq!(signers.ours.verify(&token, a_time()), Err(TokenError::Invalid));
}

/// Whatever a client may send.
pub async fn what_is_no_token_is_invalid(signers: &Signers) {
    let token = signers.ours.issue(&some_claims()).unwrap();
    let cut = token[..token.len() - 1].to_owned();
    for text in ["", ".", "..", "a.b.c", "Bearer x", "\0", "ñ.ñ.ñ", &cut, &format!(" {token}"), &format!("{token}x")] {
        assert_eq!(signers.ours.verify(text, a_time()), Err(TokenError::Invalid), "{text:?}");
    }
}

/// Makes a test of every story, of the [`Signers`] that `$make` gives.
#[macro_export]
macro_rules! access_tokens_contract {
    ($make:path) => {
        $crate::stories! {
            $make, access_tokens,
            a_token_says_what_it_was_issued_for,
            times_are_whole_seconds,
            a_token_works_until_its_end_and_not_after,
            no_two_tokens_are_the_same,
            a_token_of_another_signer_is_invalid,
            what_is_no_token_is_invalid,
        }
    };
}
