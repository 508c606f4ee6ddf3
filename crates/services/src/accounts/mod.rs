//! Accounts: registering, a user's own profile, and an admin's view of all.

mod codes;
mod manage;
mod profile;
mod register;

use std::sync::Arc;

use domain::RegistrationPolicy;
use ports::{Clock, OneTimeCodeStore, OneTimeCodes, PasswordHasher, Randomness, SessionStore, StoreError, UserStore};

use crate::{AuditTrail, ServiceError};

pub use codes::IssuedCode;
pub use manage::AccountChange;
pub use profile::ProfileChange;
pub use register::Registration;

/// What an [`AccountService`] stands on.
#[derive(Clone)]
pub struct AccountPorts {
    /// The accounts.
    pub users: Arc<dyn UserStore>,
    /// The sign-ins, which end when what they were allowed changes.
    pub sessions: Arc<dyn SessionStore>,
    /// Hashes and compares passwords.
    pub hasher: Arc<dyn PasswordHasher>,
    /// Invitations, and codes to set a new password.
    pub codes: Arc<dyn OneTimeCodeStore>,
    /// Makes and hashes such codes.
    pub code_maker: Arc<dyn OneTimeCodes>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Draws identifiers.
    pub randomness: Arc<dyn Randomness>,
    /// Notes what was done.
    pub audit: AuditTrail,
}

/// The use cases around accounts.
#[derive(Clone)]
pub struct AccountService {
    users: Arc<dyn UserStore>,
    sessions: Arc<dyn SessionStore>,
    hasher: Arc<dyn PasswordHasher>,
    codes: Arc<dyn OneTimeCodeStore>,
    code_maker: Arc<dyn OneTimeCodes>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
    audit: AuditTrail,
    policy: RegistrationPolicy,
}

impl AccountService {
    /// Takes what it needs; `policy` says who may register.
    pub fn new(ports: AccountPorts, policy: RegistrationPolicy) -> Self {
        let AccountPorts { users, sessions, hasher, codes, code_maker, clock, randomness, audit } = ports;
        Self { users, sessions, hasher, codes, code_maker, clock, randomness, audit, policy }
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
