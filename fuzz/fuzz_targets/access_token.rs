//! Access tokens. The key is nobody's, so no text may be accepted.

#![no_main]

use std::sync::OnceLock;

use adapters_auth::{JwtAccessTokens, JwtAlgorithm, JwtConfig};
use chrono::DateTime;
use libfuzzer_sys::fuzz_target;
use ports::AccessTokens;

fuzz_target!(|text: &str| {
    static TOKENS: OnceLock<JwtAccessTokens> = OnceLock::new();
    let tokens = TOKENS.get_or_init(|| {
        let config = JwtConfig { algorithm: JwtAlgorithm::Hs256, secret_keys: vec!["fuzz-fuzz-fuzz-fuzz-fuzz-fuzz-fuzz".into()] };
        JwtAccessTokens::new(&config).expect("a key")
    });
    assert!(tokens.verify(text, DateTime::UNIX_EPOCH).is_err(), "a token that nobody signed was accepted");
});
