//! One-time codes: to invite somebody, and to let somebody set a new password.

use std::time::Duration;

use domain::{AuditAction, CodePurpose, OneTimeCode, Page, PageRequest, Password, Timestamp, UserId};

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
        let (this, by, actor) = (self.clone(), caller.user.id, Actor::from(caller));
        let act = async move {
            let issued = this.issue_code(CodePurpose::Invitation, Some(by), expires_at).await?;
            let subject = format!("invitation:{}", issued.record.id);
            this.audit.record(AuditAction::InvitationCreated, actor, subject, "").await;
            Ok(issued)
        };
        self.audit.see_through(act).await
    }

    /// The invitations that nobody has used yet, newest first.
    pub async fn invitations(&self, caller: &Caller, page: PageRequest) -> Result<Page<OneTimeCode>, ServiceError> {
        caller.require_admin()?;
        self.codes.list_invitations(self.clock.now(), page).await.map_err(ServiceError::Store)
    }

    /// Makes a code by which a user sets a new password. The old one works until then. Only a person can: a key that could would become
    /// whomever it likes, its own maker too, and outlive its own end.
    pub async fn issue_password_reset(&self, caller: &Caller, id: UserId) -> Result<IssuedCode, ServiceError> {
        caller.require_session()?;
        caller.require_admin()?;
        self.password_reset(id, Some(caller.user.id), caller.into()).await
    }

    /// The same for who has the command line; the account is found by its name.
    pub async fn issue_password_reset_by_name(&self, username: &str) -> Result<IssuedCode, ServiceError> {
        let id = self.id_by_name(username).await?;
        self.password_reset(id, None, Actor::default()).await
    }

    async fn password_reset(&self, id: UserId, by: Option<UserId>, actor: Actor) -> Result<IssuedCode, ServiceError> {
        let expires_at = self.clock.now() + PASSWORD_RESET_LIFETIME;
        let this = self.clone();
        let act = async move {
            let issued = this.issue_code(CodePurpose::PasswordReset(id), by, expires_at).await?;
            this.audit.record(AuditAction::PasswordResetIssued, actor, format!("user:{id}"), "").await;
            Ok(issued)
        };
        self.audit.see_through(act).await
    }

    /// Spends such a code: sets the password and ends every session of the account.
    pub async fn reset_password(&self, code: &str, new_password: String, address: Option<&str>) -> Result<(), ServiceError> {
        let password = Password::new(new_password)?;
        let password_hash = self.hasher.hash(&password).await?;
        let (this, hash, address) = (self.clone(), self.code_maker.hash(code), address.map(str::to_owned));
        let act = async move {
            let redeemed = this.codes.redeem_password_reset(hash, password_hash, this.clock.now()).await;
            let user_id = redeemed.map_err(|error| ServiceError::from_store(error, ServiceError::InvalidCode))?;
            tracing::info!(%user_id, "password reset by a one-time code, sessions ended");
            let actor = Actor { id: Some(user_id), address };
            this.audit.record(AuditAction::PasswordReset, actor, format!("user:{user_id}"), "").await;
            Ok(())
        };
        self.audit.see_through(act).await
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
