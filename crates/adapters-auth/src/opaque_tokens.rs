//! Refresh tokens and one-time codes: 256 random bits, of which only the SHA-256 is kept.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{OneTimeCodeHash, RefreshTokenHash};
use ports::{OneTimeCodes, RefreshToken, RefreshTokens};
use rand::TryRng as _;
use sha2::{Digest as _, Sha256};

/// Draws refresh tokens from the operating system's source of randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomRefreshTokens;

impl RefreshTokens for RandomRefreshTokens {
    fn draw(&self) -> RefreshToken {
        RefreshToken::new(URL_SAFE_NO_PAD.encode(random_256_bits()))
    }

    fn hash(&self, token: &RefreshToken) -> RefreshTokenHash {
        RefreshTokenHash::new(hex::encode(Sha256::digest(token.expose().as_bytes())))
    }
}

/// Draws one-time codes from the operating system's source of randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomOneTimeCodes;

impl OneTimeCodes for RandomOneTimeCodes {
    fn draw(&self) -> String {
        URL_SAFE_NO_PAD.encode(random_256_bits())
    }

    fn hash(&self, code: &str) -> OneTimeCodeHash {
        OneTimeCodeHash::new(hex::encode(Sha256::digest(code.as_bytes())))
    }
}

/// 256 bits from the operating system; from the thread's generator, itself seeded from there, should the system fail to answer.
pub(crate) fn random_256_bits() -> [u8; 32] {
    let mut bytes = [0; 32];
    if rand::rngs::SysRng.try_fill_bytes(&mut bytes).is_err() {
        bytes = rand::random();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tokens_are_alike_and_each_has_256_bits() {
        let (one, other) = (RandomRefreshTokens.draw(), RandomRefreshTokens.draw());
        assert_ne!(one.expose(), other.expose());
        assert_eq!(URL_SAFE_NO_PAD.decode(one.expose()).unwrap().len(), 32);
    }

    #[test]
    fn a_token_always_has_the_same_hash_and_it_does_not_show_the_token() {
        let token = RefreshToken::new("abc");
        let hash = RandomRefreshTokens.hash(&token);
        // The first test vector of FIPS 180-4's companion examples.
        assert_eq!(hash.as_str(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
