//! Ending sign-ins.

use std::time::Duration;

use domain::{AuditAction, Page, PageRequest, Session, SessionId};
use ports::RefreshToken;

use super::SessionService;
use crate::audit::Actor;
use crate::{Caller, ServiceError};

/// A session that ended stays so long, so that a spent refresh token presented late is still known as spent.
const KEEP_ENDED: Duration = Duration::from_hours(24 * 7);

impl SessionService {
    /// Ends the session that a refresh token belongs to. An unknown token is no error: the caller is signed out either way, and learns
    /// nothing about the token. `address` is where they call from.
    pub async fn log_out(&self, refresh_token: &str, address: Option<&str>) -> Result<(), ServiceError> {
        let hash = self.refresh_tokens.hash(&RefreshToken::new(refresh_token));
        let (this, address) = (self.clone(), address.map(str::to_owned));
        let act = async move {
            let ended = this.sessions.revoke_by_token(hash, this.clock.now()).await.map_err(ServiceError::Store)?;
            if let Some(session_id) = ended {
                tracing::info!(%session_id, "signed out");
                let (actor, subject) = (Actor { id: None, address }, format!("session:{session_id}"));
                this.audit.record(AuditAction::SignedOut, actor, subject, "by its refresh token").await;
            }
            Ok(())
        };
        self.audit.see_through(act).await
    }

    /// Where the caller is signed in, the last used first.
    pub async fn list(&self, caller: &Caller, page: PageRequest) -> Result<Page<Session>, ServiceError> {
        self.sessions.list_alive(caller.user.id, self.clock.now(), page).await.map_err(ServiceError::Store)
    }

    /// Ends one of the caller's sessions.
    pub async fn end(&self, caller: &Caller, id: SessionId) -> Result<(), ServiceError> {
        caller.require_session()?;
        let (this, user_id, actor) = (self.clone(), caller.user.id, Actor::from(caller));
        let act = async move {
            let revoked = this.sessions.revoke(user_id, id, this.clock.now()).await;
            revoked.map_err(|error| ServiceError::from_store(error, ServiceError::SessionNotFound))?;
            tracing::info!(%user_id, session_id = %id, "session ended by its owner");
            this.audit.record(AuditAction::SignedOut, actor, format!("session:{id}"), "").await;
            Ok(())
        };
        self.audit.see_through(act).await
    }

    /// Removes sessions that ended a while ago, which nothing asks for any more, and answers how many; and the spent tokens of those that
    /// live, once they are older than a session that nobody uses. To be called from time to time.
    pub async fn sweep(&self) -> Result<u64, ServiceError> {
        let now = self.clock.now();
        let swept = self.sessions.sweep(now - KEEP_ENDED, now - self.policy.refresh_token_lifetime).await;
        swept.map_err(ServiceError::Store)
    }
}
