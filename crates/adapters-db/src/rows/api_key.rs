//! Rows of `api_keys`.

use chrono::NaiveDateTime;
use diesel::{Insertable, Queryable, Selectable};
use domain::{ApiKey, ApiKeyHash, ApiKeyId, ApiKeyName, Scope};
use ports::StoreError;

use super::{corrupt, from_kept_time, parse_id, refused, to_kept_time};
use crate::schema::api_keys;

const TABLE: &str = "api_keys";
const BETWEEN_SCOPES: &str = " ";

/// A key as it is kept.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = api_keys)]
pub(crate) struct ApiKeyRow {
    id: String,
    user_id: String,
    name: String,
    prefix: String,
    hash: String,
    scopes: String,
    created_at: NaiveDateTime,
    expires_at: Option<NaiveDateTime>,
    last_used_at: Option<NaiveDateTime>,
}

impl ApiKeyRow {
    /// The row of a key and of the hash of the whole of it.
    pub(crate) fn new(key: ApiKey, hash: &ApiKeyHash) -> Self {
        let scopes: Vec<_> = key.scopes.into_iter().map(Scope::as_str).collect();
        Self {
            id: key.id.to_string(),
            user_id: key.user_id.to_string(),
            name: key.name.as_str().to_owned(),
            prefix: key.prefix,
            hash: hash.as_str().to_owned(),
            scopes: scopes.join(BETWEEN_SCOPES),
            created_at: to_kept_time(key.created_at),
            expires_at: key.expires_at.map(to_kept_time),
            last_used_at: key.last_used_at.map(to_kept_time),
        }
    }
}

impl TryFrom<ApiKeyRow> for ApiKey {
    type Error = StoreError;

    fn try_from(row: ApiKeyRow) -> Result<Self, StoreError> {
        let scopes = row.scopes.split(BETWEEN_SCOPES).map(Scope::parse).collect::<Result<_, _>>();
        Ok(Self {
            id: ApiKeyId::new(parse_id(TABLE, &row.id)?),
            user_id: parse_id(TABLE, &row.user_id)?,
            name: ApiKeyName::new(row.name).map_err(refused(TABLE))?,
            prefix: row.prefix,
            scopes: scopes.map_err(|refusal| corrupt(TABLE, refusal))?,
            created_at: from_kept_time(row.created_at),
            expires_at: row.expires_at.map(from_kept_time),
            last_used_at: row.last_used_at.map(from_kept_time),
        })
    }
}

/// A kept key and the hash of the whole of it.
pub(crate) fn api_key_with_hash(row: ApiKeyRow) -> Result<(ApiKey, ApiKeyHash), StoreError> {
    let hash = ApiKeyHash::new(row.hash.clone());
    Ok((row.try_into()?, hash))
}
