//! An admin's view of all accounts.

use domain::{AuditAction, Page, PageRequest, Role, User, UserId};
use ports::{ChangedUser, EndSessions, RemovedRecords, UserChange};

use super::{AccountService, account_error};
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
    /// An admin cannot demote or disable themselves: they would lock themselves out by a slip. A key changes nothing of the account that
    /// it belongs to.
    pub async fn change(&self, caller: &Caller, id: UserId, change: AccountChange) -> Result<User, ServiceError> {
        caller.require_admin()?;
        if id == caller.user.id {
            caller.require_session()?;
            if change.role == Some(Role::User) || change.disabled == Some(true) {
                return Err(ServiceError::LastAdmin);
            }
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

    async fn apply(&self, id: UserId, change: AccountChange, actor: Actor) -> Result<User, ServiceError> {
        let AccountChange { role, disabled } = change;
        let end_sessions = Some(EndSessions { at: self.clock.now(), except: None });
        let change = UserChange { role, disabled, end_sessions, ..UserChange::default() };
        let this = self.clone();
        let act = async move {
            let changed = this.users.change(id, change).await.map_err(|error| account_error(error, ""))?;
            this.note_change(&changed, actor).await;
            Ok(changed.after)
        };
        self.audit.see_through(act).await
    }

    async fn note_change(&self, changed: &ChangedUser, actor: Actor) {
        let ChangedUser { before, after, .. } = changed;
        let subject = format!("user:{}", after.id);
        if after.role != before.role {
            self.audit.record(AuditAction::RoleChanged, actor.clone(), subject.clone(), after.role.as_str()).await;
        }
        if after.disabled != before.disabled {
            let action = if after.disabled { AuditAction::AccountDisabled } else { AuditAction::AccountEnabled };
            self.audit.record(action, actor, subject, "").await;
        }
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
        let removed = self.remove_account(id, caller.into(), "").await?;
        tracing::info!(admin_id = %caller.user.id, user_id = %id, "account removed by an admin");
        Ok(removed)
    }
}
