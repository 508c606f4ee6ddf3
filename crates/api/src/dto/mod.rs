//! What goes over the wire, one file an endpoint family: shapes only. Whether a value is acceptable is for the domain to say.
//!
//! Requests of native routes refuse unknown fields, so that a misspelt parameter is an error and not a silent default.

mod accounts;
mod aliases;
mod api_keys;
mod audit;
pub(crate) mod chat;
mod codes;
mod integer;
mod limits;
mod media;
mod model_pull;
mod models;
mod nullable;
pub(crate) mod openai;
mod operations;
mod pages;
mod sampling_fields;
mod sessions;
mod texts;
mod token_biases;

pub(crate) use accounts::{AccountChangeRequest, ProfileRequest, RegistrationRequest, RemovalResponse, Role, UserResponse};
pub(crate) use aliases::{
    AliasGenerationRequest, AliasGenerationResponse, AliasLoginRequest, AliasRegistrationRequest, AliasRegistrationResponse,
    AliasTokenResponse, HistoryItem, HistoryResponse, StoredTextChangeRequest, StoredTextRequest, StoredTextResponse,
};
pub(crate) use api_keys::{ApiKeyCreationRequest, ApiKeyListResponse, IssuedApiKeyResponse};
pub(crate) use audit::{AuditPageRequest, AuditPageResponse, AuditQuery};
pub(crate) use codes::{InvitationResponse, IssuedCodeResponse, IssuedInvitationResponse, PasswordResetRequest};
pub(crate) use limits::{LimitRequest, LimitResponse, UsageReport};
pub(crate) use media::{
    DownloadQuery, DownloadResponse, ImageRequest, ImageResponse, LinkQuery, MediaLinks, SpeechRequest, SpeechResponse,
    VoiceListResponse, VoicesQuery,
};
pub(crate) use model_pull::{ModelPullRequest, PullProgressEvent, PulledModelResponse};
pub(crate) use models::{DefaultsRequest, ModelListResponse, ModelRequest, ModelResponse};
use nullable::nullable;
pub(crate) use operations::{Health, Readiness, Status};
pub(crate) use pages::{ImagePage, InvitationPage, NoQuery, PageQuery, SessionPage, SpeechPage, TextGenerationPage, UserPage};
pub(crate) use sessions::{
    EmailRegistrationRequest, LoginRequest, LoginResponse, RefreshTokenRequest, SessionResponse, TokenForm, TokenGrant,
    TokenResponse,
};
pub(crate) use texts::{ReplayResponse, TextChangeRequest, TextGenerationRequest, TextGenerationResponse, TextPieceEvent};
