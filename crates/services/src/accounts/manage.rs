//! An admin's view of all accounts.

use domain::{Page, PageRequest, Role, User, UserId};
use ports::UserChange;

use super::{AccountService, account_error};
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
        self.users.list(page).await.map_err(ServiceError::Store)
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
        let update = UserChange { role: change.role, disabled: change.disabled, ..UserChange::default() };
        let user = self.users.change(id, update).await.map_err(|error| account_error(error, ""))?;
        if id != caller.user.id {
            self.sessions.revoke_all(id, None, self.clock.now()).await.map_err(ServiceError::Store)?;
        }
        tracing::info!(admin_id = %caller.user.id, user_id = %id, role = user.role.as_str(), disabled = user.disabled, "account changed");
        Ok(user)
    }

    /// Removes an account and everything it owns. An admin removes their own by the profile's route, not by this one.
    pub async fn remove(&self, caller: &Caller, id: UserId) -> Result<(), ServiceError> {
        caller.require_admin()?;
        if id == caller.user.id {
            return Err(ServiceError::LastAdmin);
        }
        self.users.remove(id).await.map_err(|error| ServiceError::from_store(error, ServiceError::UserNotFound))?;
        tracing::info!(admin_id = %caller.user.id, user_id = %id, "account removed by an admin");
        Ok(())
    }
}
