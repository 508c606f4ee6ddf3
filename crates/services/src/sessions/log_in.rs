//! Signing in with a name and a password.

use domain::{Session, SessionId};

use super::{SessionService, SignedIn};
use crate::ServiceError;

/// What a person signs in with.
pub struct Credentials {
    /// The account's name, or its address.
    pub login: String,
    /// Its password.
    pub password: String,
}

/// Where a sign-in comes from, for its owner to recognise it by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// The client's own description of itself.
    pub user_agent: Option<String>,
    /// The address it calls from.
    pub address: Option<String>,
}

/// A client may call itself anything, at any length.
const MAX_CLIENT_CHARACTERS: usize = 200;

impl SessionService {
    /// Begins a session. An unknown name costs the same time and gets the same answer as a wrong password; that an account is disabled
    /// is told only to who knows its password.
    pub async fn log_in(&self, credentials: Credentials, client: ClientInfo) -> Result<SignedIn, ServiceError> {
        let found = self.users.find_by_login(&credentials.login).await.map_err(ServiceError::Store)?;
        let hash = found.as_ref().map(|(_, hash)| hash.clone());
        let proven = self.hasher.verify(&credentials.password, hash).await?;
        let Some((user, _)) = found.filter(|_| proven) else {
            tracing::info!("sign-in refused");
            return Err(ServiceError::InvalidCredentials);
        };
        if user.disabled {
            tracing::info!(user_id = %user.id, "sign-in to a disabled account refused");
            return Err(ServiceError::AccountInactive);
        }
        let now = self.clock.now();
        let session = Session {
            id: SessionId::new(self.randomness.uuid_v7()),
            user_id: user.id,
            created_at: now,
            last_used_at: now,
            expires_at: now + self.lifetimes.refresh_token,
            revoked_at: None,
            client: client.user_agent.map(|text| text.chars().take(MAX_CLIENT_CHARACTERS).collect()),
            address: client.address,
        };
        let session_id = session.id;
        let refresh_token = self.refresh_tokens.draw();
        let hash = self.refresh_tokens.hash(&refresh_token);
        self.sessions
            .add(session, hash)
            .await
            .map_err(|error| ServiceError::from_store(error, ServiceError::InvalidCredentials))?;
        tracing::info!(user_id = %user.id, %session_id, "signed in");
        self.sign_in(user, session_id, refresh_token)
    }
}
