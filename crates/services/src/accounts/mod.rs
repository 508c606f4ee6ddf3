//! Accounts: registering, a user's own profile, and an admin's view of all.

mod manage;
mod profile;
mod register;

use std::sync::Arc;

use ports::{Clock, PasswordHasher, Randomness, SessionStore, StoreError, UserStore};

use crate::ServiceError;

pub use manage::AccountChange;
pub use profile::ProfileChange;
pub use register::Registration;

/// The use cases around accounts.
#[derive(Clone)]
pub struct AccountService {
    users: Arc<dyn UserStore>,
    sessions: Arc<dyn SessionStore>,
    hasher: Arc<dyn PasswordHasher>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
}

impl AccountService {
    /// Takes what it needs.
    pub fn new(
        users: Arc<dyn UserStore>,
        sessions: Arc<dyn SessionStore>,
        hasher: Arc<dyn PasswordHasher>,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
    ) -> Self {
        Self { users, sessions, hasher, clock, randomness }
    }
}

/// Reads a store's failure where a unique field may be taken.
fn account_error(error: StoreError, username: &str) -> ServiceError {
    match error {
        StoreError::Conflict { field: "email" } => ServiceError::EmailTaken,
        StoreError::Conflict { .. } => ServiceError::UsernameTaken { username: username.to_owned() },
        StoreError::NotFound => ServiceError::UserNotFound,
        other => ServiceError::Store(other),
    }
}
