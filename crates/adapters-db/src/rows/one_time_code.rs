//! Rows of `one_time_codes`.

use chrono::NaiveDateTime;
use diesel::{AsChangeset, Insertable, Queryable, Selectable};
use domain::{CodePurpose, OneTimeCode, OneTimeCodeHash};
use ports::StoreError;

use super::{corrupt, from_kept_time, parse_id, parse_optional_id, to_kept_time};
use crate::schema::one_time_codes;

const TABLE: &str = "one_time_codes";

/// The purpose of a code to register with.
pub(crate) const INVITATION: &str = "invitation";
/// The purpose of a code to set a new password with.
pub(crate) const PASSWORD_RESET: &str = "password_reset";

/// A code as it is kept.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = one_time_codes)]
pub(crate) struct OneTimeCodeRow {
    purpose: String,
    user_id: Option<String>,
    #[diesel(embed)]
    change: OneTimeCodeChange,
}

/// What of a code changes when another takes its place.
#[derive(Clone, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = one_time_codes)]
#[diesel(treat_none_as_null = true)]
pub(crate) struct OneTimeCodeChange {
    id: String,
    hash: String,
    created_by: Option<String>,
    created_at: NaiveDateTime,
    expires_at: NaiveDateTime,
}

impl OneTimeCodeRow {
    /// The row of a code and of its hash.
    pub(crate) fn new(code: &OneTimeCode, hash: &OneTimeCodeHash) -> Self {
        let (purpose, user_id) = match code.purpose {
            CodePurpose::Invitation => (INVITATION, None),
            CodePurpose::PasswordReset(user_id) => (PASSWORD_RESET, Some(user_id.to_string())),
        };
        let change = OneTimeCodeChange {
            id: code.id.to_string(),
            hash: hash.as_str().to_owned(),
            created_by: code.created_by.map(|id| id.to_string()),
            created_at: to_kept_time(code.created_at),
            expires_at: to_kept_time(code.expires_at),
        };
        Self { purpose: purpose.to_owned(), user_id, change }
    }

    /// What it puts in the place of a code for the same account.
    pub(crate) fn change(&self) -> OneTimeCodeChange {
        self.change.clone()
    }
}

impl TryFrom<OneTimeCodeRow> for OneTimeCode {
    type Error = StoreError;

    fn try_from(row: OneTimeCodeRow) -> Result<Self, StoreError> {
        let purpose = match (row.purpose.as_str(), row.user_id) {
            (INVITATION, None) => CodePurpose::Invitation,
            (PASSWORD_RESET, Some(user_id)) => CodePurpose::PasswordReset(parse_id(TABLE, &user_id)?),
            _ => return Err(corrupt(TABLE, "the purpose is not acceptable")),
        };
        Ok(Self {
            id: parse_id(TABLE, &row.change.id)?,
            purpose,
            created_by: parse_optional_id(TABLE, row.change.created_by.as_deref())?,
            created_at: from_kept_time(row.change.created_at),
            expires_at: from_kept_time(row.change.expires_at),
        })
    }
}
