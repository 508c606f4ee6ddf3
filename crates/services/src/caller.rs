//! Who calls, once it has been proven.

use domain::{ApiKeyId, Role, Scope, SessionId, User};
use ports::RecordScope;

use crate::ServiceError;

/// By what a caller proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A person signed in; they may do all that their role allows.
    Session(SessionId),
    /// A program with a key; it may do what the key's scopes name.
    ApiKey {
        /// Which key.
        id: ApiKeyId,
        /// What it may be used for.
        scopes: Vec<Scope>,
    },
}

/// A user, as they were when the request came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account.
    pub user: User,
    /// By what they proved it.
    pub credential: Credential,
    /// The address they call from.
    pub address: Option<String>,
}

impl Caller {
    /// Refuses everyone but an admin, and an admin's key without the scope for it.
    pub fn require_admin(&self) -> Result<(), ServiceError> {
        if self.user.role == Role::Admin && self.has_scope(Scope::Admin) { Ok(()) } else { Err(ServiceError::Forbidden) }
    }

    /// Refuses a key that may not be used for this.
    pub fn require_scope(&self, scope: Scope) -> Result<(), ServiceError> {
        if self.has_scope(scope) { Ok(()) } else { Err(ServiceError::Forbidden) }
    }

    /// Refuses every key, and answers the session.
    pub fn require_session(&self) -> Result<SessionId, ServiceError> {
        match self.credential {
            Credential::Session(id) => Ok(id),
            Credential::ApiKey { .. } => Err(ServiceError::Forbidden),
        }
    }

    /// The records that a look at a single one may find: the caller's own, or for an admin everybody's.
    pub fn scope(&self) -> RecordScope {
        match self.require_admin() {
            Ok(()) => RecordScope::Everyone,
            Err(_) => RecordScope::Of(self.user.id),
        }
    }

    fn has_scope(&self, scope: Scope) -> bool {
        match &self.credential {
            Credential::Session(_) => true,
            Credential::ApiKey { scopes, .. } => scopes.contains(&scope),
        }
    }
}
