//! A user's own account.

use domain::{AuditAction, Email, Password, User};
use ports::{RemovedRecords, UserChange};

use super::{AccountService, account_error, with_media};
use crate::{Caller, ServiceError};

/// What a user changes of their own account; what is `None` stays.
#[derive(Default)]
pub struct ProfileChange {
    /// A new address.
    pub email: Option<String>,
    /// A new password.
    pub new_password: Option<String>,
    /// The present password: asked for again, because a borrowed device must not be enough to take an account over.
    pub current_password: Option<String>,
}

impl AccountService {
    /// Changes the caller's address or password, once the present password is proven. A new password ends the caller's other sessions.
    pub async fn update_profile(&self, caller: &Caller, change: ProfileChange) -> Result<User, ServiceError> {
        let session_id = caller.require_session()?;
        let email = change.email.map(Email::new).transpose()?;
        let new_password = change.new_password.map(Password::new).transpose()?;
        self.prove_password(caller, change.current_password.as_deref()).await?;
        let password_hash = match &new_password {
            Some(password) => Some(self.hasher.hash(password).await?),
            None => None,
        };
        let change = UserChange { email, password_hash, ..UserChange::default() };
        let user = self
            .users
            .change(caller.user.id, change)
            .await
            .map_err(|error| account_error(error, caller.user.username.as_str()))?;
        if new_password.is_some() {
            let ended = self
                .sessions
                .revoke_all(caller.user.id, Some(session_id), self.clock.now())
                .await
                .map_err(ServiceError::Store)?;
            tracing::info!(user_id = %caller.user.id, ended, "password changed, other sessions ended");
            let subject = format!("user:{}", caller.user.id);
            self.audit.record(AuditAction::PasswordChanged, caller.into(), subject, "").await;
        }
        Ok(user)
    }

    /// A stolen session must not be enough to guess the password, so a guess counts like a sign-in's.
    async fn prove_password(&self, caller: &Caller, candidate: Option<&str>) -> Result<(), ServiceError> {
        let Some(candidate) = candidate else {
            return Err(domain::Refusal::field("current_password", "must be given to change the account").into());
        };
        let hash = self
            .users
            .password_hash(caller.user.id)
            .await
            .map_err(|error| ServiceError::from_store(error, ServiceError::UserNotFound))?;
        let username = caller.user.username.as_str();
        let attempt = self.guesses.begin(username, caller.address.as_deref()).await?;
        match self.hasher.verify(candidate, Some(hash)).await {
            Ok(true) => {
                self.guesses.succeeded(attempt).await;
                Ok(())
            }
            Ok(false) => {
                let why = "wrong current password";
                self.audit.record(AuditAction::SignInFailed, caller.into(), username.to_owned(), why).await;
                Err(domain::Refusal::field("current_password", "is not the account's password").into())
            }
            Err(error) => {
                self.guesses.withdrawn(attempt).await;
                Err(error.into())
            }
        }
    }

    /// Removes the caller's account and everything it owns, and answers what that was.
    pub async fn delete_own(&self, caller: &Caller) -> Result<RemovedRecords, ServiceError> {
        caller.require_session()?;
        let media = self.erase_media(caller.user.id).await?;
        let removed = self
            .users
            .remove(caller.user.id)
            .await
            .map_err(|error| ServiceError::from_store(error, ServiceError::UserNotFound))?;
        tracing::info!(user_id = %caller.user.id, "account removed by its owner");
        let subject = format!("user:{}", caller.user.id);
        self.audit.record(AuditAction::AccountRemoved, caller.into(), subject, "by its owner").await;
        Ok(with_media(removed, media))
    }

    /// Notes in the audit log that the caller took all their data along.
    pub async fn note_export(&self, caller: &Caller) {
        self.audit.record(AuditAction::DataExported, caller.into(), format!("user:{}", caller.user.id), "").await;
    }
}
