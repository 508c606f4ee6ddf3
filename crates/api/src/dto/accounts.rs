//! Accounts.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use domain::User;
use ports::RemovedRecords;
use serde::{Deserialize, Serialize};
use services::{AccountChange, ProfileChange, Registration};
use utoipa::ToSchema;
use uuid::Uuid;

use super::nullable;

/// What was removed with an account.
#[derive(Serialize, ToSchema)]
pub(crate) struct RemovalResponse {
    /// How many records of each kind.
    removed: RemovedCounts,
}

/// Records of each kind.
#[derive(Serialize, ToSchema)]
struct RemovedCounts {
    /// Sign-ins, those that had ended included.
    sessions: u64,
    /// API keys.
    api_keys: u64,
    /// Made texts.
    text_generations: u64,
    /// Conversations, each with all its messages.
    conversations: u64,
    /// Pictures.
    images: u64,
    /// Recordings.
    speeches: u64,
}

impl From<RemovedRecords> for RemovalResponse {
    fn from(records: RemovedRecords) -> Self {
        let RemovedRecords { sessions, api_keys, text_generations, conversations, images, speeches } = records;
        Self { removed: RemovedCounts { sessions, api_keys, text_generations, conversations, images, speeches } }
    }
}

/// What an account may do.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// Manages the server.
    Admin,
    /// Uses it.
    User,
}

impl FromStr for Role {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "admin" => Ok(Self::Admin),
            "user" => Ok(Self::User),
            _ => Err("must be 'admin' or 'user'"),
        }
    }
}

impl From<domain::Role> for Role {
    fn from(role: domain::Role) -> Self {
        match role {
            domain::Role::Admin => Self::Admin,
            domain::Role::User => Self::User,
        }
    }
}

impl From<Role> for domain::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Admin => Self::Admin,
            Role::User => Self::User,
        }
    }
}

/// A new account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegistrationRequest {
    /// What it will sign in with.
    #[schema(example = "ana", min_length = 1, max_length = 64)]
    username: String,
    /// 8 to 72 bytes in UTF-8.
    #[schema(example = "correct horse battery", min_length = 8, max_length = 72, format = Password)]
    password: String,
    /// Where its person can be reached.
    #[schema(example = "ana@example.org", max_length = 254, format = Email)]
    email: Option<String>,
    /// The code of an invitation, where the server asks for one.
    invitation: Option<String>,
}

impl RegistrationRequest {
    /// The registration of who calls from this address.
    pub(crate) fn sent_from(self, address: Option<String>) -> Registration {
        let Self { username, password, email, invitation } = self;
        Registration { username, password, email, invitation, address }
    }
}

/// What to change of one's own account; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::option_option, reason = "what is absent and what is null are two wishes")]
pub(crate) struct ProfileRequest {
    /// A new address; `null` removes it, save where the account's name is the address.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, example = "ana@example.org", max_length = 254, format = Email)]
    email: Option<Option<String>>,
    /// A new password; it ends the other sessions.
    #[schema(min_length = 8, max_length = 72, format = Password)]
    new_password: Option<String>,
    /// The present password. A request without it, or with another, is refused with 400.
    #[schema(format = Password)]
    current_password: Option<String>,
}

impl From<ProfileRequest> for ProfileChange {
    fn from(request: ProfileRequest) -> Self {
        let ProfileRequest { email, new_password, current_password } = request;
        Self { email, new_password, current_password }
    }
}

/// What an admin changes of an account; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountChangeRequest {
    /// A new role.
    role: Option<Role>,
    /// Whether the account is disabled.
    disabled: Option<bool>,
}

impl From<AccountChangeRequest> for AccountChange {
    fn from(request: AccountChangeRequest) -> Self {
        Self { role: request.role.map(Into::into), disabled: request.disabled }
    }
}

/// An account.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserResponse {
    /// Who it is.
    id: Uuid,
    /// What it signs in with.
    #[schema(example = "ana")]
    username: String,
    /// Where its person can be reached.
    #[schema(example = "ana@example.org", required)]
    email: Option<String>,
    /// What it may do.
    role: Role,
    /// A disabled account keeps its records and cannot sign in.
    disabled: bool,
    /// When it was made.
    created_at: DateTime<Utc>,
}

impl From<User> for UserResponse {
    fn from(user: User) -> Self {
        Self {
            id: user.id.uuid(),
            username: user.username.as_str().to_owned(),
            email: user.email.map(|email| email.as_str().to_owned()),
            role: user.role.into(),
            disabled: user.disabled,
            created_at: user.created_at,
        }
    }
}
