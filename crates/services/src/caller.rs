//! Who calls, once it has been proven.

use domain::{Role, SessionId, User};
use ports::RecordScope;

use crate::ServiceError;

/// A signed-in user, as they were when the request came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account.
    pub user: User,
    /// The sign-in that the request's token belongs to.
    pub session_id: SessionId,
}

impl Caller {
    /// Refuses everyone but an admin.
    pub fn require_admin(&self) -> Result<(), ServiceError> {
        match self.user.role {
            Role::Admin => Ok(()),
            Role::User => Err(ServiceError::Forbidden),
        }
    }

    /// The records that a look at a single one may find: the caller's own, or for an admin everybody's.
    pub fn scope(&self) -> RecordScope {
        match self.user.role {
            Role::Admin => RecordScope::Everyone,
            Role::User => RecordScope::Of(self.user.id),
        }
    }
}
