//! Ending sign-ins.

use std::time::Duration;

use domain::{AuditAction, Session, SessionId};
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
        let ended = self.sessions.revoke_by_token(hash, self.clock.now()).await.map_err(ServiceError::Store)?;
        if let Some(session_id) = ended {
            tracing::info!(%session_id, "signed out");
            let actor = Actor { id: None, address };
            self.audit.record(AuditAction::SignedOut, actor, format!("session:{session_id}"), "by its refresh token").await;
        }
        Ok(())
    }

    /// Where the caller is signed in.
    pub async fn list(&self, caller: &Caller) -> Result<Vec<Session>, ServiceError> {
        self.sessions.list_alive(caller.user.id, self.clock.now()).await.map_err(ServiceError::Store)
    }

    /// Ends one of the caller's sessions.
    pub async fn end(&self, caller: &Caller, id: SessionId) -> Result<(), ServiceError> {
        caller.require_session()?;
        self.sessions
            .revoke(caller.user.id, id, self.clock.now())
            .await
            .map_err(|error| ServiceError::from_store(error, ServiceError::SessionNotFound))?;
        tracing::info!(user_id = %caller.user.id, session_id = %id, "session ended by its owner");
        self.audit.record(AuditAction::SignedOut, caller.into(), format!("session:{id}"), "").await;
        Ok(())
    }

    /// Removes sessions that ended a while ago, which nothing asks for any more; answers how many. To be called from time to time.
    pub async fn sweep(&self) -> Result<u64, ServiceError> {
        self.sessions.sweep(self.clock.now() - KEEP_ENDED).await.map_err(ServiceError::Store)
    }
}
