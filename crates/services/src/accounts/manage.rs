//! An admin's view of all accounts.

use domain::{AuditAction, Page, PageRequest, Role, User, UserId};
use ports::{RemovedRecords, UserChange};

use super::{AccountService, account_error, with_media};
use crate::audit::Actor;
use crate::{Caller, ServiceError};

/// What an admin changes of an account; what is `None` stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// A new role.
    pub role: Option<Role>,
    /// Whether the account is disabled.
    pub disabled: Option<bool>,
}

impl AccountService {
    /// All accounts, newest first.
    pub async fn list(&self, caller: &Caller, page: PageRequest) -> Result<Page<User>, ServiceError> {
        caller.require_admin()?;
        let users = self.users.list(page).await.map_err(ServiceError::Store)?;
        if users.items.iter().any(|user| user.id != caller.user.id) {
            self.audit.record(AuditAction::OthersRecordAccessed, caller.into(), "users".to_owned(), "listed").await;
        }
        Ok(users)
    }

    /// Changes an account's role or disables it, and ends its sessions: what they were allowed is not what they are allowed now.
    ///
    /// An admin cannot demote or disable themselves, so that at least one admin always remains.
    pub async fn change(&self, caller: &Caller, id: UserId, change: AccountChange) -> Result<User, ServiceError> {
        caller.require_admin()?;
        let loses_power = change.role == Some(Role::User) || change.disabled == Some(true);
        if id == caller.user.id && loses_power {
            return Err(ServiceError::LastAdmin);
        }
        let user = self.apply(id, change, caller.into()).await?;
        tracing::info!(admin_id = %caller.user.id, user_id = %id, role = user.role.as_str(), disabled = user.disabled, "account changed");
        Ok(user)
    }

    /// The same for who has the command line; the account is found by its name.
    pub async fn change_by_name(&self, username: &str, change: AccountChange) -> Result<User, ServiceError> {
        let id = self.id_by_name(username).await?;
        self.apply(id, change, Actor::default()).await
    }

    async fn apply(&self, id: UserId, change: AccountChange, actor: Actor<'_>) -> Result<User, ServiceError> {
        let before = self.users.get(id).await.map_err(|error| account_error(error, ""))?;
        let update = UserChange { role: change.role, disabled: change.disabled, ..UserChange::default() };
        let user = self.users.change(id, update).await.map_err(|error| account_error(error, ""))?;
        let subject = format!("user:{id}");
        if user.role != before.role {
            self.audit.record(AuditAction::RoleChanged, actor.clone(), subject.clone(), user.role.as_str()).await;
        }
        if user.disabled != before.disabled {
            let action = if user.disabled { AuditAction::AccountDisabled } else { AuditAction::AccountEnabled };
            self.audit.record(action, actor, subject, "").await;
        }
        if (user.role, user.disabled) != (before.role, before.disabled) {
            self.sessions.revoke_all(id, None, self.clock.now()).await.map_err(ServiceError::Store)?;
        }
        Ok(user)
    }

    /// The account of this name.
    pub(super) async fn id_by_name(&self, username: &str) -> Result<UserId, ServiceError> {
        let found = self.users.find_by_login(username).await.map_err(ServiceError::Store)?;
        found.map(|(user, _)| user.id).ok_or(ServiceError::UserNotFound)
    }

    /// Removes an account and everything it owns, and answers what that was. An admin removes their own by the profile's route, not by this one.
    pub async fn remove(&self, caller: &Caller, id: UserId) -> Result<RemovedRecords, ServiceError> {
        caller.require_admin()?;
        if id == caller.user.id {
            return Err(ServiceError::LastAdmin);
        }
        // Whether there is such an account is told by the store, once what it had made is gone; for one that is not there, nothing is.
        let media = self.erase_media(id).await?;
        let removed = self.users.remove(id).await.map_err(|error| ServiceError::from_store(error, ServiceError::UserNotFound))?;
        tracing::info!(admin_id = %caller.user.id, user_id = %id, "account removed by an admin");
        self.audit.record(AuditAction::AccountRemoved, caller.into(), format!("user:{id}"), "").await;
        Ok(with_media(removed, media))
    }
}
