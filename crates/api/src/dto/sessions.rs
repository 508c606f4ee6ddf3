//! Tokens and sign-ins.

use chrono::{DateTime, Utc};
use domain::{Session, SessionId};
use serde::{Deserialize, Serialize};
use services::{Credentials, Registration, SignedIn};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::ApiError;

/// OAuth2's form (RFC 6749, sections 4.3.2 and 6). Fields it does not know (`scope`, `client_id`) are ignored, as OAuth2 asks.
#[derive(Deserialize, ToSchema)]
pub(crate) struct TokenForm {
    /// `password` (the default) or `refresh_token`.
    #[schema(example = "password")]
    grant_type: Option<String>,
    /// For a password: the account's name, or its email.
    #[schema(example = "ana")]
    username: Option<String>,
    /// For a password: the account's.
    #[schema(example = "correct horse battery", format = Password)]
    password: Option<String>,
    /// For a refresh token: the token.
    refresh_token: Option<String>,
}

/// What a [`TokenForm`] asks for.
pub(crate) enum TokenGrant {
    /// A sign-in.
    Password(Credentials),
    /// The next pair of a session.
    RefreshToken(String),
}

impl TryFrom<TokenForm> for TokenGrant {
    type Error = ApiError;

    fn try_from(form: TokenForm) -> Result<Self, ApiError> {
        let missing = |field: &'static str| move || ApiError::malformed(format!("missing field `{field}`"));
        match form.grant_type.as_deref() {
            None | Some("" | "password") => Ok(Self::Password(Credentials {
                login: form.username.ok_or_else(missing("username"))?,
                password: form.password.ok_or_else(missing("password"))?,
            })),
            Some("refresh_token") => Ok(Self::RefreshToken(form.refresh_token.ok_or_else(missing("refresh_token"))?)),
            Some(_) => Err(domain::Refusal::field("grant_type", "must be 'password' or 'refresh_token'").into()),
        }
    }
}

/// A pair of tokens.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenResponse {
    /// Proves each request, as `Authorization: Bearer …`.
    access_token: String,
    /// Always `bearer`.
    #[schema(example = "bearer")]
    token_type: &'static str,
    /// How long the access token works, in seconds.
    #[schema(example = 900)]
    expires_in: i64,
    /// Gets the next pair, once.
    refresh_token: String,
}

impl From<SignedIn> for TokenResponse {
    fn from(signed_in: SignedIn) -> Self {
        Self {
            access_token: signed_in.access_token,
            token_type: "bearer",
            expires_in: signed_in.expires_in_seconds,
            refresh_token: signed_in.refresh_token.expose().to_owned(),
        }
    }
}

/// A pair of tokens, in the two spellings that two existing clients read.
#[derive(Serialize, ToSchema)]
pub(crate) struct LoginResponse {
    #[serde(flatten)]
    tokens: TokenResponse,
    /// The same as `access_token`.
    #[serde(rename = "accessToken")]
    access_token_again: String,
    /// The same as `refresh_token`.
    #[serde(rename = "refreshToken")]
    refresh_token_again: String,
}

impl From<SignedIn> for LoginResponse {
    fn from(signed_in: SignedIn) -> Self {
        let tokens = TokenResponse::from(signed_in);
        Self { access_token_again: tokens.access_token.clone(), refresh_token_again: tokens.refresh_token.clone(), tokens }
    }
}

/// A new account, known by its email.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmailRegistrationRequest {
    /// Where its person can be reached.
    #[schema(example = "ana@example.org", max_length = 254, format = Email)]
    email: String,
    /// 8 to 72 bytes in UTF-8.
    #[schema(example = "correct horse battery", min_length = 8, max_length = 72, format = Password)]
    password: String,
    /// What it will sign in with; the email if absent.
    #[schema(example = "ana", min_length = 1, max_length = 64)]
    username: Option<String>,
    /// The code of an invitation, where the server asks for one.
    invitation: Option<String>,
}

impl EmailRegistrationRequest {
    /// The registration of who calls from this address.
    pub(crate) fn sent_from(self, address: Option<String>) -> Registration {
        let Self { email, password, username, invitation } = self;
        let username = username.unwrap_or_else(|| email.clone());
        Registration { username, password, email: Some(email), invitation, address }
    }
}

/// A sign-in, by email or by username.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginRequest {
    /// The account's address. This or `username`.
    #[schema(example = "ana@example.org")]
    email: Option<String>,
    /// The account's name. This or `email`.
    username: Option<String>,
    /// The account's password.
    #[schema(example = "correct horse battery", format = Password)]
    password: String,
}

impl TryFrom<LoginRequest> for Credentials {
    type Error = ApiError;

    fn try_from(request: LoginRequest) -> Result<Self, ApiError> {
        let login = match (request.email, request.username) {
            (Some(login), None) | (None, Some(login)) => login,
            (None, None) => return Err(ApiError::malformed("missing field `email` or `username`")),
            (Some(_), Some(_)) => return Err(ApiError::malformed("username: must not be given together with email")),
        };
        Ok(Self { login, password: request.password })
    }
}

/// A refresh token. `refreshToken` is read too.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshTokenRequest {
    /// The token; a client may also call the field `refreshToken`.
    #[serde(alias = "refreshToken")]
    pub(crate) refresh_token: String,
}

/// A place where the caller is signed in.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionResponse {
    /// Which one.
    id: Uuid,
    /// When the person signed in.
    created_at: DateTime<Utc>,
    /// When its tokens were last refreshed.
    last_used_at: DateTime<Utc>,
    /// When it ends if it is not used again.
    expires_at: DateTime<Utc>,
    /// How the client describes itself.
    #[schema(example = "curl/8.5.0", required)]
    client: Option<String>,
    /// The address it signed in from.
    #[schema(example = "127.0.0.1", required)]
    address: Option<String>,
    /// Whether this request belongs to it.
    current: bool,
}

impl SessionResponse {
    /// A session as the session `current` sees it.
    pub(crate) fn new(session: Session, current: SessionId) -> Self {
        Self {
            id: session.id.uuid(),
            created_at: session.created_at,
            last_used_at: session.last_used_at,
            expires_at: session.expires_at,
            client: session.client,
            address: session.address,
            current: session.id == current,
        }
    }
}
