//! Proving who calls.

use super::SessionService;
use crate::{Caller, Credential, ServiceError};

/// A key's last use is kept to this many seconds, so that a busy program does not write a row with every request.
const TOUCH_SECONDS: i64 = 60;

impl SessionService {
    /// Who holds this access token or API key, if it is valid and its session and account still are. `address` is where they call from.
    pub async fn authenticate(&self, bearer: &str, address: Option<String>) -> Result<Caller, ServiceError> {
        match self.api_key_codec.read(bearer) {
            Some((prefix, hash)) => self.authenticate_key(&prefix, &hash, address).await,
            None => self.authenticate_token(bearer, address).await,
        }
    }

    async fn authenticate_token(&self, access_token: &str, address: Option<String>) -> Result<Caller, ServiceError> {
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
        Ok(Caller { user, credential: Credential::Session(session.id), address })
    }

    async fn authenticate_key(
        &self,
        prefix: &str,
        hash: &domain::ApiKeyHash,
        address: Option<String>,
    ) -> Result<Caller, ServiceError> {
        let now = self.clock.now();
        let candidates = self.api_keys.find_by_prefix(prefix).await.map_err(ServiceError::Store)?;
        let mut matching = candidates.into_iter().filter(|(_, kept, _)| self.api_key_codec.same(kept, hash));
        let (key, _, user) = matching.next().ok_or(ServiceError::InvalidToken)?;
        if !key.is_alive(now) || user.disabled {
            return Err(ServiceError::InvalidToken);
        }
        if key.last_used_at.is_none_or(|used| (now - used).num_seconds() >= TOUCH_SECONDS)
            && let Err(error) = self.api_keys.touch(key.id, now).await
        {
            tracing::warn!(api_key_id = %key.id, %error, "a key's use could not be noted");
        }
        Ok(Caller { user, credential: Credential::ApiKey { id: key.id, scopes: key.scopes }, address })
    }

    /// Whether what a caller proved themselves by still holds. For streams that outlast the request that began them: they are to be cut
    /// when the answer is [`ServiceError::InvalidToken`].
    pub async fn still_holds(&self, caller: &Caller) -> Result<(), ServiceError> {
        let now = self.clock.now();
        match &caller.credential {
            Credential::Session(id) => {
                let (session, user) = self
                    .sessions
                    .get_with_user(*id)
                    .await
                    .map_err(|error| ServiceError::from_store(error, ServiceError::InvalidToken))?;
                if session.is_alive(now) && !user.disabled { Ok(()) } else { Err(ServiceError::InvalidToken) }
            }
            Credential::ApiKey { id, .. } => {
                let keys = self.api_keys.list(caller.user.id).await.map_err(ServiceError::Store)?;
                let alive = keys.iter().any(|key| key.id == *id && key.is_alive(now));
                let user = self.users.get(caller.user.id).await;
                let user = user.map_err(|error| ServiceError::from_store(error, ServiceError::InvalidToken))?;
                if alive && !user.disabled { Ok(()) } else { Err(ServiceError::InvalidToken) }
            }
        }
    }
}
