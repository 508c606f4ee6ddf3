//! A user's own account.

use domain::{AuditAction, Password, Refusal, User};
use ports::{EndSessions, RemovedRecords, UserChange};

use super::register::own_address;
use super::{AccountService, account_error};
use crate::audit::Actor;
use crate::password_guesses::Guessed;
use crate::{Caller, ServiceError};

/// What a user changes of their own account; what is `None` stays.
#[derive(Default)]
pub struct ProfileChange {
    /// A new address, or none any more.
    pub email: Option<Option<String>>,
    /// A new password.
    pub new_password: Option<String>,
    /// The present password: asked for again, because a borrowed device must not be enough to take an account over.
    pub current_password: Option<String>,
}

impl AccountService {
    /// Changes the caller's address or password, once the present password is proven. A new password ends the caller's other sessions.
    pub async fn update_profile(&self, caller: &Caller, change: ProfileChange) -> Result<User, ServiceError> {
        let session_id = caller.require_session()?;
        let email = match change.email {
            // Whose name is an address is called by it, and keeps it.
            Some(None) if caller.user.username.as_str().contains('@') => {
                return Err(Refusal::field("email", "cannot be removed: the account's name is this address").into());
            }
            Some(address) => Some(own_address(&caller.user.username, address, "email")?),
            None => None,
        };
        let new_password = change.new_password.map(Password::new).transpose()?;
        self.prove_password(caller, change.current_password.as_deref()).await?;
        let password_hash = match &new_password {
            Some(password) => Some(self.hasher.hash(password).await?),
            None => None,
        };
        // A new address alone ends nothing: whoever is signed in proved the password, and that has not changed.
        let end_sessions = password_hash.is_some().then(|| EndSessions { at: self.clock.now(), except: Some(session_id) });
        let change = UserChange { email, password_hash, end_sessions, ..UserChange::default() };
        self.change_own(&caller.user, change, caller.into()).await
    }

    async fn change_own(&self, user: &User, change: UserChange, actor: Actor) -> Result<User, ServiceError> {
        let (this, id, username) = (self.clone(), user.id, user.username.clone());
        let act = async move {
            let sets_password = change.password_hash.is_some();
            let changed = this.users.change(id, change).await.map_err(|error| account_error(error, username.as_str()))?;
            let subject = format!("user:{id}");
            if changed.after.email != changed.before.email {
                let detail = if changed.after.email.is_some() { "" } else { "removed" };
                this.audit.record(AuditAction::EmailChanged, actor.clone(), subject.clone(), detail).await;
            }
            if sets_password {
                tracing::info!(user_id = %id, ended = changed.ended_sessions, "password changed, other sessions ended");
                this.audit.record(AuditAction::PasswordChanged, actor, subject, "").await;
            }
            Ok(changed.after)
        };
        self.audit.see_through(act).await
    }

    /// A stolen session must not be enough to guess the password, so a guess counts like a sign-in's.
    async fn prove_password(&self, caller: &Caller, candidate: Option<&str>) -> Result<(), ServiceError> {
        let Some(candidate) = candidate else {
            return Err(Refusal::field("current_password", "must be given to change the account").into());
        };
        let hash = self
            .users
            .password_hash(caller.user.id)
            .await
            .map_err(|error| ServiceError::from_store(error, ServiceError::UserNotFound))?;
        let username = caller.user.username.as_str();
        let attempt = match self.guesses.begin(Guessed::Account(caller.user.id), caller.address.as_deref()).await {
            Ok(attempt) => attempt,
            Err(throttled) => {
                if throttled.is_first {
                    self.audit.record(AuditAction::SignInFailed, caller.into(), username.to_owned(), "throttled").await;
                }
                return Err(throttled.error);
            }
        };
        match self.hasher.verify(candidate, Some(hash)).await {
            Ok(true) => {
                self.guesses.succeeded(attempt).await;
                Ok(())
            }
            Ok(false) => {
                let why = "wrong current password";
                self.audit.record(AuditAction::SignInFailed, caller.into(), username.to_owned(), why).await;
                Err(Refusal::field("current_password", "is not the account's password").into())
            }
            Err(error) => {
                self.guesses.withdrawn(attempt).await;
                Err(error.into())
            }
        }
    }

    /// Removes the caller's account and everything it owns, and answers what that was. The last admin can only leave as the last of all.
    pub async fn delete_own(&self, caller: &Caller) -> Result<RemovedRecords, ServiceError> {
        caller.require_session()?;
        let removed = self.remove_account(caller.user.id, caller.into(), "by its owner").await?;
        tracing::info!(user_id = %caller.user.id, "account removed by its owner");
        Ok(removed)
    }

    /// Notes in the audit log that the caller took all their data along.
    pub async fn note_export(&self, caller: &Caller) {
        self.audit.record(AuditAction::DataExported, caller.into(), format!("user:{}", caller.user.id), "").await;
    }
}
