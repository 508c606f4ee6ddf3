//! Rows of `sessions` and `refresh_tokens`.

use chrono::NaiveDateTime;
use diesel::{Insertable, Queryable, Selectable};
use domain::{RefreshTokenHash, Session, SessionId};
use ports::StoreError;

use super::{corrupt, from_kept_text, from_kept_time, parse_id, to_kept_text, to_kept_time};
use crate::schema::{refresh_tokens, sessions};

const TABLE: &str = "sessions";

/// A sign-in as it is kept.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = sessions)]
pub(crate) struct SessionRow {
    id: String,
    user_id: String,
    created_at: NaiveDateTime,
    last_used_at: NaiveDateTime,
    expires_at: NaiveDateTime,
    revoked_at: Option<NaiveDateTime>,
    client: Option<String>,
    address: Option<String>,
}

impl From<Session> for SessionRow {
    fn from(session: Session) -> Self {
        Self {
            id: session.id.to_string(),
            user_id: session.user_id.to_string(),
            created_at: to_kept_time(session.created_at),
            last_used_at: to_kept_time(session.last_used_at),
            expires_at: to_kept_time(session.expires_at),
            revoked_at: session.revoked_at.map(to_kept_time),
            client: session.client.map(to_kept_text),
            address: session.address.map(to_kept_text),
        }
    }
}

impl TryFrom<SessionRow> for Session {
    type Error = StoreError;

    fn try_from(row: SessionRow) -> Result<Self, StoreError> {
        let text = |kept: Option<String>| match kept.map(from_kept_text) {
            Some(None) => Err(corrupt(TABLE, "a text is badly escaped")),
            Some(text) => Ok(text),
            None => Ok(None),
        };
        Ok(Self {
            id: parse_id(TABLE, &row.id)?,
            user_id: parse_id(TABLE, &row.user_id)?,
            created_at: from_kept_time(row.created_at),
            last_used_at: from_kept_time(row.last_used_at),
            expires_at: from_kept_time(row.expires_at),
            revoked_at: row.revoked_at.map(from_kept_time),
            client: text(row.client)?,
            address: text(row.address)?,
        })
    }
}

/// A refresh token's hash as it is kept.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = refresh_tokens)]
pub(crate) struct RefreshTokenRow {
    hash: String,
    pub(crate) session_id: String,
    spent_at: Option<NaiveDateTime>,
}

impl RefreshTokenRow {
    /// The row of a session's current token.
    pub(crate) fn current(hash: &RefreshTokenHash, session_id: &impl ToString) -> Self {
        Self { hash: hash.as_str().to_owned(), session_id: session_id.to_string(), spent_at: None }
    }

    /// Which session it belongs to.
    pub(crate) fn session_id(&self) -> Result<SessionId, StoreError> {
        parse_id("refresh_tokens", &self.session_id)
    }
}
