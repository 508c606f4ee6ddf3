//! Links to objects that this server serves itself, signed with HMAC-SHA-256 (RFC 2104).
//!
//! The key is derived from the server's secret key with a label of its own purpose, so that no signature made here can serve as one made
//! elsewhere, and the other way round.

use domain::{ObjectKey, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use ports::ObjectLinks;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

const PURPOSE: &[u8] = b"tertulia object links v1";

/// Signs with the first of the server's keys and accepts what any of them signed, so that a key can be replaced.
pub struct HmacLinks {
    keys: Vec<Hmac<Sha256>>,
}

impl HmacLinks {
    /// Derives its keys. Without a key nothing can be signed with what others do not know, so that at least one must be given.
    pub fn new(secret_keys: &[SecretString]) -> Self {
        let derive = |secret: &SecretString| {
            let derived = keyed(secret.expose_secret().as_bytes()).chain_update(PURPOSE).finalize().into_bytes();
            keyed(&derived)
        };
        Self { keys: secret_keys.iter().map(derive).collect() }
    }
}

/// HMAC takes a key of any length (RFC 2104, section 2).
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "the type's signature allows for other constructions; HMAC never refuses a key")]
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn message(key: &ObjectKey, expires_at: Timestamp) -> String {
    // No key holds a line feed, so that no two pairs share a message.
    format!("{key}\n{}", expires_at.timestamp())
}

impl ObjectLinks for HmacLinks {
    fn sign(&self, key: &ObjectKey, expires_at: Timestamp) -> String {
        let signature = self.keys.first().map(|hmac| hmac.clone().chain_update(message(key, expires_at)).finalize().into_bytes());
        signature.map(hex::encode).unwrap_or_default()
    }

    fn is_signed(&self, key: &ObjectKey, expires_at: Timestamp, signature: &str) -> bool {
        let Ok(signature) = hex::decode(signature) else { return false };
        let message = message(key, expires_at);
        // `verify_slice` compares in constant time.
        self.keys.iter().any(|hmac| hmac.clone().chain_update(&message).verify_slice(&signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(keys: &[&str]) -> HmacLinks {
        HmacLinks::new(&keys.iter().map(|key| SecretString::from(*key)).collect::<Vec<_>>())
    }

    fn key(text: &str) -> ObjectKey {
        ObjectKey::parse(text).unwrap()
    }

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn a_signature_is_good_for_its_object_and_its_time_alone() {
        let links = links(&["a secret"]);
        let signature = links.sign(&key("a/b"), time(100));
        assert!(links.is_signed(&key("a/b"), time(100), &signature));
        assert!(!links.is_signed(&key("a/c"), time(100), &signature));
        assert!(!links.is_signed(&key("a/b"), time(101), &signature));
        for position in 0..signature.len() {
            let mut changed = signature.clone().into_bytes();
            changed[position] = if changed[position] == b'0' { b'1' } else { b'0' };
            assert!(!links.is_signed(&key("a/b"), time(100), &String::from_utf8(changed).unwrap()), "{position}");
        }
        for wrong in ["", "00", &signature[..62], &format!("{signature}00"), "not hexadecimal"] {
            assert!(!links.is_signed(&key("a/b"), time(100), wrong), "{wrong}");
        }
    }

    #[test]
    fn a_key_that_is_being_replaced_still_opens_what_it_signed() {
        let (old, both, new) = (links(&["old"]), links(&["new", "old"]), links(&["new"]));
        let signature = old.sign(&key("a"), time(1));
        assert!(both.is_signed(&key("a"), time(1), &signature));
        assert!(!new.is_signed(&key("a"), time(1), &signature));
        assert!(new.is_signed(&key("a"), time(1), &both.sign(&key("a"), time(1))));
    }

    #[test]
    fn the_server_s_key_itself_signs_no_link() {
        let plain = keyed(b"a secret").chain_update("a\n1").finalize().into_bytes();
        assert!(!links(&["a secret"]).is_signed(&key("a"), time(1), &hex::encode(plain)));
        assert!(!links(&[]).is_signed(&key("a"), time(1), ""), "without a key nothing is signed");
    }
}
