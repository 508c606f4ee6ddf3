//! Staying signed in.

use domain::{AuditAction, RefreshTokenHash, Session};
use ports::{RefreshToken, Rotation};

use super::{SessionService, SignedIn};
use crate::ServiceError;
use crate::audit::Actor;

impl SessionService {
    /// Exchanges a refresh token for a new pair. A token works once; presenting a spent one means that two hold copies of it, so the whole
    /// session ends (RFC 9700, section 4.14.2). `address` is where whoever presents it calls from.
    pub async fn refresh(&self, refresh_token: &str, address: Option<&str>) -> Result<SignedIn, ServiceError> {
        let presented = self.refresh_tokens.hash(&RefreshToken::new(refresh_token));
        let next = self.refresh_tokens.draw();
        let next_hash = self.refresh_tokens.hash(&next);
        let (this, address) = (self.clone(), address.map(str::to_owned));
        let act = async move { this.rotate(presented, next_hash, address).await };
        let session = self.audit.see_through(act).await?;
        let user =
            self.users.get(session.user_id).await.map_err(|error| ServiceError::from_store(error, ServiceError::InvalidToken))?;
        if user.disabled {
            return Err(ServiceError::AccountInactive);
        }
        self.sign_in(user, session.id, next)
    }

    async fn rotate(
        &self,
        presented: RefreshTokenHash,
        next: RefreshTokenHash,
        address: Option<String>,
    ) -> Result<Session, ServiceError> {
        let now = self.clock.now();
        let rotation = self.sessions.rotate(presented, next, now, now + self.policy.refresh_token_lifetime).await;
        match rotation.map_err(ServiceError::Store)? {
            Rotation::Rotated(session) => Ok(session),
            Rotation::Reused(session) => {
                let (session_id, user_id) = (session.id, session.user_id);
                tracing::warn!(%session_id, %user_id, "a spent refresh token was presented; its session was revoked");
                // Who it was, the session's owner or a thief, nobody knows.
                let (actor, detail) = (Actor { id: None, address }, format!("user:{user_id}"));
                self.audit.record(AuditAction::RefreshTokenReused, actor, format!("session:{session_id}"), &detail).await;
                Err(ServiceError::InvalidToken)
            }
            Rotation::Unknown => Err(ServiceError::InvalidToken),
        }
    }
}
