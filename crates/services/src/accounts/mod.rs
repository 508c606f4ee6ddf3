//! Accounts: registering, a user's own profile, and an admin's view of all.

mod codes;
mod manage;
mod profile;
mod register;

use std::sync::Arc;

use domain::{RegistrationPolicy, UserId};
use ports::{
    Clock, OneTimeCodeStore, OneTimeCodes, PasswordHasher, Randomness, RemovedRecords, SessionStore, SignInThrottle, StoreError,
    UserStore,
};

use crate::password_guesses::PasswordGuesses;
use crate::{AuditTrail, ErasedMedia, MediaService, ServiceError};

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
    sessions: Arc<dyn SessionStore>,
    hasher: Arc<dyn PasswordHasher>,
    guesses: PasswordGuesses,
    codes: Arc<dyn OneTimeCodeStore>,
    code_maker: Arc<dyn OneTimeCodes>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
    audit: AuditTrail,
    policy: RegistrationPolicy,
    /// What a user had made lies outside of the database, and goes before their account does.
    media: Option<MediaService>,
}

impl AccountService {
    /// Takes what it needs; `policy` says who may register.
    pub fn new(ports: AccountPorts, policy: RegistrationPolicy) -> Self {
        let AccountPorts { users, sessions, hasher, throttle, codes, code_maker, clock, randomness, audit } = ports;
        let guesses = PasswordGuesses::new(throttle);
        Self { users, sessions, hasher, guesses, codes, code_maker, clock, randomness, audit, policy, media: None }
    }

    /// Sees to it that with an account goes what its user had made.
    #[must_use]
    pub fn erasing(mut self, media: MediaService) -> Self {
        self.media = Some(media);
        self
    }

    /// Removes what a user had made; answers nothing removed where nothing is made.
    async fn erase_media(&self, id: UserId) -> Result<ErasedMedia, ServiceError> {
        match &self.media {
            Some(media) => media.erase(id).await,
            None => Ok(ErasedMedia::default()),
        }
    }
}

/// What went with an account, with what went before it.
fn with_media(removed: RemovedRecords, media: ErasedMedia) -> RemovedRecords {
    RemovedRecords { images: removed.images + media.images, speeches: removed.speeches + media.speeches, ..removed }
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
