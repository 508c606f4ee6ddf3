//! API keys as a client presents them. One that is well formed is found by its own first characters.

#![no_main]

use adapters_auth::RandomApiKeys;
use libfuzzer_sys::fuzz_target;
use ports::ApiKeyCodec;

fuzz_target!(|text: &str| {
    if let Some((prefix, hash)) = RandomApiKeys.read(text) {
        assert!(text.starts_with(&prefix) && text.is_ascii(), "{text:?} is found by {prefix:?}");
        assert!(RandomApiKeys.same(&hash, &hash));
    }
});
