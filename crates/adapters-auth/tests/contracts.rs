//! The real hasher and tokens keep what their ports promise.
#![allow(clippy::unwrap_used, clippy::unused_async, reason = "makers are async, as those of every adapter are")]

use std::sync::Arc;

use adapters_auth::{BcryptConfig, BcryptHasher, JwtAccessTokens, JwtAlgorithm, JwtConfig, RandomRefreshTokens};
use ports::{PasswordHasher, RefreshTokens};
use test_support::contracts::access_tokens::Signers;

fn signer(secret: &str) -> Arc<JwtAccessTokens> {
    let config = JwtConfig { algorithm: JwtAlgorithm::Hs256, secret_keys: vec![secret.to_owned().into()] };
    Arc::new(JwtAccessTokens::new(&config).unwrap())
}

async fn signers() -> Signers {
    Signers { ours: signer("ours"), theirs: signer("theirs") }
}

async fn tokens() -> Arc<dyn RefreshTokens> {
    Arc::new(RandomRefreshTokens)
}

async fn hasher() -> Arc<dyn PasswordHasher> {
    // The lowest cost that bcrypt knows: what is tested is the same at every cost.
    Arc::new(BcryptHasher::new(BcryptConfig { cost: 4, ..BcryptConfig::default() }).unwrap())
}

test_support::access_tokens_contract!(signers);
test_support::refresh_tokens_contract!(tokens);
test_support::password_hasher_contract!(hasher);
