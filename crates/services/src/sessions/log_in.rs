//! Signing in with a name and a password.

use domain::{AuditAction, PasswordHash, Session, SessionId, User, Username};
use ports::{RefreshToken, SignInTerms};

use super::{SessionService, SignedIn};
use crate::ServiceError;
use crate::audit::Actor;
use crate::password_guesses::Guessed;

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

/// 32 bits: too few to find a password by.
const NOTED_HASH_CHARACTERS: usize = 8;

impl SessionService {
    /// Begins a session. An unknown name costs the same time and gets the same answer as a wrong password; that an account is disabled
    /// is told only to who knows its password.
    pub async fn log_in(&self, credentials: Credentials, client: ClientInfo) -> Result<SignedIn, ServiceError> {
        let found = self.users.find_by_login(&credentials.login).await.map_err(ServiceError::Store)?;
        let guessed = found.as_ref().map_or(Guessed::Nobody(&credentials.login), |(user, _)| Guessed::Account(user.id));
        let attempt = match self.guesses.begin(guessed, client.address.as_deref()).await {
            Ok(attempt) => attempt,
            Err(throttled) => {
                if throttled.is_first {
                    self.note_failure(self.noted(&credentials.login, found.is_some()), &client, "throttled").await;
                }
                return Err(throttled.error);
            }
        };
        let hash = found.as_ref().map(|(_, hash)| hash.clone());
        let is_right = match self.hasher.verify(&credentials.password, hash).await {
            Ok(is_right) => is_right,
            Err(error) => {
                self.guesses.withdrawn(attempt).await;
                return Err(error.into());
            }
        };
        let noted = self.noted(&credentials.login, found.is_some());
        let Some((user, proven)) = found.filter(|_| is_right) else {
            self.note_failure(noted, &client, "wrong name or password").await;
            return Err(ServiceError::InvalidCredentials);
        };
        self.guesses.succeeded(attempt).await;
        if user.disabled {
            self.note_failure(noted, &client, "the account is disabled").await;
            return Err(ServiceError::AccountInactive);
        }
        let this = self.clone();
        let act = async move { this.begin_session(user, proven, client).await };
        self.audit.see_through(act).await
    }

    async fn begin_session(&self, user: User, proven: PasswordHash, client: ClientInfo) -> Result<SignedIn, ServiceError> {
        let now = self.clock.now();
        let session = Session {
            id: SessionId::new(self.randomness.uuid_v7()),
            user_id: user.id,
            created_at: now,
            last_used_at: now,
            expires_at: now + self.policy.refresh_token_lifetime,
            revoked_at: None,
            client: client.user_agent.map(|text| text.chars().take(MAX_CLIENT_CHARACTERS).collect()),
            address: client.address.clone(),
        };
        let session_id = session.id;
        let refresh_token = self.refresh_tokens.draw();
        let hash = self.refresh_tokens.hash(&refresh_token);
        let terms = SignInTerms { proven, max_sessions: self.policy.max_per_user };
        let added = self.sessions.add(session, hash, terms).await;
        added.map_err(|error| ServiceError::from_store(error, ServiceError::InvalidCredentials))?;
        tracing::info!(user_id = %user.id, %session_id, "signed in");
        let actor = Actor { id: Some(user.id), address: client.address };
        self.audit.record(AuditAction::SignedIn, actor, format!("session:{session_id}"), "").await;
        self.sign_in(user, session_id, refresh_token)
    }

    /// What the audit log keeps of what was typed as a name. What no account is called may be a password in the wrong field, and the log is
    /// for ever: of that, enough of a hash to know the same again.
    fn noted(&self, login: &str, is_known: bool) -> String {
        if is_known {
            return login.chars().take(Username::MAX_CHARACTERS).collect();
        }
        let hash = self.refresh_tokens.hash(&RefreshToken::new(login));
        format!("unknown:{}", hash.as_str().chars().take(NOTED_HASH_CHARACTERS).collect::<String>())
    }

    async fn note_failure(&self, tried: String, client: &ClientInfo, why: &str) {
        tracing::info!(why, "sign-in refused");
        let actor = Actor { id: None, address: client.address.clone() };
        self.audit.record(AuditAction::SignInFailed, actor, tried, why).await;
    }
}
