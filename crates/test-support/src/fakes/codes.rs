//! Keys and one-time codes that a reader of a failing test can tell apart.

use std::sync::atomic::{AtomicU32, Ordering};

use domain::{ApiKeyHash, OneTimeCodeHash};
use ports::{ApiKeyCodec, NewApiKey, OneTimeCodes};

/// Makes the keys `key-00000001-secret`, `key-00000002-secret`, …
#[derive(Debug, Default)]
pub struct FakeApiKeyCodec {
    drawn: AtomicU32,
}

impl ApiKeyCodec for FakeApiKeyCodec {
    fn draw(&self) -> NewApiKey {
        let prefix = format!("key-{:08}", self.drawn.fetch_add(1, Ordering::Relaxed) + 1);
        let key = format!("{prefix}-secret");
        NewApiKey { hash: ApiKeyHash::new(format!("hash of {key}")), key, prefix }
    }

    fn read(&self, presented: &str) -> Option<(String, ApiKeyHash)> {
        let (prefix, _) = presented.strip_prefix("key-")?.split_once('-')?;
        Some((format!("key-{prefix}"), ApiKeyHash::new(format!("hash of {presented}"))))
    }

    fn same(&self, one: &ApiKeyHash, other: &ApiKeyHash) -> bool {
        one == other
    }
}

/// Makes the codes `code-1`, `code-2`, …
#[derive(Debug, Default)]
pub struct FakeOneTimeCodes {
    drawn: AtomicU32,
}

impl OneTimeCodes for FakeOneTimeCodes {
    fn draw(&self) -> String {
        format!("code-{}", self.drawn.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn hash(&self, code: &str) -> OneTimeCodeHash {
        OneTimeCodeHash::new(format!("hash of {code}"))
    }
}
