//! The use cases: what the server does, whatever web, database or model runtime stands around it.
//!
//! A service is a few ports and some settings; each of its use cases has a file. Services know who calls (a [`Caller`], made by
//! [`SessionService::authenticate`] alone) and what may be seen; they never see a request, a row or a session of a runtime.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod accounts;
mod api_keys;
mod audit;
mod caller;
mod error;
mod health;
mod limits;
mod models;
mod sessions;
mod text;

pub use accounts::{AccountChange, AccountPorts, AccountService, IssuedCode, ProfileChange, Registration};
pub use api_keys::{ApiKeyRequest, ApiKeyService, IssuedApiKey};
pub use audit::{AuditService, AuditTrail};
pub use caller::{Caller, Credential};
pub use error::ServiceError;
pub use health::{HealthService, PartHealth};
pub use limits::{LimitDefaults, LimitPorts, LimitService, QuotaUsage, TokenHold};
pub use models::{DefaultsChange, ModelService, ModelSpec, ModelView};
pub use sessions::{ClientInfo, Credentials, SessionLifetimes, SessionPorts, SessionService, SignedIn};
pub use text::{TextChange, TextLimits, TextPiece, TextPorts, TextRequest, TextService, TextStream};
