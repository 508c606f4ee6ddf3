//! Accounts: registering, a user's own profile, and an admin's view of all.

mod codes;
mod manage;
mod profile;
mod register;

use std::sync::Arc;

use domain::{AuditAction, RegistrationPolicy, UserId};
use ports::{
    Clock, OneTimeCodeStore, OneTimeCodes, PasswordHasher, Randomness, RemovedRecords, SignInThrottle, StoreError, UserStore,
};

use crate::audit::Actor;
use crate::password_guesses::PasswordGuesses;
use crate::{AuditTrail, MediaService, ServiceError};

pub use codes::IssuedCode;
pub use manage::AccountChange;
pub use profile::ProfileChange;
pub use register::Registration;

/// What an [`AccountService`] stands on.
#[derive(Clone)]
pub struct AccountPorts {
    /// The accounts.
    pub users: Arc<dyn UserStore>,
    /// Hashes and compares passwords.
    pub hasher: Arc<dyn PasswordHasher>,
    /// Keeps who gives wrong passwords; the same as that of the sign-ins.
    pub throttle: Arc<dyn SignInThrottle>,
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
    hasher: Arc<dyn PasswordHasher>,
    guesses: PasswordGuesses,
    codes: Arc<dyn OneTimeCodeStore>,
    code_maker: Arc<dyn OneTimeCodes>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
    audit: AuditTrail,
    policy: RegistrationPolicy,
    /// What a user had made lies outside of the database, and goes after their account.
    media: Option<MediaService>,
}

impl AccountService {
    /// Takes what it needs; `policy` says who may register.
    pub fn new(ports: AccountPorts, policy: RegistrationPolicy) -> Self {
        let AccountPorts { users, hasher, throttle, codes, code_maker, clock, randomness, audit } = ports;
        let guesses = PasswordGuesses::new(throttle);
        Self { users, hasher, guesses, codes, code_maker, clock, randomness, audit, policy, media: None }
    }

    /// Sees to it that with an account goes what its user had made.
    #[must_use]
    pub fn erasing(mut self, media: MediaService) -> Self {
        self.media = Some(media);
        self
    }

    /// Removes an account with all its records, and then what its user had made. In this order, so that a removal that fails, or is
    /// refused, has taken nothing; objects that cannot be removed any more afterwards are left to the sweeper.
    async fn remove_account(&self, id: UserId, actor: Actor, detail: &'static str) -> Result<RemovedRecords, ServiceError> {
        let this = self.clone();
        let act = async move {
            let made = match &this.media {
                Some(media) => media.made_by(id).await?,
                None => Vec::new(),
            };
            let removed = this.users.remove(id).await.map_err(|error| account_error(error, ""))?;
            this.audit.record(AuditAction::AccountRemoved, actor, format!("user:{id}"), detail).await;
            if let Some(media) = &this.media {
                media.erase(id, made).await;
            }
            Ok(removed)
        };
        self.audit.see_through(act).await
    }
}

/// Reads a store's failure where a unique field may be taken.
fn account_error(error: StoreError, username: &str) -> ServiceError {
    match error {
        StoreError::Conflict { field: "email" } => ServiceError::EmailTaken,
        StoreError::Conflict { field: "last_admin" } => ServiceError::LastAdmin,
        // Somebody else became the first in this moment.
        StoreError::Conflict { field: "first" } => ServiceError::RegistrationClosed,
        StoreError::Conflict { .. } => ServiceError::UsernameTaken { username: username.to_owned() },
        StoreError::NotFound => ServiceError::UserNotFound,
        other => ServiceError::Store(other),
    }
}
