//! API keys: `tertulia_`, 8 characters to find them by, `_`, and 256 random bits. Only the SHA-256 of the whole is kept.
//!
//! The fixed beginning lets scanners of leaked secrets recognise one; a fast hash will do, because 256 random bits cannot be guessed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::ApiKeyHash;
use ports::{ApiKeyCodec, NewApiKey};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::opaque_tokens::random_256_bits;

const BEGINNING: &str = "tertulia_";
const HANDLE_CHARACTERS: usize = 8;
/// 32 bytes in base64 without padding.
const SECRET_CHARACTERS: usize = 43;

/// Makes and takes apart API keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomApiKeys;

impl ApiKeyCodec for RandomApiKeys {
    fn draw(&self) -> NewApiKey {
        let handle: String = hex::encode(random_256_bits()).chars().take(HANDLE_CHARACTERS).collect();
        let prefix = format!("{BEGINNING}{handle}");
        let key = format!("{prefix}_{}", URL_SAFE_NO_PAD.encode(random_256_bits()));
        NewApiKey { hash: hash(&key), key, prefix }
    }

    fn read(&self, presented: &str) -> Option<(String, ApiKeyHash)> {
        let (handle, secret) = presented.strip_prefix(BEGINNING)?.split_once('_')?;
        let well_formed = handle.len() == HANDLE_CHARACTERS
            && handle.chars().all(|c| c.is_ascii_hexdigit())
            && secret.len() == SECRET_CHARACTERS
            && secret.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        well_formed.then(|| (format!("{BEGINNING}{handle}"), hash(presented)))
    }

    fn same(&self, one: &ApiKeyHash, other: &ApiKeyHash) -> bool {
        one.as_str().as_bytes().ct_eq(other.as_str().as_bytes()).into()
    }
}

fn hash(key: &str) -> ApiKeyHash {
    ApiKeyHash::new(hex::encode(Sha256::digest(key.as_bytes())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_known_again_by_its_prefix_and_its_hash() {
        let made = RandomApiKeys.draw();
        let (prefix, hash) = RandomApiKeys.read(&made.key).unwrap();
        assert_eq!(prefix, made.prefix);
        assert!(RandomApiKeys.same(&hash, &made.hash));
        assert!(!RandomApiKeys.same(&hash, &RandomApiKeys.draw().hash));
        assert!(!format!("{made:?}").contains(&made.key));
    }

    #[test]
    fn an_access_token_is_no_key() {
        assert_eq!(RandomApiKeys.read("eyJhbGciOiJIUzI1NiJ9.e30.xyz"), None);
    }

    proptest! {
        #[test]
        fn whatever_is_presented_is_read_without_harm(presented in "\\PC{0,120}") {
            let _ = RandomApiKeys.read(&presented);
            let _ = RandomApiKeys.read(&format!("tertulia_{presented}"));
        }
    }
}
