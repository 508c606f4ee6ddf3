//! Refresh tokens that a test can foresee.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use domain::RefreshTokenHash;
use ports::{RefreshToken, RefreshTokens};

/// Draws `refresh-1`, `refresh-2`…
#[derive(Debug, Default)]
pub struct FakeRefreshTokens {
    drawn: AtomicU64,
}

impl RefreshTokens for FakeRefreshTokens {
    fn draw(&self) -> RefreshToken {
        RefreshToken::new(format!("refresh-{}", self.drawn.fetch_add(1, Ordering::Relaxed) + 1))
    }

    fn hash(&self, token: &RefreshToken) -> RefreshTokenHash {
        let mut hasher = DefaultHasher::new();
        token.expose().hash(&mut hasher);
        RefreshTokenHash::new(format!("{:064x}", hasher.finish()))
    }
}
