//! The services that handlers call.

use services::{
    AccountService, ApiKeyService, AuditService, HealthService, LimitService, ModelService, SessionService, TextService,
};

/// Every use case that the web reaches. Cheap to clone: services share what they stand on.
#[derive(Clone)]
pub struct ApiState {
    /// Accounts.
    pub accounts: AccountService,
    /// Sign-ins.
    pub sessions: SessionService,
    /// Programs' keys.
    pub api_keys: ApiKeyService,
    /// How much each caller may ask for.
    pub limits: LimitService,
    /// Who did what.
    pub audit: AuditService,
    /// Named models.
    pub models: ModelService,
    /// Texts.
    pub texts: TextService,
    /// Whether the server can do its work.
    pub health: HealthService,
}
