//! One-time codes: invitations, and codes to set a new password.

use chrono::{DateTime, Utc};
use domain::OneTimeCode;
use serde::{Deserialize, Serialize};
use services::IssuedCode;
use utoipa::ToSchema;
use uuid::Uuid;

/// A code that was just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct IssuedCodeResponse {
    /// The code. It is shown this once, and works once.
    code: String,
    /// When it stops working.
    expires_at: DateTime<Utc>,
}

impl From<IssuedCode> for IssuedCodeResponse {
    fn from(issued: IssuedCode) -> Self {
        Self { code: issued.code, expires_at: issued.record.expires_at }
    }
}

/// A new password, by such a code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordResetRequest {
    /// The code that an admin made.
    pub(crate) code: String,
    /// 8 to 72 bytes in UTF-8.
    #[schema(example = "correct horse battery", min_length = 8, max_length = 72, format = Password)]
    pub(crate) new_password: String,
}

/// An invitation that nobody has used yet.
#[derive(Serialize, ToSchema)]
pub(crate) struct InvitationResponse {
    /// Which one.
    id: Uuid,
    /// Who made it.
    #[schema(required)]
    created_by: Option<Uuid>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it stops working.
    expires_at: DateTime<Utc>,
}

impl From<OneTimeCode> for InvitationResponse {
    fn from(code: OneTimeCode) -> Self {
        let OneTimeCode { id, purpose: _, created_by, created_at, expires_at } = code;
        Self { id, created_by: created_by.map(domain::UserId::uuid), created_at, expires_at }
    }
}

/// An invitation that was just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct IssuedInvitationResponse {
    #[serde(flatten)]
    record: InvitationResponse,
    /// The code to register with. It is shown this once, and works once.
    code: String,
}

impl From<IssuedCode> for IssuedInvitationResponse {
    fn from(issued: IssuedCode) -> Self {
        Self { record: issued.record.into(), code: issued.code }
    }
}
