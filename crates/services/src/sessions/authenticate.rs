//! Proving who calls.

use super::SessionService;
use crate::{Caller, ServiceError};

impl SessionService {
    /// Who holds this access token, if it is valid and its session and account still are.
    pub async fn authenticate(&self, access_token: &str) -> Result<Caller, ServiceError> {
        let now = self.clock.now();
        let claims = self.access_tokens.verify(access_token, now).map_err(|_| ServiceError::InvalidToken)?;
        let (session, user) = self
            .sessions
            .get_with_user(claims.session_id)
            .await
            .map_err(|error| ServiceError::from_store(error, ServiceError::InvalidToken))?;
        let genuine = session.user_id == claims.user_id && user.id == claims.user_id && session.is_alive(now);
        if !genuine || user.disabled {
            return Err(ServiceError::InvalidToken);
        }
        Ok(Caller { user, session_id: session.id })
    }
}
