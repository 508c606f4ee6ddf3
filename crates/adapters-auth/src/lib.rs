//! Passwords and tokens: bcrypt, JWT and the hashes that are kept of refresh tokens.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod api_keys;
mod bcrypt_hasher;
mod jwt;
mod opaque_tokens;

pub use api_keys::RandomApiKeys;
pub use bcrypt_hasher::{BcryptConfig, BcryptHasher, CostOutOfRange};
pub use jwt::{JwtAccessTokens, JwtAlgorithm, JwtConfig, NoSecretKey};
pub use opaque_tokens::{RandomOneTimeCodes, RandomRefreshTokens};
