//! One-time codes: to invite somebody, and to let somebody set a new password.

use std::time::Duration;

use domain::{AuditAction, CodePurpose, OneTimeCode, Password, Timestamp, UserId};

use super::AccountService;
use crate::audit::Actor;
use crate::{Caller, ServiceError};

/// A code that was just made. It is shown this once.
pub struct IssuedCode {
    /// The code itself.
    pub code: String,
    /// What is kept of it.
    pub record: OneTimeCode,
}

/// An invitation waits for its guest; a code to reset a password is used by who asked for it.
const INVITATION_LIFETIME: Duration = Duration::from_hours(7 * 24);
const PASSWORD_RESET_LIFETIME: Duration = Duration::from_hours(1);

impl AccountService {
    /// Makes an invitation.
    pub async fn invite(&self, caller: &Caller) -> Result<IssuedCode, ServiceError> {
        caller.require_admin()?;
        let expires_at = self.clock.now() + INVITATION_LIFETIME;
        let issued = self.issue_code(CodePurpose::Invitation, Some(caller.user.id), expires_at).await?;
        let subject = format!("invitation:{}", issued.record.id);
        self.audit.record(AuditAction::InvitationCreated, caller.into(), subject, "").await;
        Ok(issued)
    }

    /// The invitations that nobody has used yet.
    pub async fn invitations(&self, caller: &Caller) -> Result<Vec<OneTimeCode>, ServiceError> {
        caller.require_admin()?;
        self.codes.list_invitations(self.clock.now()).await.map_err(ServiceError::Store)
    }

    /// Makes a code by which a user sets a new password. The old one works until then.
    pub async fn issue_password_reset(&self, caller: &Caller, id: UserId) -> Result<IssuedCode, ServiceError> {
        caller.require_admin()?;
        self.password_reset(id, Some(caller.user.id), caller.into()).await
    }

    /// The same for who has the command line; the account is found by its name.
    pub async fn issue_password_reset_by_name(&self, username: &str) -> Result<IssuedCode, ServiceError> {
        let id = self.id_by_name(username).await?;
        self.password_reset(id, None, Actor::default()).await
    }

    async fn password_reset(&self, id: UserId, by: Option<UserId>, actor: Actor<'_>) -> Result<IssuedCode, ServiceError> {
        let expires_at = self.clock.now() + PASSWORD_RESET_LIFETIME;
        let issued = self.issue_code(CodePurpose::PasswordReset(id), by, expires_at).await?;
        self.audit.record(AuditAction::PasswordResetIssued, actor, format!("user:{id}"), "").await;
        Ok(issued)
    }

    /// Spends such a code: sets the password and ends every session of the account.
    pub async fn reset_password(&self, code: &str, new_password: String, address: Option<&str>) -> Result<(), ServiceError> {
        let password = Password::new(new_password)?;
        let password_hash = self.hasher.hash(&password).await?;
        let now = self.clock.now();
        let user_id = self
            .codes
            .redeem_password_reset(self.code_maker.hash(code), password_hash, now)
            .await
            .map_err(|error| ServiceError::from_store(error, ServiceError::InvalidCode))?;
        self.sessions.revoke_all(user_id, None, now).await.map_err(ServiceError::Store)?;
        tracing::info!(%user_id, "password reset by a one-time code, sessions ended");
        let actor = Actor { id: Some(user_id), address };
        self.audit.record(AuditAction::PasswordReset, actor, format!("user:{user_id}"), "").await;
        Ok(())
    }

    /// Removes the codes that nobody used in time; answers how many. To be called from time to time.
    pub async fn sweep_codes(&self) -> Result<u64, ServiceError> {
        self.codes.sweep(self.clock.now()).await.map_err(ServiceError::Store)
    }

    async fn issue_code(
        &self,
        purpose: CodePurpose,
        created_by: Option<UserId>,
        expires_at: Timestamp,
    ) -> Result<IssuedCode, ServiceError> {
        let code = self.code_maker.draw();
        let id = self.randomness.uuid_v7();
        let record = OneTimeCode { id, purpose, created_by, created_at: self.clock.now(), expires_at };
        self.codes
            .add(record.clone(), self.code_maker.hash(&code))
            .await
            .map_err(|error| ServiceError::from_store(error, ServiceError::UserNotFound))?;
        Ok(IssuedCode { code, record })
    }
}
