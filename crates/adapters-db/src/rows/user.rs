//! Rows of `users`.

use chrono::NaiveDateTime;
use diesel::{AsChangeset, Insertable, Queryable, Selectable};
use domain::{Email, PasswordHash, Role, User, Username};
use ports::{NewUser, StoreError, UserChange};

use super::{corrupt, from_kept_time, parse_id, refused, to_kept_time};
use crate::schema::users;

const TABLE: &str = "users";

/// An account as it is kept.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = users)]
pub(crate) struct UserRow {
    pub(crate) id: String,
    pub(crate) username: String,
    email: Option<String>,
    password_hash: String,
    role: String,
    disabled: bool,
    created_at: NaiveDateTime,
}

impl UserRow {
    /// The row of a new account.
    pub(crate) fn new(user: NewUser, role: Role) -> Self {
        Self {
            id: user.id.to_string(),
            username: user.username.as_str().to_owned(),
            email: user.email.map(|email| email.as_str().to_owned()),
            password_hash: user.password_hash.expose().to_owned(),
            role: role.as_str().to_owned(),
            disabled: false,
            created_at: to_kept_time(user.created_at),
        }
    }

    /// Whether this is its address, letter by letter.
    pub(crate) fn has_written(&self, login: &str) -> bool {
        self.email.as_deref() == Some(login)
    }

    /// The hash of its password.
    pub(crate) fn password_hash(&self) -> PasswordHash {
        PasswordHash::new(self.password_hash.clone())
    }
}

impl TryFrom<UserRow> for User {
    type Error = StoreError;

    fn try_from(row: UserRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: parse_id(TABLE, &row.id)?,
            username: Username::new(row.username).map_err(refused(TABLE))?,
            email: row.email.map(Email::new).transpose().map_err(refused(TABLE))?,
            role: Role::parse(&row.role).map_err(|refusal| corrupt(TABLE, refusal))?,
            disabled: row.disabled,
            created_at: from_kept_time(row.created_at),
        })
    }
}

/// What to change of an account; `None` stays.
#[derive(AsChangeset)]
#[diesel(table_name = users)]
#[expect(clippy::option_option, reason = "diesel's own way to tell 'leave it' from 'make it NULL'")]
pub(crate) struct UserChangeRow {
    email: Option<Option<String>>,
    password_hash: Option<String>,
    role: Option<&'static str>,
    disabled: Option<bool>,
}

impl UserChangeRow {
    /// The columns to change, or `None` if there are none: SQL has no empty `SET`.
    pub(crate) fn new(change: UserChange) -> Option<Self> {
        let UserChange { email, password_hash, role, disabled, end_sessions: _ } = change;
        (email.is_some() || password_hash.is_some() || role.is_some() || disabled.is_some()).then(|| Self {
            email: email.map(|email| email.map(|email| email.as_str().to_owned())),
            password_hash: password_hash.map(|hash| hash.expose().to_owned()),
            role: role.map(Role::as_str),
            disabled,
        })
    }
}
