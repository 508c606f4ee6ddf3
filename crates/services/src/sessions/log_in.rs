//! Signing in with a name and a password.

use domain::{AuditAction, Session, SessionId, User, Username};

use super::{SessionService, SignedIn};
use crate::ServiceError;
use crate::audit::Actor;

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
        let attempt = self.guesses.begin(&credentials.login, client.address.as_deref()).await?;
        let user = match self.prove(&credentials).await {
            Ok(user) => user,
            Err(ServiceError::InvalidCredentials) => {
                self.note_failure(&credentials.login, &client, "wrong name or password").await;
                return Err(ServiceError::InvalidCredentials);
            }
            Err(error) => {
                self.guesses.withdrawn(attempt).await;
                return Err(error);
            }
        };
        self.guesses.succeeded(attempt).await;
        if user.disabled {
            self.note_failure(&credentials.login, &client, "the account is disabled").await;
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
            address: client.address.clone(),
        };
        let session_id = session.id;
        let refresh_token = self.refresh_tokens.draw();
        let hash = self.refresh_tokens.hash(&refresh_token);
        self.sessions
            .add(session, hash)
            .await
            .map_err(|error| ServiceError::from_store(error, ServiceError::InvalidCredentials))?;
        tracing::info!(user_id = %user.id, %session_id, "signed in");
        let actor = Actor { id: Some(user.id), address: client.address.as_deref() };
        self.audit.record(AuditAction::SignedIn, actor, format!("session:{session_id}"), "").await;
        self.sign_in(user, session_id, refresh_token)
    }

    /// Whose name and password these are.
    async fn prove(&self, credentials: &Credentials) -> Result<User, ServiceError> {
        let found = self.users.find_by_login(&credentials.login).await.map_err(ServiceError::Store)?;
        let hash = found.as_ref().map(|(_, hash)| hash.clone());
        let proven = self.hasher.verify(&credentials.password, hash).await?;
        found.filter(|_| proven).map(|(user, _)| user).ok_or(ServiceError::InvalidCredentials)
    }

    async fn note_failure(&self, login: &str, client: &ClientInfo, why: &str) {
        tracing::info!(why, "sign-in refused");
        let actor = Actor { id: None, address: client.address.as_deref() };
        let tried: String = login.chars().take(Username::MAX_CHARACTERS).collect();
        self.audit.record(AuditAction::SignInFailed, actor, tried, why).await;
    }
}
