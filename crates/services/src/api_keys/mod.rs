//! Keys by which programs call.

use std::sync::Arc;

use domain::{ApiKey, ApiKeyId, ApiKeyName, AuditAction, Refusal, Role, Scope, Timestamp};
use ports::{ApiKeyCodec, ApiKeyStore, Clock, NewApiKey, Randomness, StoreError};

use crate::audit::Actor;
use crate::{AuditTrail, Caller, ServiceError};

/// What a user says of a key that is to be made.
#[derive(Debug, Clone, Default)]
pub struct ApiKeyRequest {
    /// See [`ApiKeyName`].
    pub name: String,
    /// The names of its scopes; if absent, all that the contract gives to everybody (not `admin`).
    pub scopes: Option<Vec<String>>,
    /// When it stops working, if it is to.
    pub expires_at: Option<Timestamp>,
}

/// A key that was just made, with what is shown this once.
#[derive(Debug)]
pub struct IssuedApiKey {
    /// What is kept.
    pub record: ApiKey,
    /// The key itself.
    pub secret: NewApiKey,
}

/// The use cases around API keys.
#[derive(Clone)]
pub struct ApiKeyService {
    keys: Arc<dyn ApiKeyStore>,
    codec: Arc<dyn ApiKeyCodec>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
    audit: AuditTrail,
}

/// A person has few programs; more keys than this are a mistake or an attack.
const MAX_KEYS_PER_USER: u32 = 100;

impl ApiKeyService {
    /// Takes what it needs.
    pub fn new(
        keys: Arc<dyn ApiKeyStore>,
        codec: Arc<dyn ApiKeyCodec>,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
        audit: AuditTrail,
    ) -> Self {
        Self { keys, codec, clock, randomness, audit }
    }

    /// Makes a key. Only a person who signed in can: a key that could make keys would outlive its own end.
    pub async fn create(&self, caller: &Caller, request: ApiKeyRequest) -> Result<IssuedApiKey, ServiceError> {
        caller.require_session()?;
        let name = ApiKeyName::new(request.name)?;
        let scopes = scopes(request.scopes, caller.user.role)?;
        let now = self.clock.now();
        if request.expires_at.is_some_and(|end| end <= now) {
            return Err(Refusal::field("expires_at", "must lie in the future").into());
        }
        let secret = self.codec.draw();
        let record = ApiKey {
            id: ApiKeyId::new(self.randomness.uuid_v7()),
            user_id: caller.user.id,
            name,
            prefix: secret.prefix.clone(),
            scopes,
            created_at: now,
            expires_at: request.expires_at,
            last_used_at: None,
        };
        let (this, actor) = (self.clone(), Actor::from(caller));
        let act = async move {
            this.keys.add(record.clone(), secret.hash.clone(), MAX_KEYS_PER_USER).await.map_err(not_added)?;
            this.audit.record(AuditAction::ApiKeyCreated, actor, format!("key:{}", record.id), &record.prefix).await;
            Ok(IssuedApiKey { record, secret })
        };
        self.audit.see_through(act).await
    }

    /// The caller's keys, newest first.
    pub async fn list(&self, caller: &Caller) -> Result<Vec<ApiKey>, ServiceError> {
        self.keys.list(caller.user.id).await.map_err(ServiceError::Store)
    }

    /// Ends one of the caller's keys.
    pub async fn remove(&self, caller: &Caller, id: ApiKeyId) -> Result<(), ServiceError> {
        caller.require_session()?;
        let (this, user_id, actor) = (self.clone(), caller.user.id, Actor::from(caller));
        let act = async move {
            let removed = this.keys.remove(user_id, id).await;
            removed.map_err(|error| ServiceError::from_store(error, ServiceError::ApiKeyNotFound))?;
            this.audit.record(AuditAction::ApiKeyRemoved, actor, format!("key:{id}"), "").await;
            Ok(())
        };
        self.audit.see_through(act).await
    }
}

fn not_added(error: StoreError) -> ServiceError {
    match error {
        StoreError::Conflict { .. } => {
            Refusal::field("name", format!("cannot be added: an account has at most {MAX_KEYS_PER_USER} keys")).into()
        }
        other => ServiceError::from_store(other, ServiceError::UserNotFound),
    }
}

fn scopes(names: Option<Vec<String>>, role: Role) -> Result<Vec<Scope>, ServiceError> {
    let mut scopes: Vec<Scope> = match names {
        None => Scope::ALL.into_iter().filter(|scope| *scope != Scope::Admin).collect(),
        Some(names) => names.iter().map(|name| Scope::parse(name)).collect::<Result<_, _>>()?,
    };
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.is_empty() {
        return Err(Refusal::field("scopes", "must name at least one scope").into());
    }
    if scopes.contains(&Scope::Admin) && role != Role::Admin {
        return Err(ServiceError::Forbidden);
    }
    Ok(scopes)
}
