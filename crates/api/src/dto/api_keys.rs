//! Programs' keys.

use chrono::{DateTime, Datelike, SubsecRound, Utc};
use domain::{ApiKey, Refusal, Scope};
use serde::{Deserialize, Serialize};
use services::{ApiKeyRequest, IssuedApiKey};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::ApiError;

/// What a key may be used for.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ScopeName {
    /// Making and reading texts.
    Text,
    /// Conversations.
    Chat,
    /// Images.
    Images,
    /// Speech.
    Speech,
    /// Managing the server; for an admin's key alone.
    Admin,
}

impl From<Scope> for ScopeName {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Text => Self::Text,
            Scope::Chat => Self::Chat,
            Scope::Images => Self::Images,
            Scope::Speech => Self::Speech,
            Scope::Admin => Self::Admin,
        }
    }
}

/// A key to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiKeyCreationRequest {
    /// What its owner calls it.
    #[schema(example = "backup script", min_length = 1, max_length = 100)]
    name: String,
    /// What it may be used for; all but `admin` if absent.
    #[schema(value_type = Option<Vec<ScopeName>>)]
    scopes: Option<Vec<String>>,
    /// When it stops working; never if absent.
    expires_at: Option<DateTime<Utc>>,
}

impl TryFrom<ApiKeyCreationRequest> for ApiKeyRequest {
    type Error = ApiError;

    fn try_from(request: ApiKeyCreationRequest) -> Result<Self, ApiError> {
        let ApiKeyCreationRequest { name, scopes, expires_at } = request;
        // RFC 3339 knows no later year, and not every database can compare one.
        if expires_at.is_some_and(|end| !(1970..=9999).contains(&end.year())) {
            return Err(Refusal::field("expires_at", "must lie in the future and before the year 10000").into());
        }
        Ok(Self { name, scopes, expires_at: expires_at.map(|end| end.trunc_subsecs(6)) })
    }
}

/// A key, without what only its owner knows.
#[derive(Serialize, ToSchema)]
pub(crate) struct ApiKeyResponse {
    /// Which one.
    id: Uuid,
    /// What its owner calls it.
    #[schema(example = "backup script")]
    name: String,
    /// How it begins, to recognise it by.
    #[schema(example = "ttl_4fQz81bc")]
    prefix: String,
    /// What it may be used for.
    scopes: Vec<ScopeName>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it stops working; `null` for never.
    #[schema(required)]
    expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    #[schema(required)]
    last_used_at: Option<DateTime<Utc>>,
}

impl From<ApiKey> for ApiKeyResponse {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id.uuid(),
            name: key.name.as_str().to_owned(),
            prefix: key.prefix,
            scopes: key.scopes.into_iter().map(Into::into).collect(),
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
        }
    }
}

/// A key that was just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct IssuedApiKeyResponse {
    #[serde(flatten)]
    record: ApiKeyResponse,
    /// The key itself, as `Authorization: Bearer …` takes it. It is shown this once.
    key: String,
}

impl From<IssuedApiKey> for IssuedApiKeyResponse {
    fn from(issued: IssuedApiKey) -> Self {
        Self { record: issued.record.into(), key: issued.secret.key }
    }
}

/// The caller's keys, newest first. There are few, so the list has one page.
#[derive(Serialize, ToSchema)]
pub(crate) struct ApiKeyListResponse {
    /// The keys.
    items: Vec<ApiKeyResponse>,
    /// Always `null`.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl From<Vec<ApiKey>> for ApiKeyListResponse {
    fn from(keys: Vec<ApiKey>) -> Self {
        Self { items: keys.into_iter().map(Into::into).collect(), next_cursor: None }
    }
}
