//! Rows of `limit_overrides`.

use diesel::{AsChangeset, Insertable, Queryable, Selectable};
use ports::{LimitOverride, LimitSubject, StoreError};

use super::{parse_number, to_kept_tokens};
use crate::schema::limit_overrides;

const TABLE: &str = "limit_overrides";

/// An exception as it is kept, with whom it is for.
#[derive(Insertable)]
#[diesel(table_name = limit_overrides)]
pub(crate) struct LimitOverrideRow {
    subject: String,
    user_id: Option<String>,
    api_key_id: Option<String>,
    #[diesel(embed)]
    limit: LimitRow,
}

/// What the exception says. `None` is kept too: it takes the place of what was said before.
#[derive(Clone, Copy, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = limit_overrides)]
#[diesel(treat_none_as_null = true)]
pub(crate) struct LimitRow {
    requests_per_minute: Option<i64>,
    tokens_per_day: Option<i64>,
}

impl LimitOverrideRow {
    /// The row of an exception.
    pub(crate) fn new(subject: LimitSubject, limit: LimitRow) -> Self {
        let (user_id, api_key_id) = match subject {
            LimitSubject::Role(_) => (None, None),
            LimitSubject::User(id) => (Some(id.to_string()), None),
            LimitSubject::ApiKey(id) => (None, Some(id.to_string())),
        };
        Self { subject: limit_subject(subject), user_id, api_key_id, limit }
    }
}

impl From<LimitOverride> for LimitRow {
    fn from(limit: LimitOverride) -> Self {
        Self {
            requests_per_minute: limit.requests_per_minute.map(i64::from),
            tokens_per_day: limit.tokens_per_day.map(to_kept_tokens),
        }
    }
}

impl TryFrom<LimitRow> for LimitOverride {
    type Error = StoreError;

    fn try_from(row: LimitRow) -> Result<Self, StoreError> {
        Ok(Self {
            requests_per_minute: row.requests_per_minute.map(|number| parse_number(TABLE, number)).transpose()?,
            tokens_per_day: row.tokens_per_day.map(|number| parse_number(TABLE, number)).transpose()?,
        })
    }
}

/// Whom an exception is for, as it is kept.
pub(crate) fn limit_subject(subject: LimitSubject) -> String {
    match subject {
        LimitSubject::Role(role) => format!("role:{}", role.as_str()),
        LimitSubject::User(id) => format!("user:{id}"),
        LimitSubject::ApiKey(id) => format!("key:{id}"),
    }
}
