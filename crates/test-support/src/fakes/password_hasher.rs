//! A password hasher that costs nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use domain::{Password, PasswordHash};
use ports::{HashingError, PasswordHasher};

/// "Hashes" by writing a number before the password, and counts how often it was asked.
#[derive(Debug, Default)]
pub struct FakePasswordHasher {
    hashed: AtomicU64,
    verified: AtomicU64,
    overloaded: AtomicBool,
}

impl FakePasswordHasher {
    /// From now on every call fails with [`HashingError::Overloaded`], or no longer does.
    pub fn set_overloaded(&self, overloaded: bool) {
        self.overloaded.store(overloaded, Ordering::Relaxed);
    }

    /// How many comparisons were made, those against no account included.
    pub fn verifications(&self) -> u64 {
        self.verified.load(Ordering::Relaxed)
    }

    fn admit(&self) -> Result<(), HashingError> {
        if self.overloaded.load(Ordering::Relaxed) { Err(HashingError::Overloaded) } else { Ok(()) }
    }
}

#[async_trait]
impl PasswordHasher for FakePasswordHasher {
    async fn hash(&self, password: &Password) -> Result<PasswordHash, HashingError> {
        self.admit()?;
        let salt = self.hashed.fetch_add(1, Ordering::Relaxed);
        Ok(PasswordHash::new(format!("fake${salt}${}", password.expose())))
    }

    async fn verify(&self, candidate: &str, hash: Option<PasswordHash>) -> Result<bool, HashingError> {
        self.admit()?;
        self.verified.fetch_add(1, Ordering::Relaxed);
        let Some(hash) = hash else { return Ok(false) };
        match hash.expose().splitn(3, '$').collect::<Vec<_>>().as_slice() {
            ["fake", _, password] => Ok(*password == candidate),
            _ => Err(HashingError::Failed("not a hash of the fake hasher".into())),
        }
    }
}
